#!/usr/bin/env python3
"""Many calls at once over loopback: does any fail or lose packets, and what does each cost?

usage: load.py SERVER... [--calls N] [--seconds S] [--rate R] [--batches B] [--fixture NAME] [--wav] [--keep]

SERVER is a command that takes a configuration file as its last argument, such as `target/release/examples/scripted_serve` or
`target/release/nightline serve --config`. Each batch starts N calls, R a second, each of which sends the fixture's audio in a
loop for S seconds. Needs sip-tester (sipp). Figures come from the call records and from /proc. sipp never reads the RTP that it
is sent, so what the server sent is only counted. The exit status is 0 when no call failed and no packet was lost.
"""

import argparse
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_server import ROOT, configure  # makes the modules of tests/peers known

import audio
import net

TICK = os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def dropped(ports):
    """Datagrams that the system has dropped at open sockets on `ports`."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if int(row[1].split(":")[1], 16) in ports)


def batch(options, server, folder, port, rtp, seen):
    """Plays one batch; gives its figures and whether it was clean."""
    before, cpu = resident_mib(server.pid), cpu_seconds(server.pid)
    media = net.free_ports(64, even=True)[0]
    command = ["sipp", f"127.0.0.1:{port}", "-i", "127.0.0.1", "-p", str(net.free_ports()[0]), "-mi", "127.0.0.1"]
    command += ["-mp", str(media), "-sf", str(ROOT / "tests/peers/sipp/talk.xml"), "-d", str(options.seconds * 1000)]
    command += ["-r", str(options.rate), "-m", str(options.calls), "-l", str(options.calls), "-nostdin", "-trace_err"]
    command += ["-timeout", f"{options.seconds + options.calls // options.rate + 30}s", "-timeout_error"]
    began = time.monotonic()
    ramp = options.calls / options.rate
    sipp = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # All calls are up from the end of the ramp to the first goodbye: CPU is taken in the middle of that.
    time.sleep(ramp + 3)
    steady_cpu, steady_from = cpu_seconds(server.pid), time.monotonic()
    peak, drops = 0.0, 0
    while time.monotonic() < began + options.seconds - 2:
        peak = max(peak, resident_mib(server.pid))
        drops = dropped({port, *rtp})
        time.sleep(0.5)
    steady_cpu = cpu_seconds(server.pid) - steady_cpu
    steady = time.monotonic() - steady_from
    status = sipp.wait()
    time.sleep(3)
    with sqlite3.connect(f"file:{folder}/nightline.db?mode=ro", uri=True) as database:
        rows = database.execute("select id, record from calls where record is not null").fetchall()
    records = [json.loads(record) for id, record in rows if id not in seen]
    seen.update(id for id, _ in rows)
    legs = [leg for record in records for leg in record["media"] if leg["leg"] == "caller"]
    total = lambda name: sum(leg[name] for leg in legs)
    failed = options.calls - len(legs) if status == 0 else f"sipp exit {status}"
    turns = sorted(
        turn["timings"]["turn_latency_ms"]
        for record in records
        for turn in record["turns"]
        if turn.get("timings") and turn["timings"]["turn_latency_ms"] is not None
    )
    at = lambda share: turns[min(int(len(turns) * share), len(turns) - 1)] if turns else None
    figures = {
        "calls": len(legs),
        "failed": failed,
        "packets received": total("received"),
        "lost": total("lost"),
        "late": total("late"),
        "concealed frames": total("concealed"),
        "packets sent": total("sent"),
        "fewest received and sent by a call": (min((l["received"] for l in legs), default=0), min((l["sent"] for l in legs), default=0)),
        "worst jitter ms": round(max((leg["jitter_ms"] for leg in legs), default=0.0), 2),
        "datagrams dropped at the server's sockets": drops,
        "faults": sorted({fault for record in records for fault in record["faults"]})[:5],
        "answers": len(turns),
        "answers p50/p95 ms (record)": (at(0.5), at(0.95)),
        "RSS before/at peak/after MiB": tuple(round(x, 1) for x in (before, peak, resident_mib(server.pid))),
        "RSS a call KiB": round((peak - before) * 1024 / options.calls),
        "CPU of the server, all calls up, cores": round(steady_cpu / steady, 3),
        "CPU a call, share of a core": f"{steady_cpu / steady / options.calls:.3%}",
        "CPU in all s": round(cpu_seconds(server.pid) - cpu, 1),
    }
    clean = failed == 0 and figures["lost"] == 0
    return figures, clean


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", nargs="+", metavar="SERVER")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=20)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--fixture", default="interrupt")
    parser.add_argument("--wav", action="store_true", help="record the calls")
    parser.add_argument("--keep", action="store_true")
    options, rest = parser.parse_known_args()
    folder = Path(tempfile.mkdtemp(prefix="nightline-load-"))
    pause = bytes(2 * 8000 * 4)
    (folder / "voice.alaw").write_bytes(audio.a_law(audio.utterance(options.fixture, 0) + pause))
    config, port, rtp = configure(folder, options.calls, options.wav)
    command = [str(Path(options.server[0]).resolve()), *options.server[1:], *rest, str(config)]
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    clean, seen = True, set()
    try:
        time.sleep(3)
        assert server.poll() is None, (folder / "server.log").read_text(errors="replace")
        for number in range(options.batches):
            figures, good = batch(options, server, folder, port, rtp, seen)
            clean &= good
            print(f"batch {number + 1}")
            for name, value in figures.items():
                print(f"  {name}: {value}", flush=True)
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
    if clean and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs: {folder}")
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
