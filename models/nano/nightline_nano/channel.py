"""From clean synthetic speech to what arrives over a telephone, and to log-mel as whisper.cpp computes it."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import firwin

from . import tokens

RATE = 8000


def alaw(x):
    """G.711 A-law there and back; float in [-1, 1]."""
    sign, m = np.sign(x), np.minimum(np.floor(np.minimum(np.abs(x), 1) * 4096), 4095)
    step = 2.0 ** np.maximum(np.floor(np.log2(np.maximum(m, 1))) - 4, 1)
    return (sign * (np.floor(m / step) + 0.5) * step / 4096).astype(np.float32)


def coloured(n, r):
    """Noise of a random colour; at times with hum, a tone, or slow swelling. Mean square 1."""
    w, f = np.fft.rfft(r.standard_normal(n)), np.fft.rfftfreq(n, 1 / RATE) + 30
    w *= f ** -r.uniform(0, 1.1)
    if r.random() < 0.3:
        w[f < r.uniform(150, 400)] *= 0.1
    x = np.fft.irfft(w, n)
    t = np.arange(n) / RATE
    if r.random() < 0.25:
        x = x / x.std() + r.uniform(0.2, 1) * np.sin(2 * np.pi * r.choice([50, 100, 150, 425, 1000]) * t + r.uniform(0, 6))
    if r.random() < 0.3:
        x = x * (1 + 0.6 * np.sin(2 * np.pi * r.uniform(0.2, 4) * t))
    return _unit(x)


def street(n, r):
    """Passing cars, knocks and clicks over a low rumble."""
    x = coloured(n, r)
    for _ in range(r.integers(1, 6)):
        centre, width = r.uniform(0, n), r.uniform(0.1, 2) * RATE
        x = x + r.uniform(1, 4) * np.exp(-0.5 * ((np.arange(n) - centre) / width) ** 2) * coloured(n, r)
    for _ in range(r.integers(0, 8)):
        at, length = r.integers(0, n), int(RATE * r.uniform(0.005, 0.08))
        k = min(length, n - at)
        x[at : at + k] += r.uniform(1, 8) * r.standard_normal(k) * np.exp(-5 * np.arange(k) / length)
    return _unit(x)


def tones(n, r):
    """What is no speech though it is not noise: ring-back, busy, music on hold, key tones."""
    t, kind = np.arange(n) / RATE, r.integers(0, 4)
    if kind == 0:
        on, off = (1.0, 4.0) if r.random() < 0.5 else (0.35, 0.35)
        x = np.sin(2 * np.pi * 450 * t) * (((t + r.uniform(0, on + off)) % (on + off)) < on)
    elif kind == 1:
        x = np.zeros(n)
        low, high = (697, 770, 852, 941), (1209, 1336, 1477)
        for start in np.arange(r.uniform(0, 0.3), n / RATE, r.uniform(0.15, 0.5)):
            k = slice(int(start * RATE), int((start + 0.1) * RATE))
            x[k] += np.sin(2 * np.pi * r.choice(low) * t[k]) + np.sin(2 * np.pi * r.choice(high) * t[k])
    else:
        x, beat = np.zeros(n), r.uniform(0.12, 0.6)
        scale = 220 * 2 ** (r.integers(0, 12) / 12) * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
        for start in np.arange(0, n / RATE, beat):
            a = int(start * RATE)
            d = np.arange(n - a) / RATE
            for _ in range(r.integers(1, 4)):
                f = r.choice(scale)
                tone = sum(np.sin(2 * np.pi * f * h * d) / h ** r.uniform(0.8, 2) for h in range(1, 6) if f * h < 3800)
                x[a:] += tone * np.exp(-d * r.uniform(1, 8))
    return _unit(x + 1e-4 * r.standard_normal(n))


def _unit(x):
    return (x / (np.sqrt((x**2).mean()) + 1e-9)).astype(np.float32)


def equalise(x, r, most_db=9):
    """A random smooth frequency response: another throat, another handset."""
    n = len(x)
    f = np.fft.rfftfreq(n, 1 / RATE)
    knots = np.linspace(0, 4000, r.integers(4, 10))
    gain = np.interp(f, knots, r.uniform(-most_db, most_db, len(knots)))
    return np.fft.irfft(np.fft.rfft(x) * 10 ** (gain / 20), n).astype(np.float32)


def drift(x, r):
    """Speaking rate and pitch wander by some percent, as a voice does and a synthesiser does not."""
    n = len(x)
    base = r.uniform(0.9, 1.12)
    knots = max(3, int(n / RATE * r.uniform(1, 6)) + 2)
    rate = np.interp(np.arange(n), np.linspace(0, n, knots), base * (1 + r.uniform(-0.06, 0.06, knots)))
    position = np.cumsum(rate)
    position = position[position < n - 1]
    return np.interp(position, np.arange(n), x).astype(np.float32)


def breathe(x, r):
    """Turbulence that follows the envelope: a breathy, human source."""
    envelope = np.sqrt(np.convolve(x**2, np.ones(80) / 80, "same"))
    noise = np.diff(r.standard_normal(len(x)), prepend=0)
    return (x + r.uniform(0.05, 0.35) * envelope * noise).astype(np.float32)


def room(x, r):
    n = int(RATE * r.uniform(0.06, 0.35))
    h = r.standard_normal(n).astype(np.float32) * np.exp(-6.9 * np.arange(n) / n)
    h *= r.uniform(0.08, 0.5) / np.sqrt((h**2).sum() + 1e-9)
    h[0] = 1
    size = 1 << (len(x) + n).bit_length()
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(h, size), size)[: len(x) + n // 2].astype(np.float32)


def lose(x, share, r, burst=1.5):
    """Loses 20 ms packets in bursts and conceals them as receivers do: silence, the last packet, or its last pitch period."""
    x, k, kind, bad, level = x.copy(), RATE // 50, r.integers(0, 3), False, 1.0
    for start in range(k, len(x) - k + 1, k):
        bad = r.random() < (1 - 1 / burst if bad else share / burst / (1 - share))
        if not bad:
            level = 1.0
            continue
        level *= 0.75
        if kind == 0:
            x[start : start + k] = 0
        elif kind == 1:
            x[start : start + k] = level * x[start - k : start]
        else:
            past = x[max(0, start - 400) : start]
            lags = range(24, min(160, len(past) // 2))
            period = max(lags, key=lambda lag: float(np.dot(past[-lag:], past[-2 * lag : -lag])), default=k)
            x[start : start + k] = level * np.resize(past[-period:], k)
    return x


class Channel:
    """Draws a telephone connection for each utterance. `r` is a numpy generator; everything follows from its seed."""

    def __init__(self, seed=0):
        self.r = r = np.random.default_rng(seed)
        self.noises = [coloured(10 * RATE, r) for _ in range(40)] + [street(10 * RATE, r) for _ in range(20)]
        self.tones = [tones(8 * RATE, r) for _ in range(40)]

    def excerpt(self, bank, n):
        x = bank[self.r.integers(len(bank))]
        return np.resize(np.roll(x, -int(self.r.integers(len(x)))), n)

    def train(self, x, other=None, speech=True, light=False):
        """One training utterance: int16 8 kHz in, float after the line out. `other` is somebody who talks in the background.
        Without `speech` only what surrounds it is left."""
        r = self.r
        x = x.astype(np.float32) / 32768
        if r.random() < 0.45:
            x = drift(x, r)
        if r.random() < 0.5:
            x = equalise(x, r)
        if r.random() < 0.25:
            x = breathe(x, r)
        if r.random() < 0.25:
            x = room(x, r)
        x = np.concatenate([np.zeros(int(RATE * r.uniform(0, 0.3))), x, np.zeros(int(RATE * r.uniform(0.03, 0.4)))]).astype(np.float32)
        n, power = len(x), np.sqrt((x**2).mean()) + 1e-6
        if not speech:
            x = np.zeros(n, np.float32)
            if r.random() < 0.4:
                x = power * r.uniform(0.1, 1) * self.excerpt(self.tones, n)
        if other is not None:
            o = np.resize(other.astype(np.float32) / 32768, n)
            x = x + o * (power / (np.sqrt((o**2).mean()) + 1e-6)) * 10 ** (-r.uniform(12, 26) / 20)
        if r.random() > 0.15:
            snr = r.uniform(7, 35) if light else r.uniform(4, 30)
            x = x + self.excerpt(self.noises, n) * power * 10 ** (-snr / 20)
        x = x * 10 ** (r.uniform(-26, 0) / 20)
        if r.random() < 0.02:
            x = np.clip(x * 6, -0.7, 0.7)
        x = alaw(x)
        if r.random() < 0.15:
            x = lose(x, r.uniform(0.01, 0.1), r, r.uniform(1, 2.5))
        return x

    def test(self, x, snr=None, loss=0.0):
        """The same for a test: nothing but noise, gain, A-law and loss; half a second around it."""
        x = np.concatenate([np.zeros(1200), x / 32768, np.zeros(2400)]).astype(np.float32)
        if snr is not None:
            x = x + self.excerpt(self.noises, len(x)) * np.sqrt((x**2).mean()) * 10 ** (-snr / 20)
        x = alaw(0.5 * x)
        return lose(x, loss, self.r) if loss else x


_UP = {
    "sinc": torch.tensor(firwin(63, 3700, fs=16000) * 2, dtype=torch.float32),
    "short": torch.tensor(firwin(31, 3900, fs=16000) * 2, dtype=torch.float32),
    "linear": torch.tensor([0.5, 1, 0.5]),
}


def up(x, kind="sinc"):
    """8 to 16 kHz, (batch, samples)."""
    z = torch.zeros(x.shape[0], x.shape[1] * 2)
    z[:, ::2] = x
    h = _UP[kind]
    return F.conv1d(z[:, None], h[None, None], padding=len(h) // 2)[:, 0]


class LogMel:
    """As whisper.cpp: reflected 200 samples at the start, zeros behind, floor 8 below the highest of the utterance."""

    def __init__(self):
        bank = np.load(tokens.ASSETS / "mel_filters.npz")["mel_80"].astype(np.float32)
        self.bank, self.window = torch.from_numpy(bank), torch.hann_window(400, periodic=True)

    def __call__(self, x16, frames, warp=None):
        """(batch, samples) at 16 kHz → (batch, 80, frames). `warp`: (batch,) factors of vocal-tract length."""
        x16 = F.pad(x16, (0, max(0, frames * 160 + 400 - x16.shape[1])))
        x16 = torch.cat([x16[:, 1:201].flip(1), x16[:, : frames * 160 + 400 - 200]], 1)
        power = torch.stft(x16, 400, 160, window=self.window, center=False, return_complex=True)[..., :frames].abs().square()
        if warp is not None:
            at = (torch.arange(201)[None] * warp[:, None]).clamp(max=199.99)
            low = at.floor().long()
            share = (at - low)[..., None]
            rows = torch.arange(len(power))[:, None]
            power = power[rows, low] * (1 - share) + power[rows, low + 1] * share
        m = (self.bank @ power).clamp(min=1e-10).log10()
        return (torch.maximum(m, m.amax(dim=(1, 2), keepdim=True) - 8) + 4) / 4


def spec_augment(mel, r, light=False):
    """Hides up to two stretches of time and two bands in each utterance, in place."""
    times, wide, bands, high = (1, 10, 1, 6) if light else (2, 20, 2, 8)
    for m in mel:
        floor = m.min()
        for _ in range(r.integers(0, times + 1)):
            t = r.integers(0, max(1, m.shape[1] - wide))
            m[:, t : t + r.integers(1, wide)] = floor
        for _ in range(r.integers(0, bands + 1)):
            b = r.integers(0, 60)
            m[b : b + r.integers(1, high)] = floor
    return mel
