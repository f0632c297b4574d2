#!/usr/bin/env python3
"""Turn latency and barge-in stop as they are on the wire.

usage: measure.py [--binary PATH] [--repeat N] [--pairs] [FIXTURE…]
       measure.py --pcap FILE --server PORT

Runs `nightline demo` with each recorded caller while dumpcap (of tshark) listens on loopback, finds the call's RTP by its SDP,
and decodes both directions. A packet (20 ms) is speech if its mean amplitude is above --threshold (of 32768; 200 is -44 dB).

turn_latency   from the caller's last speech packet to the bot's first one after it. A pause of the caller of less than 0.3 s is
               a part of the turn. A sound of the caller over the bot that the bot goes on after counts only if the record has
               as many turns: compare the counts of wire and record.
barge_in_stop  from the caller's first speech packet over the bot to the last speech packet of the bot before 0.4 s of silence.

Stages are those of the call records, each measured from the caller's last speech frame, so they add up from left to right.
"""

import argparse
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Callers without noise: over noise the threshold would hear a caller who never stops.
FIXTURES = "demo interrupt lamp complaint range-drop thanks person safety own-words callback".split()
STAGES = ["eou_delay_ms", "transcription_delay_ms", "llm_ttft_ms", "tts_ttfb_ms", "turn_latency_ms"]
PAUSE, STOPPED = 0.3, 0.4


def a_law_table():
    """Sample of each A-law byte (ITU-T G.711)."""
    table = []
    for code in range(256):
        bits = code ^ 0x55
        segment, low = (bits >> 4) & 7, bits & 15
        level = (low << 4) + 8 if segment == 0 else ((low << 4) + 0x108) << (segment - 1)
        table.append(level if bits & 0x80 else -level)
    return table


LEVEL = [abs(sample) for sample in a_law_table()]


def datagrams(path):
    """(time, source port, destination port, payload) of each UDP datagram in a classic pcap of Ethernet frames."""
    data = path.read_bytes()
    magic = struct.unpack_from("<I", data)[0]
    assert magic in (0xA1B2C3D4, 0xA1B23C4D), f"{path} is not a little-endian pcap"
    unit = 1e-9 if magic == 0xA1B23C4D else 1e-6
    assert struct.unpack_from("<I", data, 20)[0] == 1, f"{path} has no Ethernet frames"
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, size, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16 : at + 16 + size]
        at += 16 + size
        if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        udp = 14 + (frame[14] & 15) * 4
        source, destination = struct.unpack_from(">HH", frame, udp)
        yield seconds + fraction * unit, source, destination, frame[udp + 8 :]


def media_ports(packets, server):
    """RTP ports of the caller and of the server, from the INVITE to port `server` and its answer; and when it was answered."""
    offers = {}
    header = lambda message, name: (re.search(rb"(?im)^" + name + rb":\s*(.*?)\r$", message) or [b"", b""])[1]
    port = lambda message: int(found[1]) if (found := re.search(rb"m=audio (\d+)", message)) else None
    for when, source, destination, payload in packets:
        if destination == server and payload.startswith(b"INVITE ") and port(payload):
            offers.setdefault(header(payload, b"Call-ID"), port(payload))
        elif source == server and payload.startswith(b"SIP/2.0 200") and port(payload):
            if offer := offers.get(header(payload, b"Call-ID")):
                return offer, port(payload), when
    raise SystemExit(f"error: no answered call to port {server} in the capture")


def speech(packets, source, destination, threshold):
    """Times of the packets of a direction that hold speech."""
    times = []
    for when, src, dst, payload in packets:
        if (src, dst) == (source, destination) and len(payload) > 12 and payload[1] & 0x7F == 8:
            body = payload[12:]
            if sum(LEVEL[byte] for byte in body) > threshold * len(body):
                times.append(when)
    return times


def stretches(times, gap, least=0.06):
    """[first, last] of each stretch without a gap; shorter ones than `least` are clicks."""
    found = []
    for when in times:
        if found and when - found[-1][1] <= gap:
            found[-1][1] = when
        else:
            found.append([when, when])
    return [stretch for stretch in found if stretch[1] - stretch[0] >= least]


