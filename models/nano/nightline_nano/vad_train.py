"""Trains the voice activity detector on synthetic lines whose truth is known, and tests it on others.

`python -m nightline_nano vad` takes shards of `synthesise`, trains, exports to `models/nightline-vad.bin`, writes what the Rust test
compares with, and prints the table. Where `--out` has trained weights already, they are used. The test lines have voices, noises
and music that were never trained; the music is of the same maker.
"""

import random
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile

from . import channel, say
from .vad import HIDDEN, INPUTS, features, probabilities, read, score, truth, write

NOISY = ("clean", "20 dB", "10 dB", "5 dB", "0 dB", "street 10 dB", "music 5 dB", "talker -15 dB")
QUIET = ("music alone", "ring-back", "DTMF", "noise alone", "swinging noise", "coughs and clicks", "talkers far away")
MODEL = Path(__file__).resolve().parents[2] / "nightline-vad.bin"
VECTOR = Path(__file__).resolve().parents[3] / "src/media/vad/testdata"


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(INPUTS, HIDDEN, batch_first=True)
        self.out = torch.nn.Linear(HIDDEN, 1)

    def forward(self, x):
        return self.out(self.gru(x)[0])[..., 0]

    def weights(self):
        named = {name.removeprefix("gru.").removesuffix("_l0"): v.detach().numpy() for name, v in self.gru.named_parameters()}
        return named | {"out_weight": self.out.weight.detach().numpy()[0], "out_bias": self.out.bias.detach().numpy()}


def line(voices, r, seconds, speech=True):
    """Utterances with pauses → (float at 8 kHz, truth of its frames, rms of the speech)."""
    n = int(seconds * 50)
    x, y, at = np.zeros(n * 160, np.float32), np.zeros(n, bool), int(r.integers(0, 100))
    while speech and at < n - 30:
        u = voices[r.integers(len(voices))].astype(np.float32) / 32768
        u = u[: (n - at - 5) * 160] * 10 ** (r.uniform(-5, 0) / 20)
        frames = len(u) // 160
        x[at * 160 : (at + frames) * 160] = u[: frames * 160]
        y[at : at + frames] = truth(u)
        at += frames + int(r.integers(12, 120))
    return x, y, np.sqrt((x[np.repeat(y, 160)] ** 2).mean()) if y.any() else 0.08


def bursts(n, r, level):
    """Coughs, clicks, breath: short coloured noise."""
    x = np.zeros(n, np.float32)
    for _ in range(r.integers(1, 9)):
        k = int(8000 * r.choice([r.uniform(0.003, 0.03), r.uniform(0.1, 0.5)]))
        a, d = int(r.integers(0, n - k)), np.arange(k) / k
        x[a : a + k] += channel.coloured(k, r) * (np.exp(-4 * d) if r.random() < 0.6 else np.sin(np.pi * d)) * level * r.uniform(0.1, 1.5)
    return x


def swinging(noise, r):
    """The noise rises and falls by up to 12 dB: slowly, in steps, or both."""
    n = len(noise)
    db = r.uniform(3, 12) * np.sin(2 * np.pi * r.uniform(0.1, 2.5) * np.arange(n) / 8000 + r.uniform(0, 6))
    if r.random() < 0.5:
        ends = np.sort(r.integers(0, n, r.integers(1, 5)))
        db = db * r.integers(0, 2) + np.repeat(r.uniform(-12, 6, len(ends) + 1), np.diff(ends, prepend=0, append=n))
    return (noise * 10 ** (db / 20)).astype(np.float32)


def talkers(voices, r, seconds, count):
    """Other people, of power 1 while they speak."""
    return sum(x / power for x, _, power in (line(voices, r, seconds) for _ in range(count))) / np.sqrt(count)


