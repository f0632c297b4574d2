#!/usr/bin/env python3
"""Turn latency and barge-in stop, on the wire and in the callers' recordings, with one call or with many at once.

usage: measure.py [--binary PATH] [--calls N] [--seconds S] [--pairs] [--keep]
       measure.py --pcap FILE --server PORT

Starts `nightline serve` with the embedded engines. N callers (`nightline call`, each a process of its own on the same machine) phone
it over SIP and RTP, one recorded caller after the other, for S seconds, while dumpcap (of tshark) listens on loopback. The RTP of every
call is found by its SDP and both directions are decoded; what each caller recorded is measured the same way. A packet or a frame (20 ms)
is speech if its mean amplitude is above --threshold (of 32768; 200 is -44 dB).

turn_latency   from the caller's last speech to the bot's first after it. A pause of the caller of less than 0.3 s is a part of the
               turn.
barge_in_stop  from the caller's first speech over the bot to the bot's last before 0.4 s of silence.

Stages are those of the call records, each measured from the caller's last speech frame, so they add up from left to right. The callers
that interrupt do so 0.8 to 3.4 s into an answer: copies of the recorded ones with another delay. Exit status 1 if a call failed.
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
import threading
import time
import wave
from array import array
from itertools import count
from pathlib import Path

from bench_server import ROOT, configure

# Callers without noise, over which the threshold would hear a caller who never stops, and without a seat.
PLAIN = "lamp range-drop thanks own-words".split()
# Interrupting callers, how many of their steps are played, and how long into the answer they interrupt, milliseconds.
INTERRUPTING = [("interrupt", 3, 800), ("demo", 3, 1200), ("interrupt", 3, 1700), ("demo", 3, 2200), ("interrupt", 3, 2600), ("demo", 3, 3400)]
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


def calls_of(packets, server):
    """RTP ports of caller and server, and when it was answered, of each call to port `server`."""
    offers, answered = {}, {}
    header = lambda message, name: (re.search(rb"(?im)^" + name + rb":\s*(.*?)\r$", message) or [b"", b""])[1]
    port = lambda message: int(found[1]) if (found := re.search(rb"m=audio (\d+)", message)) else None
    for when, source, destination, payload in packets:
        if destination == server and payload.startswith(b"INVITE ") and port(payload):
            offers.setdefault(header(payload, b"Call-ID"), port(payload))
        elif source == server and payload.startswith(b"SIP/2.0 200") and port(payload):
            call = header(payload, b"Call-ID")
            if call in offers:
                answered.setdefault(call, (offers[call], port(payload), when))
    return list(answered.values())


def speech(packets, threshold):
    """Times of the speech in each direction: {(source port, destination port): [seconds]}."""
    times = {}
    for when, source, destination, payload in packets:
        if len(payload) > 12 and payload[0] >> 6 == 2 and payload[1] & 0x7F == 8:
            body = payload[12:]
            if sum(LEVEL[byte] for byte in body) > threshold * len(body):
                times.setdefault((source, destination), []).append(when)
    return times


def recorded_speech(path, threshold):
    """Times of the speech in a recording's left (caller) and right channel (bot)."""
    with wave.open(str(path)) as recording:
        assert recording.getnchannels() == 2 and recording.getsampwidth() == 2, f"{path} is not 16-bit stereo"
        rate, samples = recording.getframerate(), array("h", recording.readframes(recording.getnframes()))
    step = rate // 50
    loud = lambda side, frame: sum(map(abs, samples[2 * step * frame + side : 2 * step * (frame + 1) : 2])) > threshold * step
    return [[frame / 50 for frame in range(len(samples) // (2 * step)) if loud(side, frame)] for side in (0, 1)]


def stretches(times, gap, least=0.06):
    """[first, last] of each stretch without a gap; shorter ones than `least` are clicks."""
    found = []
    for when in times:
        if found and when - found[-1][1] <= gap:
            found[-1][1] = when
        else:
            found.append([when, when])
    return [stretch for stretch in found if stretch[1] - stretch[0] >= least]


def measure(said, heard, began_at=0.0, pairs=False):
    """Turn latencies and barge-in stops of one call, milliseconds, from the times of both sides' speech."""
    caller, bot = stretches(said, PAUSE), stretches(heard, STOPPED)
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
                print(f"    {ended - began_at:7.2f} s  answered after {turns[-1]:.0f} ms")
        if speaking and pairs:
            print(f"    {began - began_at:7.2f} s  stopped after {stops[-1]:.0f} ms")
    return turns, stops


def on_the_wire(path, server, threshold, pairs=False):
    """Turn latencies and barge-in stops of all calls of a capture, milliseconds; and how many calls there were."""
    packets = list(datagrams(path))
    found, calls = ([], []), calls_of(packets, server)
    spoken = speech(packets, threshold)
    for caller_port, server_port, answered in calls:
        if pairs:
            print(f"  call from port {caller_port}")
        # Ports are used again by later calls.
        later = [when for a, b, when in calls if (a, b) == (caller_port, server_port) and when > answered]
        during = lambda times: [when for when in times if answered <= when < min(later, default=float("inf"))]
        said, heard = (during(spoken.get(ports, [])) for ports in ((caller_port, server_port), (server_port, caller_port)))
        for all_calls, one in zip(found, measure(said, heard, answered, pairs)):
            all_calls += one
    return *found, len(calls)


def scripts(folder):
    """The callers, as files in `folder`, in the order in which they phone."""
    made = []
    for name, steps, after in INTERRUPTING:
        text = (ROOT / f"fixtures/{name}.toml").read_text("utf-8").split("[expect]")[0]
        head, *parts = text.split("[[step]]")
        text = re.sub(r"after_ms = \d+", f"after_ms = {after}", "[[step]]".join([head, *parts[:steps]]))
        made.append(folder / f"{name}-{after}.toml")
        made[-1].write_text(re.sub(r'\nseat = "\w+"', "", text), "utf-8")
        shutil.copy(ROOT / f"fixtures/{name}.wav", folder / f"{name}-{after}.wav")
    plain = [ROOT / f"fixtures/{name}.toml" for name in PLAIN]
    return [script for pair in zip(made, plain * 2) for script in pair]


def talk(options, folder, port):
    """Callers phone the server for the time that was given. What went wrong, and the recordings."""
    trouble, recordings, numbers, callers = [], [], count(), scripts(folder)
    until = time.monotonic() + options.seconds

    def lane(first):
        time.sleep(first * 0.7)  # nobody phones in step
        for turn in count(first):
            if time.monotonic() > until:
                return
            script, recording = callers[turn % len(callers)], folder / f"heard-{next(numbers)}.wav"
            command = [options.binary, "call", f"sip:400@127.0.0.1:{port}", "--script", str(script), "--record", str(recording), "--json"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=240)
            if done.returncode:
                trouble.append(f"{script.stem}: {done.stderr.strip()[-300:] or done.stdout[-300:]}")
            recordings.append(recording)
            print(f"{len(recordings)} calls", end="\r", file=sys.stderr, flush=True)

    lanes = [threading.Thread(target=lane, args=(number,)) for number in range(options.calls)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    return trouble, [path for path in recordings if path.exists()]


def rehearse(options, folder):
    """Runs server, capture and callers; gives the capture, the server's port, the records, the recordings and what went wrong."""
    capture = folder / "lo.pcap"
    config, sip, _ = configure(folder, options.calls)
    dumpcap = ["dumpcap", "-q", "-P", "-B", "64", "-i", "lo", "-f", "udp", "-w", str(capture)]
    listening = subprocess.Popen(dumpcap, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen([options.binary, "serve", "--config", str(config)], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        time.sleep(3)
        assert listening.poll() is None, f"dumpcap cannot listen on lo: {listening.stderr.read().decode()}"
        assert server.poll() is None, (folder / "server.log").read_text(errors="replace")
        trouble, recordings = talk(options, folder, sip)
    finally:
        time.sleep(1)
        listening.send_signal(signal.SIGINT)
        listening.wait(10)
        server.terminate()
        server.wait(20)
    records = [json.loads(path.read_text("utf-8")) for path in folder.glob("recordings/**/*.json")]
    return capture, sip, records, recordings, trouble


def summary(values):
    if not values:
        return "none"
    values = sorted(values)
    at = lambda share: values[min(int(len(values) * share), len(values) - 1)]
    return f"p50 {at(0.5):5.0f}  p95 {at(0.95):5.0f}  max {values[-1]:5.0f}  ({len(values)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--binary", default=str(target / "release/nightline"))
    parser.add_argument("--calls", type=int, default=1, help="at once")
    parser.add_argument("--seconds", type=int, default=240, help="calls begin for so long")
    parser.add_argument("--threshold", type=int, default=200)
    parser.add_argument("--pairs", action="store_true", help="every single figure")
    parser.add_argument("--keep", action="store_true", help="keep the capture, the recordings and the records")
    parser.add_argument("--pcap", type=Path)
    parser.add_argument("--server", type=int, help="with --pcap: the server's SIP port")
    options = parser.parse_args()
    if options.pcap:
        turns, stops, calls = on_the_wire(options.pcap, options.server, options.threshold, True)
        print(f"{calls} calls\nturn_latency   {summary(turns)}\nbarge_in_stop  {summary(stops)}")
        return
    if not shutil.which("dumpcap"):
        sys.exit("error: dumpcap is missing: apt-get install tshark")
    options.binary = str(Path(options.binary).resolve())
    folder = Path(tempfile.mkdtemp(prefix="nightline-latency-"))
    load = os.getloadavg()
    capture, server, records, recordings, trouble = rehearse(options, folder)
    print(f"{options.calls} at once; load average at the start {load[0]:.2f}, at the end {os.getloadavg()[0]:.2f}")
    turns, stops, calls = on_the_wire(capture, server, options.threshold, options.pairs)
    print(f"on the wire (ms), {calls} calls\n  turn_latency           {summary(turns)}\n  barge_in_stop          {summary(stops)}")
    turns, stops = [], []
    for path in recordings:
        for all_calls, one in zip((turns, stops), measure(*recorded_speech(path, options.threshold))):
            all_calls += one
    print(f"in the callers' recordings (ms), {len(recordings)} calls")
    print(f"  turn_latency           {summary(turns)}\n  barge_in_stop          {summary(stops)}")
    print(f"in {len(records)} records (ms after the caller's last speech)")
    timings = [turn["timings"] for record in records for turn in record["turns"] if turn.get("timings")]
    for stage in STAGES:
        values = [timing[stage] for timing in timings if timing.get(stage) is not None]
        print(f"  {stage.removesuffix('_ms'):22} {summary(values)}")
    for line in trouble:
        print(f"not as expected: {line}")
    if options.keep or calls < len(recordings):
        print(f"kept: {folder}; the server's port is {server}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if calls < len(recordings) or not recordings else 0)


if __name__ == "__main__":
    main()