def on_the_wire(path, server, threshold, pairs=False):
    """Turn latencies and barge-in stops of one captured call, milliseconds."""
    packets = list(datagrams(path))
    caller_port, server_port, answered = media_ports(packets, server)
    caller = stretches(speech(packets, caller_port, server_port, threshold), PAUSE)
    heard = speech(packets, server_port, caller_port, threshold)
    bot = stretches(heard, STOPPED)
    turns, stops = [], []
    for number, (began, ended) in enumerate(caller):
        until = caller[number + 1][0] if number + 1 < len(caller) else float("inf")
        speaking = next((b for b in bot if b[0] < began - 0.1 and b[1] > began), None)
        if speaking:
            stops.append((speaking[1] - began) * 1000)
            after = speaking[1]
        else:
            after = began
        first = next((when for when in heard if when > max(after, ended)), None)
        if first and first < until and (not speaking or speaking[1] < ended):
            turns.append((first - ended) * 1000)
            if pairs:
                print(f"    {ended - answered:7.2f} s  answered after {turns[-1]:.0f} ms")
        if speaking and pairs:
            print(f"    {began - answered:7.2f} s  stopped after {stops[-1]:.0f} ms")
    return turns, stops


def rehearse(binary, fixture, folder):
    """Runs `nightline demo` under a capture; gives the capture, the server's SIP port and the record."""
    capture = folder / "lo.pcap"
    listening = subprocess.Popen(
        ["dumpcap", "-q", "-P", "-i", "lo", "-f", "udp", "-w", str(capture)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 10
    while not capture.exists() and time.monotonic() < deadline:
        assert listening.poll() is None, f"dumpcap cannot listen on lo: {listening.stderr.read().decode()}"
        time.sleep(0.05)
    try:
        demo = subprocess.run(
            [binary, "demo", "--fixture", str(ROOT / f"fixtures/{fixture}.toml"), "--folder", str(folder)],
            capture_output=True, text=True, timeout=240, cwd=folder,
        )  # fmt: skip
    finally:
        time.sleep(0.3)
        listening.send_signal(signal.SIGINT)
        listening.wait(10)
    found = re.search(r"server listening on [\d.]+:(\d+)", demo.stderr)
    assert found, f"`nightline demo` failed: {demo.stderr[-800:]}"
    records = [json.loads(path.read_text("utf-8")) for path in folder.rglob("*.json")]
    return capture, int(found[1]), records[0], demo.returncode == 0


def summary(values):
    if not values:
        return "none"
    values = sorted(values)
    at = lambda share: values[min(int(len(values) * share), len(values) - 1)]
    return f"p50 {at(0.5):5.0f}  p95 {at(0.95):5.0f}  max {values[-1]:5.0f}  ({len(values)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixtures", nargs="*", default=FIXTURES)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--binary", default=str(target / "release/nightline"))
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threshold", type=int, default=200)
    parser.add_argument("--pairs", action="store_true", help="every single figure")
    parser.add_argument("--pcap", type=Path)
    parser.add_argument("--server", type=int, help="with --pcap: the server's SIP port")
    options = parser.parse_args()
    if options.pcap:
        turns, stops = on_the_wire(options.pcap, options.server, options.threshold, True)
        print(f"turn_latency   {summary(turns)}\nbarge_in_stop  {summary(stops)}")
        return
    if not shutil.which("dumpcap"):
        sys.exit("error: dumpcap is missing: apt-get install tshark")
    binary = str(Path(options.binary).resolve())
    turns, stops, timings = [], [], []
    load = os.getloadavg()
    for fixture in options.fixtures * options.repeat:
        with tempfile.TemporaryDirectory(prefix="nightline-latency-") as folder:
            capture, server, record, passed = rehearse(binary, fixture, Path(folder))
            if options.pairs:
                print(f"  {fixture}")
            new_turns, new_stops = on_the_wire(capture, server, options.threshold, options.pairs)
        turns += new_turns
        stops += new_stops
        answers = [turn["timings"] for turn in record["turns"] if turn.get("timings")]
        timings += answers
        good = "ok" if passed else "not as expected"
        print(f"{fixture}: {good}; turns on the wire {len(new_turns)}, in the record {len(answers)}", file=sys.stderr, flush=True)
    print(f"load average at the start {load[0]:.2f}, at the end {os.getloadavg()[0]:.2f}")
    print(f"on the wire (ms)\n  turn_latency           {summary(turns)}\n  barge_in_stop          {summary(stops)}")
    print("in the records (ms after the caller's last speech)")
    for stage in STAGES:
        values = [timing[stage] for timing in timings if timing.get(stage) is not None]
        print(f"  {stage.removesuffix('_ms'):22} {summary(values)}")


if __name__ == "__main__":
    main()
