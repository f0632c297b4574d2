"""Voice activity for the telephone band: a small causal GRU, trained on synthetic lines whose truth is known.

    python -m nightline_nano.vad train SHARDS... --out FOLDER [--seconds 120]
    python -m nightline_nano.vad test SHARD --out FOLDER   # prints the table; FOLDER/test gets a WAV and an .npz of each set

Frames are 20 ms at 16 kHz (320 samples), raised from the 8 kHz line; nothing behind the frame is looked at.
"""

import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile

from . import channel, say

FRAME, WINDOW, BANDS, HIDDEN = 320, 512, 24, 32
SETS = ["clean", "20 dB", "10 dB", "5 dB", "0 dB", "street 10 dB", "music 5 dB", "music alone", "ring-back", "DTMF", "noise alone"]
QUIET_SETS = ("music alone", "ring-back", "DTMF", "noise alone")


def filters():
    """Triangles, even in mel from 100 to 3,800 Hz; (bands, bins)."""
    mel = np.linspace(1127 * np.log(1 + 100 / 700), 1127 * np.log(1 + 3800 / 700), BANDS + 2)
    edge = 700 * (np.exp(mel / 1127) - 1) / (16_000 / WINDOW)
    bins = np.arange(WINDOW // 2 + 1)
    low, mid, high = edge[:-2, None], edge[1:-1, None], edge[2:, None]
    bank = np.maximum(0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
    return (bank / (bank.sum(1, keepdims=True) + 1e-9)).astype(np.float32)


BANK = filters()


def features(x16):
    """int16 at 16 kHz, (lines, samples) → (lines, frames, 3·BANDS): against the running level of the line, against the
    running mean of each band (both over about a second and a half), and the change since the last frame."""
    x = np.pad(x16.astype(np.float32) / 32768, ((0, 0), (WINDOW - FRAME, 0)))
    count = x16.shape[1] // FRAME
    pieces = np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=1)[:, ::FRAME][:, :count]
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    power = np.abs(np.fft.rfft(pieces * window)) ** 2
    e = np.log(power @ BANK.T + 1e-5).astype(np.float32)
    out, mean = np.empty((len(e), count, 3 * BANDS), np.float32), e[:, 0].copy()
    for t in range(count):
        mean += (e[:, t] - mean) * max(1 / (t + 1), 1 / 75)
        out[:, t, :BANDS] = (e[:, t] - mean.mean(1, keepdims=True)) / 3
        out[:, t, BANDS : 2 * BANDS] = (e[:, t] - mean) / 3
        out[:, t, 2 * BANDS :] = (e[:, t] - e[:, max(0, t - 1)]) / 3
    return out


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(3 * BANDS, HIDDEN, batch_first=True)
        self.out = torch.nn.Linear(HIDDEN, 1)

    def forward(self, x):
        return self.out(self.gru(x)[0])[..., 0]


def truth(clean):
    """Frames (20 ms of 8 kHz) of one utterance within 30 dB of its loudest; gaps up to 200 ms belong to the speech."""
    k = clean[: len(clean) // 160 * 160].astype(np.float32).reshape(-1, 160)
    e = 10 * np.log10((k**2).mean(1) + 1e-9)
    on = e > e.max(initial=-90) - 30
    at = np.nonzero(on)[0]
    for a, b in zip(at, at[1:]):
        if b - a <= 10:
            on[a:b] = True
    return on


def line(voices, r, seconds, speech=True):
    """Utterances with pauses → (float at 8 kHz, truth of its frames, rms of the speech)."""
    n = int(seconds * 50)
    x, y = np.zeros(n * 160, np.float32), np.zeros(n, bool)
    at = int(r.integers(10, 100))
    while speech:
        u = voices[r.integers(len(voices))].astype(np.float32) / 32768
        frames = len(u) // 160
        if at + frames >= n:
            if y.any():
                break
            u, frames = u[: (n - at - 5) * 160], n - at - 5
        x[at * 160 : (at + frames) * 160] = u[: frames * 160]
        y[at : at + frames] = truth(u)[:frames]
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


def draw(voices, line_out, seconds):
    """One training line: (int16 at 8 kHz, truth)."""
    r = line_out.r
    x, y, power = line(voices, r, seconds, r.random() < 0.85)
    n = len(x)
    if y.any():
        if r.random() < 0.5:
            x = channel.equalise(x, r)
        if r.random() < 0.25:
            x = channel.breathe(x, r)
        if r.random() < 0.25:
            x = channel.room(x, r)[:n]
    if r.random() < 0.15:
        o = line(voices, r, seconds)[0]
        x = x + o * 10 ** (-r.uniform(13, 26) / 20)
    if r.random() < 0.3:
        x = x + line_out.excerpt(line_out.tones, n) * power * 10 ** (-r.uniform(-5 if not y.any() else 2, 20) / 20)
    if r.random() < 0.3:
        x = x + bursts(n, r, power)
    if r.random() > 0.15:
        x = x + line_out.excerpt(line_out.noises, n) * power * 10 ** (-r.uniform(-5, 30) / 20)
    x = channel.alaw(x * 10 ** (r.uniform(-30, 0) / 20))
    if r.random() < 0.15:
        x = channel.lose(x, r.uniform(0.01, 0.1), r, r.uniform(1, 2.5))
    return x, y


def raised(lines):
    """Float lines at 8 kHz → int16 at 16 kHz."""
    x = channel.up(torch.from_numpy(np.stack(lines).astype(np.float32))).numpy()
    return np.clip(np.round(x * 32767), -32768, 32767).astype(np.int16)


def train(shards, out, seconds, count):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    voices = [x for shard in shards for _, x in say.load(shard)[:1200]]
    line_out = channel.Channel(11)
    drawn = [draw(voices, line_out, 10) for _ in range(count)]
    x = torch.from_numpy(features(raised([a for a, _ in drawn])))
    y = torch.from_numpy(np.stack([b for _, b in drawn]).astype(np.float32))
    print(f"{count} lines of 10 s, {y.mean():.2f} speech", flush=True)
    net, start, step = Net(), time.monotonic(), 0
    optimiser = torch.optim.Adam(net.parameters(), 4e-3)
    out.mkdir(parents=True, exist_ok=True)
    while (used := (time.monotonic() - start) / seconds) < 1:
        optimiser.param_groups[0]["lr"] = 4e-3 * (1 - used) + 1e-4
        rows = torch.randint(len(x), (32,))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1)
        optimiser.step()
        step += 1
        if step % 25 == 0:
            print(f"step {step} loss {loss:.4f} at {used * seconds:.0f} s", flush=True)
            torch.save(net.state_dict(), out / "vad.pt")
    torch.save(net.state_dict(), out / "vad.pt")


def tests(shard):
    """Name → (int16 at 16 kHz (lines, samples), truth): held-out voices; noises and music of a seed never trained."""
    r, bank, speaker, picker = np.random.default_rng(990), channel.Channel(991), say.Speaker(), random.Random(992)
    sentences = [m for m, _ in say.load(shard)[-300:] if len(m["text"]) > 3]
    voices = []
    while len(voices) < 40:
        m = picker.choice(sentences)
        if (said := speaker.say(m["lang"], m["text"], picker, held=True)) is not None:
            voices.append(said[2])
    made = {}
    for name in SETS:
        lines = []
        for _ in range(15):
            x, y, power = line(voices, r, 12, name not in QUIET_SETS)
            n, t = len(x), np.arange(len(x)) / 8000
            if name.startswith("street"):
                x = x + channel.street(n, r) * power * 10 ** (-10 / 20)
            elif name.startswith("music"):
                music = channel.tones(n, _Music(r))
                x = x + music * power * (10 ** (-5 / 20) if name == "music 5 dB" else 0.7)
            elif name == "ring-back":
                x = x + 0.1 * np.sin(2 * np.pi * 450 * t) * ((t + r.uniform(0, 5)) % 5 < 1)
            elif name == "DTMF":
                for a in np.arange(0.2, 11, r.uniform(0.2, 0.6)):
                    k = slice(int(a * 8000), int((a + 0.1) * 8000))
                    x[k] += 0.1 * (np.sin(2 * np.pi * r.choice([697, 770, 852, 941]) * t[k]) + np.sin(2 * np.pi * r.choice([1209, 1336, 1477]) * t[k]))
            elif name == "noise alone":
                x = x + bank.excerpt(bank.noises[:40], n) * 0.05
            elif name != "clean":
                x = x + bank.excerpt(bank.noises[:40], n) * power * 10 ** (-float(name.split()[0]) / 20)
            lines.append((channel.alaw(0.5 * x), y))
        made[name] = raised([a for a, _ in lines]), np.stack([b for _, b in lines])
    return made


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


def score(p, y):
    """Area under the curve, true and false positive rate at 0.5; the first two NaN where nobody speaks."""
    p, y = p.ravel(), y.ravel()
    false = (p[~y] >= 0.5).mean()
    if not y.any():
        return float("nan"), float("nan"), false
    rank = np.empty(len(p))
    for value, where in zip(*_ties(p)):
        rank[where] = value
    area = (rank[y].sum() - y.sum() * (y.sum() + 1) / 2) / (y.sum() * (~y).sum())
    return area, (p[y] >= 0.5).mean(), false


def _ties(p):
    order = np.argsort(p, kind="stable")
    groups = np.split(order, np.nonzero(np.diff(p[order]))[0] + 1)
    ends = np.cumsum([len(g) for g in groups])
    return [e - (len(g) - 1) / 2 for e, g in zip(ends, groups)], groups


def test(out, shard):
    torch.set_num_threads(1)
    net = Net()
    net.load_state_dict(torch.load(out / "vad.pt"))
    (out / "test").mkdir(exist_ok=True)
    for name, (x, y) in tests(shard).items():
        with torch.no_grad():
            p = torch.sigmoid(net(torch.from_numpy(features(x)))).numpy()
        stem = out / "test" / name.replace(" ", "_")
        wavfile.write(stem.with_suffix(".wav"), 16_000, x.ravel())
        np.savez(stem.with_suffix(".npz"), truth=y, ours=p)
        area, true, false = score(p, y)
        print(f"| {name} | {area:.3f} {true:.2f}/{false:.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "test"])
    parser.add_argument("shards", nargs="+", type=Path, help="for `test` one, for its sentences")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--lines", type=int, default=400, help="lines of 10 s to train on")
    given = parser.parse_args()
    if given.what == "train":
        train(given.shards, given.out, given.seconds, given.lines)
    else:
        test(given.out, given.shards[0])