def draw(voices, connection, seconds):
    """One training line: (float at 8 kHz, truth, weight of each frame)."""
    r = connection.r
    db = lambda low, high: 10 ** (-r.uniform(low, high) / 20)
    x, y, power = line(voices, r, seconds, r.random() < 0.75)
    n, weight = len(x), np.ones(len(y), np.float32)
    if y.any():
        if r.random() < 0.6:
            x = channel.equalise(x, r)
        if r.random() < 0.25:
            x = channel.breathe(x, r)
        if r.random() < 0.25:
            x = channel.room(x, r)[:n]
    if r.random() < (0.3 if y.any() else 0.5):
        x = x + talkers(voices, r, seconds, r.choice([1, 1, 2, 5])) * power * db(13, 28)
    if r.random() < (0.3 if y.any() else 0.45):
        x = x + connection.excerpt(connection.tones, n) * power * (db(2, 20) if y.any() else db(-5, 20))
    if r.random() < 0.3:
        x = x + bursts(n, r, power)
    if r.random() > 0.15:
        noise = connection.excerpt(connection.noises, n)
        x = x + (swinging(noise, r) if r.random() < 0.35 else noise) * power * db(-3, 30)
    x = channel.alaw(x * (db(0, 15) if r.random() < 0.85 else db(15, 27)))
    if r.random() < 0.15:
        x = channel.lose(x, r.uniform(0.01, 0.1), r, r.uniform(1, 2.5))
    # The first syllable must be seen at once.
    for start in np.flatnonzero(np.diff(y.astype(int), prepend=0) == 1):
        if not y[max(0, start - 12) : start].any():
            weight[start : start + 5][y[start : start + 5]] = 2
    return x, y, weight


def raised(lines, kind="sinc"):
    """Float lines at 8 kHz → int16 at 16 kHz."""
    x = channel.up(torch.from_numpy(np.stack(lines).astype(np.float32)), kind).numpy()
    return np.clip(np.round(x * 32767), -32768, 32767).astype(np.int16)


