"""The voice activity detector without torch: its features, its file, what it answers, and how it is scored.

A causal GRU over frames of 20 ms at 16 kHz (320 samples), raised from the 8 kHz line; nothing behind the frame is looked at.
`src/media/vad/` computes the same.
"""

import struct
from dataclasses import dataclass

import numpy as np

FRAME, WINDOW, BANDS, HIDDEN = 320, 512, 24, 48
INPUTS = 3 * BANDS + 2
# A voice is near when it is about as loud as the loudest lately, which is held to be at least so loud (natural logarithm of the
# power of a band, about −33 dB below full scale): somebody far away is not. From LOUD above that it makes no difference.
USUAL, LOUD, RISE, FALL = -2.5, 2.5, 0.1, 0.003
MAGIC, VERSION = b"NLVA", 1
# In the file after magic, version, FRAME, WINDOW, BANDS, HIDDEN (u32, little-endian): these in f16, row by row, with torch's order
# of gates (reset, update, new).
SHAPES = {
    "weight_ih": (3 * HIDDEN, INPUTS),
    "weight_hh": (3 * HIDDEN, HIDDEN),
    "bias_ih": (3 * HIDDEN,),
    "bias_hh": (3 * HIDDEN,),
    "out_weight": (HIDDEN,),
    "out_bias": (1,),
}
ONSET, SUSTAIN = 0.5, 0.35


