"""Clean speech by espeak-ng: readings, voices, and shards of utterances at 8 kHz.

Debian 12's voice `cmn` reads Chinese characters as English letters; `cmn-latn-pinyin` is given pinyin instead.
"""

import ctypes
import json
import math
import pickle
import random
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import jieba
import numpy as np
from pypinyin import Style, lazy_pinyin
from scipy.io import wavfile
from scipy.signal import butter, resample_poly, sosfilt

from . import text as texts

jieba.setLogLevel(60)
# The variant `rob` is left out: libespeak-ng 1.51 crashes in it at a wide pitch range.
HELD_VOICES = "f3 m4 klatt3 linda Michael boris Alicia edward".split()
CORE_VOICES = "m1 m2 m3 m5 m6 m7 m8 f1 f2 f4 f5 klatt klatt2 klatt4 klatt5 klatt6".split()
OTHER_VOICES = (
    "Alex Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Mike Nguyen adam anika announcer antonio aunty "
    "belinda benjamin caleb david ed edward2 gustave iven iven2 iven3 iven4 john kaukovalta marcelo max michel miguel norbert pablo paul "
    "pedro quincy robert sandro shelby steph steph2 steph3 travis victor zac grandma grandpa RicishayMax RicishayMax2 UniRobot "
    "robosoft3 croak"
).split()
ENGLISH = "en-us en-gb en-gb-x-rp en-us en-gb-x-gbclan en-gb-scotland".split()
PARTICLES = {
    "嗯": ["en1", "en4", "en2"],
    "呃": ["e4", "e1"],
    "诶": ["ei2", "ei4"],
    "哎": ["ai1"],
    "唉": ["ai1", "ai4"],
    "幺": ["yao1"],
    "哦": ["o4", "ou4"],
}
INITIALS = "zh ch sh b p m f d t n l g k h j q x r z c s y w".split()
LONGEST = 9.0


class Espeak:
    """The library; one in a process."""

    def __init__(self):
        self.library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self.library.espeak_Initialize(2, 100, None, 0)
        if self.rate != 22_050:
            raise RuntimeError(f"espeak-ng did not start (espeak_Initialize gave {self.rate}): install espeak-ng-data")
        self.pieces = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = kind(self._take)
        self.library.espeak_SetSynthCallback(self.callback)

    def _take(self, samples, count, _):
        if samples and count > 0:
            self.pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def __call__(self, text, voice, rate=175, pitch=50, range_=50):
        """Float samples at 22,050 Hz."""
        self.pieces.clear()
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise LookupError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((1, rate), (3, pitch), (4, range_)):
            self.library.espeak_SetParameter(parameter, value, 0)
        data = text.encode() + b"\0"
        self.library.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)
        self.library.espeak_Synchronize()
        return np.concatenate(self.pieces).astype(np.float32) / 32768 if self.pieces else np.zeros(0, np.float32)


@cache
def _word_reading(word):
    return lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, v_to_u=False, tone_sandhi=False)


def reading(sentence, r):
    """Words, each a list of pinyin syllables with tone (`che1`) or one upper-case letter."""
    words = []
    for word in jieba.cut(sentence):
        for part in re.findall(r"WIFI|[A-Za-z]|[^A-Za-z]+", word):
            if part == "WIFI":
                words.append(["wai1", "fai4"])
            elif re.fullmatch("[A-Za-z]", part):
                words.append([part.upper()])
            else:
                syllables = list(_word_reading(part))
                if len(syllables) == len(part):
                    syllables = [r.choice(PARTICLES[c]) if c in PARTICLES else s for c, s in zip(part, syllables)]
                words.append(syllables)
    return words


def split(syllable):
    """Initial and toned final: `che1` → ch, e1."""
    found = re.fullmatch(r"([a-zü]+)([1-5]?)", syllable)
    if not found:
        return [syllable]
    base, tone = found[1].replace("ü", "v"), found[2] or "5"
    for initial in INITIALS:
        if base.startswith(initial) and len(base) > len(initial):
            return [initial, base[len(initial) :] + tone]
    return [base + tone]


def units(language, sentence, words=None):
    """Targets of the training aid."""
    if language == "en":
        return [c for c in sentence if c.isalpha()]
    return [u for word in words for s in word for u in (["L" + s] if re.fullmatch("[A-Z]", s) else split(s))]