def drawn(shards, count, seconds=8):
    """Training lines: features, truth and weights as tensors."""
    voices = [x for shard in shards for _, x in say.load(shard)[:: max(1, len(shards) // 3)]]
    parts, done = [], 0
    for seed in range(11, 14):
        connection = channel.Channel(seed)
        while done < count * (seed - 10) // 3:
            block = [draw(voices, connection, seconds) for _ in range(48)]
            x16 = raised([x for x, _, _ in block], ("sinc", "short", "linear", "sinc")[done // 48 % 4])
            parts.append((features(x16), np.stack([y for _, y, _ in block]).astype(np.float32), np.stack([w for _, _, w in block])))
            done += 48
        print(f"{done} lines of {seconds} s", flush=True)
    return [torch.from_numpy(np.concatenate(part)) for part in zip(*parts)]


def train(shards, out, steps, count):
    torch.manual_seed(1)
    x, y, weight = drawn(shards, count)
    print(f"{y.mean():.2f} of it speech", flush=True)
    net = Net()
    optimiser = torch.optim.Adam(net.parameters())
    for step in range(1, steps + 1):
        optimiser.param_groups[0]["lr"] = 1e-4 + 4e-3 * (1 - step / steps) * min(1, step / 50)
        rows = torch.randint(len(x), (48,))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows], weight[rows])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1)
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step} of {steps}, loss {loss:.4f}", flush=True)
    write(out / "vad.bin", net.weights())


def said(shard, count):
    """Utterances of voices that are never trained."""
    speaker, picker, voices = say.Speaker(), random.Random(992), []
    sentences = [m for m, _ in say.load(shard)[-300:] if len(m["text"]) > 3]
    while len(voices) < count:
        m = picker.choice(sentences)
        if (one := speaker.say(m["lang"], m["text"], picker, held=True)) is not None:
            voices.append(one[2])
    return voices


def tests(shard, count=15, seconds=12):
    """Name → (int16 at 16 kHz (lines, samples), truth): held-out voices; noises and music of a seed never trained."""
    r, connection, voices = np.random.default_rng(990), channel.Channel(991), said(shard, 60)
    made = {}
    for name in NOISY + QUIET:
        lines = []
        for _ in range(count):
            x, y, power = line(voices, r, seconds, name in NOISY)
            x = x + power * _around(name, r, connection, voices, len(x))
            lines.append((channel.alaw(0.5 * x), y))
        made[name] = raised([a for a, _ in lines]), np.stack([b for _, b in lines])
    return made


def _around(name, r, connection, voices, n):
    """What is on the line beside the caller, whose rms is 1."""
    t, noise = np.arange(n) / 8000, connection.excerpt(connection.noises[:40], n)
    x = np.zeros(n)
    if name == "clean":
        return x
    if name.startswith("street"):
        return channel.street(n, r) * 10 ** (-10 / 20)
    if name.startswith("music"):
        return channel.tones(n, _Music(r)) * (10 ** (-5 / 20) if name == "music 5 dB" else 0.7)
    if name == "ring-back":
        return np.sin(2 * np.pi * 450 * t) * ((t + r.uniform(0, 5)) % 5 < 1)
    if name == "DTMF":
        for a in np.arange(0.2, n / 8000 - 1, r.uniform(0.2, 0.6)):
            k = slice(int(a * 8000), int((a + 0.1) * 8000))
            x[k] = np.sin(2 * np.pi * r.choice([697, 770, 852, 941]) * t[k]) + np.sin(2 * np.pi * r.choice([1209, 1336, 1477]) * t[k])
        return x
    if name == "noise alone":
        return noise * 0.5
    if name == "swinging noise":
        return swinging(noise * 0.5, r)
    if name == "coughs and clicks":
        return bursts(n, r, 1) + noise * 0.03
    if name == "talkers far away":
        return talkers(voices, r, n / 8000, 2) * 10 ** (-20 / 20) + noise * 0.1
    if name.startswith("talker"):
        return talkers(voices, r, n / 8000, 1) * 10 ** (-15 / 20) + noise * 0.03
    return noise * 10 ** (-float(name.split()[0]) / 20)


class _Music:
    """The generator, but the first draw of `channel.tones` says music."""

    def __init__(self, r):
        self.r, self.first = r, True

    def __getattr__(self, name):
        return getattr(self.r, name)

    def integers(self, *bounds):
        if self.first:
            self.first = False
            return 3
        return self.r.integers(*bounds)


def vector(weights, shard):
    """For the tests: four seconds of a noisy line, and what this network answers to it."""
    r, connection = np.random.default_rng(77), channel.Channel(78)
    x, _, power = line(said(shard, 4), r, 4)
    x16 = raised([channel.alaw(0.5 * (x + connection.excerpt(connection.noises, len(x)) * power * 0.15))])
    VECTOR.mkdir(parents=True, exist_ok=True)
    wavfile.write(VECTOR / "line.wav", 16_000, x16[0])
    text = "".join(f"{p:.6f}\n" for p in probabilities(weights, x16)[0])
    (VECTOR / "line.txt").write_text(text)


def main(a):
    """Step `vad` of the recipe."""
    torch.set_num_threads(1)
    out = a.out / "vad"
    out.mkdir(parents=True, exist_ok=True)
    shards = sorted(a.data.glob("train-*.pkl"))
    shards = shards[:: max(1, len(shards) // 10)]
    if not shards:
        raise SystemExit(f"{a.data} has no shards: run `synthesise` first")
    if not (out / "vad.bin").exists():
        train(shards, out, a.vad_steps, a.vad_lines)
    MODEL.write_bytes((out / "vad.bin").read_bytes())
    weights = read(MODEL)
    vector(weights, shards[0])
    print("| line | area, true/false | onset, median / p95 ms | ending, median / p95 ms | false starts a minute |\n|---|---|---|---|---|")
    for name, (x, y) in tests(shards[0]).items():
        print(f"| {name} | {score(probabilities(weights, x), y).row()} |", flush=True)
