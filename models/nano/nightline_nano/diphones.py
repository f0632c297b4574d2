"""Mandarin by MBROLA's voice cn1: human diphones that no model here was trained on. Only for tests: the voice is not free, and
neither it nor sound made with it is shipped.

espeak-ng's own `mb-cn1` gives wrong phones on Debian 12, so the units are written here from the pinyin: the medial is fused into the
initial (`bian` = `bi an`, `zhuang` = `zhu ang`), no diphone crosses a syllable, tone is the pitch of the final.
"""

import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from . import say

VOICE = Path("/usr/share/mbrola/cn1/cn1")
TONES = {
    1: [(0, 1.0), (100, 1.0)],
    2: [(0, 0.78), (35, 0.8), (100, 1.02)],
    3: [(0, 0.75), (50, 0.6), (100, 0.72)],
    4: [(0, 1.05), (100, 0.65)],
    5: [(0, 0.75), (100, 0.68)],
}
FINALS = set("a ai an ang ao e ei en eng er i ie in ing iu o ong ou u ue ui un v".split())
PLAIN_VOWELS = {
    "ia": "a",
    "ian": "an",
    "iang": "ang",
    "iao": "ao",
    "iong": "ong",
    "io": "o",
    "ua": "a",
    "uai": "ai",
    "uan": "an",
    "uang": "ang",
    "uo": "o",
    "van": "an",
    "ve": "ue",
    "vn": "un",
}


def units(syllable):
    """`che1` → ("ch", "e", 1); the initial may be empty."""
    base, tone = re.fullmatch(r"([a-zü]+?)([1-5]?)", syllable).groups()
    base, tone = base.replace("ü", "v"), int(tone or 5)
    initial = next((i for i in say.INITIALS if base.startswith(i)), "")
    final = base[len(initial) :]
    if not final:
        initial, final = "", base
    if final == "i" and initial in ("zh", "ch", "sh", "r"):
        final = "ll"
    elif final == "i" and initial in ("z", "c", "s"):
        final = "ii"
    elif initial == "y" and final.startswith("u") and len(final) > 1:  # yuan, yue, yun
        initial, final = ("y", final) if final in ("ue", "un") else ("yu", final[1:])
    elif final in PLAIN_VOWELS:
        medial = final[0]
        plain = PLAIN_VOWELS[final]
        if final in ("ve", "vn"):
            medial = ""
        initial, final = initial + ("u" if medial == "v" else medial), plain
        if initial[:1] in "jqx" and medial == "v":
            initial = initial[0] + "u"
    return initial, final, tone


def known_pairs():
    header = VOICE.read_bytes()[:60_000]
    return {(a.decode(), b.decode()) for a, b in re.findall(rb"([a-z_!@]{1,6})\0([a-z_!@]{1,6})\0", header)}


def say_sentence(words, r, pairs):
    """int16 at 8 kHz, or None where the voice lacks a diphone."""
    lines, pitch, pace = ["_ 100"], r.uniform(170, 240), r.uniform(0.85, 1.2)
    for word in words:
        for syllable in word:
            if not re.fullmatch(r"[a-zü]+[1-5]?", syllable):
                return None
            initial, final, tone = units(syllable)
            chain = ["_", *([initial] if initial else []), final, "_"]
            if any(pair not in pairs for pair in zip(chain, chain[1:])):
                return None
            if initial:
                lines.append(f"{initial} {80 * pace:.0f}")
            long = (120 if tone == 5 else 190) * pace * r.uniform(0.9, 1.1)
            contour = " ".join(f"{at} {pitch * height:.0f}" for at, height in TONES[tone])
            lines += [f"{final} {long:.0f} {contour}", "_ 1"]
        pitch *= r.uniform(0.97, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "a.pho"), Path(folder, "a.wav")
        score.write_text("\n".join([*lines, "_ 100"]) + "\n")
        done = subprocess.run(["mbrola", "-e", str(VOICE), str(score), str(sound)], capture_output=True, text=True)
        if done.returncode or not sound.exists():
            return None
        rate, x = wavfile.read(sound)
    return resample(x.astype(np.float32) / 32768, rate)


def resample(x, rate):
    from math import gcd

    from scipy.signal import resample_poly

    x = resample_poly(x, 8000 // gcd(8000, rate), rate // gcd(8000, rate)).astype(np.float32)
    peak = np.abs(x).max(initial=0)
    loud = np.nonzero(np.abs(x) > 0.01 * peak)[0]
    if peak < 1e-4:
        return None
    return (x[max(0, loud[0] - 160) : loud[-1] + 240] * (0.5 / peak) * 32767).astype(np.int16)