def telephone(x, r):
    """22,050 Hz to 8 kHz int16: longer or shorter vocal tract (with pitch and rate), line band, tilt; trimmed, peak 0.5."""
    down = 441 if r.random() < 0.3 else r.randint(380, 520)
    shared = math.gcd(160, down)
    x = resample_poly(x, 160 // shared, down // shared, window=_window(down // shared)).astype(np.float32)
    if r.random() < 0.5:
        band = [r.uniform(120, 330), r.uniform(3200, 3800)]
        x = sosfilt(butter(2, band, "band", fs=8000, output="sos"), x).astype(np.float32)
    if r.random() < 0.35:
        x = np.convolve(x, [1, r.uniform(-0.5, 0.5)])[: len(x)].astype(np.float32)
    peak = np.abs(x).max(initial=0)
    loud = np.nonzero(np.abs(x) > 0.01 * peak)[0]
    if peak < 1e-4 or len(loud) == 0:
        return None
    x = x[max(0, loud[0] - 160) : loud[-1] + 240]
    return (x * (0.5 / peak) * 32767).astype(np.int16)


@cache
def _window(down):
    from scipy.signal import firwin

    return firwin(2 * 6 * down + 1, 0.95 / down, window=("kaiser", 5.0))


FLITE_VOICES = "slt rms awb kal16".split()


def flite(sentence, voice, r):
    """English by flite (recorded speakers); float samples at 22,050 Hz, or None where flite is not installed."""
    if shutil.which("flite") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.wav")
        stretch, pitch = r.uniform(0.8, 1.25), r.uniform(85, 210)
        options = ["--setf", f"duration_stretch={stretch:.2f}", "--setf", f"int_f0_target_mean={pitch:.0f}"]
        subprocess.run(["flite", "-voice", voice, *options, "-t", sentence, "-o", str(path)], check=True, capture_output=True)
        rate, x = wavfile.read(path)
    return resample_poly(x.astype(np.float32) / 32768, 441, rate // 50)


class Speaker:
    """Says a sentence in a random voice. `held` chooses voices that are never trained."""

    def __init__(self):
        self.espeak = Espeak()

    def say(self, language, sentence, r, held=False, voice=None):
        """→ (voice, units, int16 at 8 kHz) or None where nothing came out or it is too long."""
        if voice is None:
            voice = r.choice(HELD_VOICES if held else CORE_VOICES if r.random() < 0.4 else OTHER_VOICES)
        rate, pitch, range_ = int(r.triangular(130, 300, 200)), max(8, min(95, int(r.gauss(50, 18)))), r.randint(20, 90)
        if language == "zh":
            words = reading(sentence, r)
            targets = units("zh", sentence, words)
            said = ""
            for i, word in enumerate(words):
                said += ("" if i == 0 else ", " if r.random() < 0.04 else " ") + "".join(word)
            name = "cmn-latn-pinyin+" + voice
        else:
            targets, said, rate = units("en", sentence), sentence, int(rate * 0.85)
            name = r.choice(ENGLISH) + "+" + voice
        try:
            other = language == "en" and not held and r.random() < 0.5
            x = flite(sentence, flite_voice := r.choice(FLITE_VOICES), r) if other else None
            if x is not None:
                voice = "flite:" + flite_voice
            else:
                x = self.espeak(said, name, rate, pitch, range_)
            x = telephone(x, r)
        except LookupError:
            return None
        if x is None or len(x) > 8000 * LONGEST:
            return None
        return voice, targets, x


MIX = {"hotline": 0.47, "clause": 0.17, "general": 0.09, "words": 0.12, "digits": 0.07, "english": 0.08}


def shard(source, vocabulary, seed, count, mix=MIX, held_voices=False, held_text=None):
    """`count` utterances as (metadata, int16 samples). `held_text`: None trains; "template" and "wording" are test sets."""
    r = random.Random(seed)
    speaker, items = _speaker(), []
    kinds = {k: w for k, w in mix.items() if k != "clause" or source.clauses[held_text == "template"]}
    while len(items) < count:
        kind = r.choices(list(kinds), list(kinds.values()))[0]
        language, sentence = source.draw(r, kind, held=held_text == "template")
        # Wordings of up to four characters are too few to hold some out.
        held_wording = len(sentence) > 4 and texts.is_held_wording(sentence)
        if held_text != "template" and held_wording != (held_text == "wording"):
            continue
        if sentence in excluded() and held_text is None:
            continue
        said = speaker.say(language, sentence, r, held_voices)
        if said is None:
            continue
        voice, targets, x = said
        if vocabulary.knows(sentence, targets):
            items.append((dict(lang=language, text=sentence, kind=kind, voice=voice, units=targets), x))
    return items


@cache
def _speaker():
    return Speaker()


@cache
def excluded():
    """Sentences that the project's recordings say: never trained, so that a replay tests."""
    fixtures = Path(__file__).resolve().parents[3] / "fixtures"
    found = set()
    for path in fixtures.glob("*.toml"):
        found |= set(re.findall(r'(?:text|say|said)\s*=\s*"([^"]+)"', path.read_text()))
    for path in fixtures.glob("turns/test*.jsonl"):
        said = (json.loads(line).get("text", "") for line in path.read_text().splitlines())
        found |= {text for text in said if len(text) > 4}  # "好的" has to be learnt from somewhere
    return found


def save(path, items):
    """`path` (.pkl) gets the metadata; the samples go into a .npy beside it, which the trainers map instead of reading."""
    path = Path(path)
    np.save(path.with_suffix(".npy"), np.concatenate([x for _, x in items]))
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        pickle.dump(([m for m, _ in items], np.cumsum([0] + [len(x) for _, x in items])), file)
    part.rename(path)


def load(path):
    with Path(path).open("rb") as file:
        metadata, ends = pickle.load(file)
    samples = np.load(Path(path).with_suffix(".npy"), mmap_mode="r")
    return [(m, samples[ends[i] : ends[i + 1]]) for i, m in enumerate(metadata)]