def filters():
    """Triangles, even in mel from 100 to 3,800 Hz, each of sum 1; (bands, bins)."""
    mel = np.linspace(1127 * np.log(1 + 100 / 700), 1127 * np.log(1 + 3800 / 700), BANDS + 2)
    edge = 700 * (np.exp(mel / 1127) - 1) / (16_000 / WINDOW)
    bins = np.arange(WINDOW // 2 + 1)
    low, mid, high = edge[:-2, None], edge[1:-1, None], edge[2:, None]
    bank = np.maximum(0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
    return (bank / bank.sum(1, keepdims=True)).astype(np.float32)


BANK = filters()


def features(x16):
    """int16 at 16 kHz, (lines, samples) → (lines, frames, INPUTS): log bands against the running level of the line, against the
    running mean of each band (both over about a second and a half), and the change since the last frame; then the loudness against
    the loudest lately, and that against what is usual."""
    x = np.pad(x16.astype(np.float32) / 32768, ((0, 0), (WINDOW - FRAME, 0)))
    count = x16.shape[1] // FRAME
    pieces = np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=1)[:, ::FRAME][:, :count]
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    power = np.abs(np.fft.rfft(pieces * window).astype(np.complex64)) ** 2 @ BANK.T
    e, loudness = np.log(power + 1e-5), np.log(power.mean(2) + 1e-5)
    out, mean, last = np.empty((len(e), count, INPUTS), np.float32), e[:, 0].copy(), e[:, 0]
    loudest = np.full(len(e), USUAL, np.float32)
    for t in range(count):
        mean += (e[:, t] - mean) * max(1 / (t + 1), 1 / 75)
        loudest += np.where(loudness[:, t] > loudest, (loudness[:, t] - loudest) * RISE, -FALL)
        loudest = np.maximum(loudest, USUAL)
        against = [e[:, t] - mean.mean(1, keepdims=True), e[:, t] - mean, e[:, t] - last]
        near, loud = loudness[:, t] - loudest, np.minimum(loudest - USUAL, LOUD)
        out[:, t] = np.concatenate([*against, near[:, None], loud[:, None]], 1) / 3
        last = e[:, t]
    return out


def write(path, weights):
    """`weights`: name → array, see SHAPES."""
    data = MAGIC + struct.pack("<5I", VERSION, FRAME, WINDOW, BANDS, HIDDEN)
    for name, shape in SHAPES.items():
        if weights[name].shape != shape or not np.isfinite(weights[name]).all():
            raise ValueError(f"{name} must be {shape} and finite, not {weights[name].shape}")
        data += weights[name].astype("<f2").tobytes()
    path.write_bytes(data)


def read(path):
    data = path.read_bytes()
    if data[:4] != MAGIC or struct.unpack("<5I", data[4:24]) != (VERSION, FRAME, WINDOW, BANDS, HIDDEN):
        raise ValueError(f"{path} is no voice activity network of this shape: export it anew")
    ends = np.cumsum([24] + [2 * int(np.prod(shape)) for shape in SHAPES.values()])
    if len(data) != ends[-1]:
        raise ValueError(f"{path} has {len(data)} bytes instead of {ends[-1]}: export it anew")
    arrays = (np.frombuffer(data[a:b], "<f2").astype(np.float32) for a, b in zip(ends, ends[1:]))
    return {name: array.reshape(shape) for (name, shape), array in zip(SHAPES.items(), arrays)}


def probabilities(weights, x16):
    """What the network answers; (lines, frames)."""
    x = features(x16)
    h = np.zeros((len(x), HIDDEN), np.float32)
    out = np.empty(x.shape[:2], np.float32)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    for t in range(x.shape[1]):
        a, b = (v @ weights["weight_" + n].T + weights["bias_" + n] for v, n in ((x[:, t], "ih"), (h, "hh")))
        (ra, za, na), (rb, zb, nb) = np.split(a, 3, 1), np.split(b, 3, 1)
        z = sigmoid(za + zb)
        h = (1 - z) * np.tanh(na + sigmoid(ra + rb) * nb) + z * h
        out[:, t] = sigmoid(h @ weights["out_weight"] + weights["out_bias"])
    return out


def truth(clean, gap=5):
    """Frames (20 ms of 8 kHz) of one utterance within 30 dB of its loudest; gaps of up to `gap` frames belong to the speech."""
    k = clean[: len(clean) // 160 * 160].astype(np.float32).reshape(-1, 160)
    e = 10 * np.log10((k**2).mean(1) + 1e-9)
    on = e > e.max(initial=-90) - 30
    at = np.nonzero(on)[0]
    for a, b in zip(at, at[1:]):
        if b - a <= gap + 1:
            on[a:b] = True
    return on


@dataclass
class Score:
    """`area` under the curve; `true` and `false` positive rate of frames at ONSET. Delays in ms, from the first frame of speech to
    the end of the frame at which a call hears it (three of four at ONSET), and from the end of speech to the last frame at SUSTAIN."""

    area: float
    true: float
    false: float
    onsets: list
    missed: int
    endings: list
    false_starts: int
    pause_minutes: float

    def row(self):
        delay = lambda v: "–" if not v else f"{np.median(v):.0f} / {np.percentile(v, 95):.0f}"
        cell = lambda v: "–" if np.isnan(v) else f"{v:.3f}".lstrip("0")
        onset = delay(self.onsets) + (f", {self.missed} of {self.missed + len(self.onsets)} missed" if self.missed else "")
        rates = f"{self.true:.2f}/{self.false:.2f}".replace("nan", "–").replace("0.", ".")
        starts = self.false_starts / max(self.pause_minutes, 1e-9)
        return f"{cell(self.area)} {rates} | {onset} | {delay(self.endings)} | {starts:.1f}"


def score(p, y):
    """Probabilities and truth, (lines, frames)."""
    false = float((p[~y] >= ONSET).mean()) if (~y).any() else float("nan")
    area, true = (_area(p[y], p[~y]), float((p[y] >= ONSET).mean())) if y.any() else (float("nan"), float("nan"))
    onsets, missed, endings, starts = [], 0, [], 0
    for line, said in zip(p, y):
        heard, began = _heard(line)
        edges = np.flatnonzero(np.diff(said.astype(int), prepend=0, append=0))
        for a, b in edges.reshape(-1, 2):
            if not said[max(0, a - 15) : a].any() and not heard[max(0, a - 1)]:
                at = next((t for t in range(a, b) if heard[t]), None)
                missed += at is None
                onsets += [] if at is None else [20 * (at + 1 - a)]
            if b + 25 <= len(said) and not said[b : b + 25].any() and heard[b - 1]:
                after = np.flatnonzero(line[b : b + 25] >= SUSTAIN)
                endings.append(20 * (int(after[-1]) + 1) if len(after) else 0)
        starts += sum(not said[max(0, t - 6) : t + 3].any() for t in began)
    return Score(area, true, false, onsets, missed, endings, starts, float((~y).sum() / 3000))


def _heard(p):
    """As `call::listening` does: three of four frames begin an utterance; here 300 ms of silence end it. → (frames, onsets)"""
    heard, began, active, silent = np.zeros(len(p), bool), [], False, 0
    for t, v in enumerate(p):
        if active:
            silent = 0 if v >= SUSTAIN else silent + 1
            active = silent < 15
        elif (p[max(0, t - 3) : t + 1] >= ONSET).sum() >= 3:
            active, silent = True, 0
            began.append(t)
        heard[t] = active
    return heard, began


def _area(speech, rest):
    """Probability that a frame of speech has more than another frame; half a point for a tie."""
    rest = np.sort(rest)
    below = np.searchsorted(rest, speech, "left") + np.searchsorted(rest, speech, "right")
    return float(below.mean() / 2 / len(rest))
