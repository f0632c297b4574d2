"""Mandarin with a heavy accent, said by human diphones: festival's free voices, whose phones stand in for pinyin.

espeak-ng's Mandarin has synthetic formants; these voices have human sources and spectra. Durations and tones are imposed.
Debian packages and the licences in their copyright files:

- kal, ked: festvox-kallpc16k, festvox-kdlpc16k; Black, Lenzo / University of Edinburgh, MIT-like (use, modify, sell; keep the notice).
- dita (woman), krb (child), machac, ph: festvox-czech-*; Brailcom, GPL 3+ (ph: GPL 2+).
- lj (woman), mv: festvox-suopuhe-lj, festvox-suopuhe-mv; University of Helsinki, LGPL 2+.
"""

import random
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from . import say, text

VOICES = Path("/usr/share/festival/voices")
# name: accent, command that selects it, diphone file, Hz of a high tone
SPEAKERS = {
    "kal": ("english", "voice_kal_diphone", "english/kal_diphone/group/kallpc16k.group", 128),
    "ked": ("english", "voice_ked_diphone", "english/ked_diphone/group/kedlpc16k.group", 125),
    "dita": ("czech", "voice_czech_dita", "czech/czech_dita/group/dita.group", 230),
    "krb": ("czech", "voice_czech_krb", "czech/czech_krb/group/krb.group", 250),
    "machac": ("czech", "voice_czech_machac", "czech/czech_machac/group/machac.group", 130),
    "ph": ("czech", "voice_czech_ph", "czech/czech_ph/group/ph.group", 130),
    "lj": ("finnish", "voice_suo_fi_lj_diphone", "finnish/suo_fi_lj_diphone/group/ljlpc.group", 225),
    "mv": ("finnish", "voice_hy_fi_mv_diphone", "finnish/hy_fi_mv_diphone/group/mvlpc.group", 125),
}
# Phones of a unit, one after the other; `a|b` are alternatives (after `/`: only where needed), `a+b` is one alternative of two phones.
INITIALS = {
    "english": dict(
        b="b", p="p", m="m", f="f", d="d", t="t", n="n", l="l", g="g", k="k", h="hh", zh="jh", ch="ch", sh="sh", r="r|zh", j="jh", q="ch",
        x="sh", z="d+z", c="t+s", s="s",
    ),
    "czech": dict(
        b="p|b", p="p+ch|p+h", m="m", f="f", d="t|d", t="t+ch|t+h", n="n", l="l", g="k|g", k="k+ch|k+h", h="ch|h", zh="dz~|c~", ch="c~+h|c~",
        sh="s~", r="z~|r~", j="dz~|d~", q="c~|t~", x="s~", z="dz", c="c", s="s",
    ),
    "finnish": dict(
        b="p|b", p="p+h", m="m", f="f", d="t|d", t="t+h", n="n", l="l/n+l", g="k|g", k="k+h", h="h", zh="t+S/t+s", ch="t+S+h|t+S/t+s+h|t+s",
        sh="S/s", r="r", j="t+j|t+S/t+s", q="t+S+h|t+S/t+s+h|t+s", x="S/s", z="t+s", c="t+s+h|t+s", s="s",
    ),
}  # fmt: skip
FINALS = {
    "english": {
        "a": "aa", "o": "w ao", "e": "uh|ah|ax|ow", "ê": "eh|ey", "ai": "ay", "ei": "ey", "ao": "aw", "ou": "ow", "an": "aa|ae n", "en": "ah|ax n",
        "ang": "aa|ao ng", "eng": "ah|ax ng", "ong": "uh|ow ng", "er": "er|er+r|aa+r", "ir": "er|er+r|ih", "iz": "ih|ax|uh", "i": "iy",
        "ia": "y|iy aa", "ie": "y|iy eh|ae|ey", "iao": "y|iy aw", "iu": "y|iy ow", "ian": "y|iy eh|ae n", "in": "iy|ih n",
        "iang": "y|iy aa ng", "ing": "iy|ih ng", "iong": "y|iy uh|ow ng", "io": "y|iy ow", "u": "uw", "ua": "w|uw aa", "uo": "w|uw ao",
        "uai": "w|uw ay", "ui": "w|uw ey", "uan": "w|uw aa|ae n", "un": "w|uw ah|uh|ax n", "uang": "w|uw aa|ao ng", "ueng": "w|uw ah|ax ng",
        "v": "iy uw", "ve": "iy w|uw eh|ae|ey", "van": "iy w|uw eh|ae n", "vn": "iy w|uw ih|iy n",
    },
    "czech": {
        "a": "a:|a", "o": "u o", "e": "e|o", "ê": "e", "ai": "a j|i", "ei": "e j|i", "ao": "a u|o", "ou": "o u", "an": "a n", "en": "e n",
        "ang": "a n*|n", "eng": "e n*|n", "ong": "u|o n*|n", "er": "e r", "ir": "i", "iz": "i", "i": "i:|i|j+i:",
        "ia": "j|i a", "ie": "j|i e", "iao": "j|i a u|o", "iu": "j|i o u", "ian": "j|i e n", "in": "i:|i n",
        "iang": "j|i a n*|n", "ing": "i:|i n*|n", "iong": "j|i u|o n*|n", "io": "j|i o", "u": "u:|u", "ua": "u a", "uo": "u o",
        "uai": "u a j|i", "ui": "u e j|i", "uan": "u a n", "un": "u e n", "uang": "u a n*|n", "ueng": "u e n*|n",
        "v": "i:|i u", "ve": "i u e", "van": "i u e n", "vn": "i u n",
    },
    "finnish": {
        "a": "a:|a", "o": "u o", "e": "7:|7", "ê": "e", "ai": "a i", "ei": "e i", "ao": "a u", "ou": "o u", "an": "a n", "en": "7|e n",
        "ang": "a N|n", "eng": "7 N|n", "ong": "u|o N|n", "er": "7 r", "ir": "7 i", "iz": "7 i", "i": "i:|i",
        "ia": "j|i a", "ie": "i e", "iao": "j|i a u", "iu": "i o u", "ian": "i e|@ n", "in": "i n",
        "iang": "j|i a N|n", "ing": "i N|n", "iong": "j|i u|o N|n", "io": "i o", "u": "u:|u", "ua": "u|v a", "uo": "u o",
        "uai": "u|v a i", "ui": "u|v e i", "uan": "u|v a n", "un": "u 7|e n", "uang": "u|v a N|n", "ueng": "u|v 7 N|n",
        "v": "y:|y", "ve": "y e|7", "van": "y e|@ n", "vn": "y n",
    },
}  # fmt: skip
FRONT = {"j": "y", "q": "y", "x": "y"}
SILENCE = {"english": "pau", "czech": "#", "finnish": "#"}
STOPS = set("b p d t g k jh ch c c~ dz dz~ d~ t~".split())
NASALS = set("n ng n* N".split())
DIPHTHONGS = {tuple(d.split()) for d in ("a i", "e i", "a u", "a o", "o u", "7 i", "iy uw", "i: u")}
MILLISECONDS = {65: "b d g", 100: "p t k", 85: "zh j z", 125: "ch q c", 110: "sh x s", 95: "f h", 70: "m n l r"}
LENGTH = {initial: ms for ms, names in MILLISECONDS.items() for initial in names.split()}
# Heights of a tone, evenly spread over the final; 6 is the low third tone before another syllable.
TONES = {1: (1.0, 1.0, 1.0), 2: (0.76, 0.79, 1.0), 3: (0.74, 0.6, 0.62, 0.76), 4: (1.05, 0.92, 0.64), 5: (0.78, 0.7), 6: (0.74, 0.62, 0.6)}
SCHEME = """
(set! UniSyn_module_hooks nil)
(set! after_synth_hooks nil)
(define (speak segments names file)
  (let ((u (eval (list 'Utterance 'Segments segments))))
    (set! UniSyn_module_hooks
      (list (lambda (u)
        (mapcar
          (lambda (n)
            (let ((s (nth (car n) (utt.relation.items u 'Segment))))
              (item.set_feat s (cadr n) (caddr n))))
          names)
        u)))
    (utt.synth u)
    (utt.save.wave u file 'riff)))
"""


@cache
def diphones(voice):
    """(left, right) pairs that the voice has."""
    header, rest = (VOICES / SPEAKERS[voice][2]).read_bytes()[:100_000].split(b"EST_Header_End\n", 1)
    count = int(re.search(rb"NumEntries (\d+)", header)[1])
    return frozenset(tuple(line.split()[0].decode().split("-")) for line in rest.split(b"\n")[:count])


def canonical(syllable):
    """`yuan4` → ("", "van", 4), `shi4` → ("sh", "ir", 4); None for what is no syllable."""
    found = re.fullmatch(r"([a-zêü]+?)([1-5]?)", syllable)
    if not found:
        return None
    base, tone = found[1].replace("ü", "v"), int(found[2] or 5)
    for start, whole in (("yu", "v"), ("yi", "i"), ("y", "i"), ("wu", "u"), ("w", "u")):
        if base.startswith(start):
            initial, final = "", whole + base[len(start) :]
            break
    else:
        initial = next((i for i in say.INITIALS if base.startswith(i)), "")
        final = base[len(initial) :]
    if base == "yong":
        final = "iong"
    if initial in FRONT and final.startswith("u"):
        final = "v" + final[1:]
    if final == "i" and initial in ("zh", "ch", "sh", "r"):
        final = "ir"
    elif final == "i" and initial in ("z", "c", "s"):
        final = "iz"
    final = {"iou": "iu", "uei": "ui", "uen": "un", "o": "o" if initial else "ou"}.get(final, final)
    if final not in FINALS["english"]:
        return {"en": ("", "en", tone), "ei": ("", "ei", tone)}.get(base)
    return initial, final, tone


def sandhi(sentence, words, r):
    """Syllables with the tones as said: third tones in a row, 不 and 一; and where a word ends."""
    flat = [s for word in words for s in word]
    ends = {i - 1 for i in np.cumsum([len(word) for word in words])}
    characters = sentence if len(sentence) == len(flat) else "？" * len(flat)
    tones = [int(s[-1]) if s[-1].isdigit() else 5 for s in flat]
    for i in range(len(flat) - 1):
        before = characters[i - 1] if i else " "
        counted = before in text.DIGITS + "第十幺" or characters[i + 1] in text.DIGITS + "幺十月号"
        if characters[i] == "不" and tones[i + 1] == 4 or characters[i] == "一" and tones[i + 1] == 4 and not counted:
            tones[i] = 2
        elif characters[i] == "一" and tones[i + 1] < 4 and not counted:
            tones[i] = 4
    for i in range(len(flat) - 2, -1, -1):
        if tones[i] == tones[i + 1] == 3 and (i not in ends or r.random() < 0.6):
            tones[i] = 2
    return flat, tones, ends


def path(slots, pairs, silence):
    """One alternative of every slot, so that the voice has all the diphones; silence is put in where it has to be. None: impossible."""
    states = [(0.0, [(silence,)])]
    for options in [*slots, [(silence,)]]:
        following = []
        for i, option in enumerate(options):
            if any(pair not in pairs for pair in zip(option, option[1:])):
                continue
            best = None
            for cost, chosen in states:
                last = next(phones[-1] for phones in reversed(chosen) if phones)
                if (last, option[0]) in pairs:
                    cost, put = cost + i, [option]
                elif (last, silence) in pairs and (silence, option[0]) in pairs:
                    cost, put = cost + i + (0.5 if option[0] in STOPS else 4), [(silence, *option)]
                else:
                    continue
                if best is None or cost < best[0]:
                    best = cost, chosen + put
            if best:
                following.append(best)
        if not following:
            return None
        states = following
    return min(states)[1][1:-1]


def starts_with_vowel(names):
    """Whether the first of a final's phones is its vowel and no medial."""
    return len(names) == 2 and (names[1] in NASALS | {"j", "r"} or tuple(names) in DIPHTHONGS)


def score(voice, sentence, words, r):
    """Festival's segments [(phone, seconds, [(second, Hz)])], or None."""
    accent, _, _, high = SPEAKERS[voice]
    silence, pairs = SILENCE[accent], diphones(voice)
    flat, tones, ends = sandhi(sentence, words, r)
    swap = {}

    def options(slot):
        """The order of alternatives differs between utterances, not within one."""
        if slot not in swap:
            found, spare = ([tuple(o.split("+")) for o in part.split("|") if o] for part in (slot + "/").split("/")[:2])
            swap[slot] = (found if r.random() < 0.65 else found[1:] + found[:1]) + spare
        return swap[slot]

    slots, plan = [], []
    for syllable in flat:
        parts = canonical(syllable)
        if parts is None or parts[0] not in ("", *INITIALS[accent]):
            return None
        initial, final, _ = parts
        if initial:
            slots.append(options(INITIALS[accent][initial]))
        start = len(slots)
        slots += [options(slot) for slot in FINALS[accent][final].split()]
        plan.append((initial, start, len(slots)))
    chosen = path(slots, pairs, silence)
    if chosen is None:
        return None
    pitch, span, fall = high * r.uniform(0.75, 1.25), r.uniform(0.65, 1.3), r.uniform(0, 0.18)
    pace, even = r.uniform(0.75, 1.2), r.uniform(0.03, 0.12)
    segments = [(silence, 0.1, [])]

    def add(phones, seconds):
        """A slot's phones share its time; a silence put in is short and extra."""
        if phones[0] == silence:
            segments.append((silence, 0.025, []))
            phones = phones[1:]
        weights = [0.5 if p in ("t", "d", "p", "k", "r") else 0.7 if p in ("h", "ch") else 1 for p in phones] if len(phones) > 1 else [1]
        segments.extend((p, seconds * w / sum(weights), []) for p, w in zip(phones, weights))

    for i, ((initial, start, end), tone) in enumerate(zip(plan, tones)):
        last = i == len(plan) - 1
        if initial:
            long = LENGTH[initial] / 1000 * pace * max(0.7, r.gauss(1, even))
            add(chosen[start - 1], max(0.04, long))
        if tone == 3 and not last and i not in ends:
            tone = 6
        long = {5: 0.115, 4: 0.175}.get(tone, 0.195) * pace * max(0.7, r.gauss(1, even)) * (r.uniform(1.1, 1.5) if last else 1)
        long = max(0.075, long + (0 if initial else 0.03))
        names = [chosen[k][-1] for k in range(start, end)]
        weights = [1.0] * len(names)
        for k, name in enumerate(names):
            if len(names) > 1 and k == 0 and not starts_with_vowel(names):
                weights[k] = 0.45
            elif name in NASALS and k == len(names) - 1:
                weights[k] = 0.6
            elif k == len(names) - 1 and len(names) > 1 and k > 0 and name in ("j", "i", "u", "o", "r"):
                weights[k] = 0.7
        first = len(segments)
        for k, weight in enumerate(weights):
            add(chosen[start + k], long * weight / sum(weights))
        level = pitch * (1 - fall * i / max(1, len(plan) - 1))
        heights = TONES[tone]
        total, at = sum(s[1] for s in segments[first:]), 0.0
        marks = [(total * (0.04 + 0.92 * k / (len(heights) - 1)), level * h**span) for k, h in enumerate(heights)]
        for phone, seconds, targets in segments[first:]:
            targets += [(t - at, hz * r.uniform(0.985, 1.015)) for t, hz in marks if at <= t < at + seconds]
            at += seconds
        pausing = i in ends and not last and r.random() < 0.04
        if pausing and (chosen[end - 1][-1], silence) in pairs and (silence, chosen[end][0]) in pairs:
            segments.append((silence, r.uniform(0.06, 0.3), []))
    segments.append((silence, 0.1, []))
    return segments


def scheme(voice, segments, file):
    """The command that says it; English clusters of stop and glide have diphones of their own."""
    pairs, names = diphones(voice), []
    for i, ((a, *_), (b, *_)) in enumerate(zip(segments, segments[1:])):
        if a in ("p", "t", "k", "b", "d", "g") and (a + "_", "_" + b) in pairs:
            names += [f'({i} us_diphone_left "{a}_")', f'({i + 1} us_diphone_right "_{b}")']
    phones = " ".join(f'("{p}" {t:.4f}' + "".join(f" ({at:.4f} {hz:.1f})" for at, hz in marks) + ")" for p, t, marks in segments)
    return f"(speak '({phones}) '({' '.join(names)}) \"{file}\")"


def render(voice, scores):
    """Float samples at 22,050 Hz, one for each score (None where festival failed), and its messages. One process."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"({SPEAKERS[voice][1]})", SCHEME]
        lines += [scheme(voice, segments, f"{folder}/{i}.wav") for i, segments in enumerate(scores)]
        Path(folder, "all.scm").write_text("\n".join(lines), encoding="utf-8")
        done = subprocess.run(["festival", "-b", f"{folder}/all.scm"], capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise RuntimeError(f"festival failed with voice {voice}: {done.stderr[-400:]}")
        found = []
        for i in range(len(scores)):
            file = Path(folder, f"{i}.wav")
            if not file.exists():
                found.append(None)
                continue
            rate, x = wavfile.read(file)
            whole = np.unwrap(x.astype(np.float64), period=65_536)  # ked's loudest samples wrap around
            if np.abs(whole).max(initial=0) > 60_000:
                whole = x
            divisor = np.gcd(rate, 22_050)
            found.append(resample_poly(whole.astype(np.float32) / 32768, 22_050 // divisor, rate // divisor))
        return found, done.stderr + done.stdout


MIX = {kind: weight for kind, weight in say.MIX.items() if kind != "english"}


def shard(source, vocabulary, seed, count, voices, mix=MIX):
    """As `say.shard` for training, by these voices in equal parts."""
    r = random.Random(f"festival {seed}")
    kinds = {k: w for k, w in mix.items() if k != "clause" or source.clauses[False]}
    items, quota = [], {v: count // len(voices) + (i < count % len(voices)) for i, v in enumerate(voices)}
    for voice, wanted in quota.items():
        made = []
        while len(made) < wanted:
            drawn = []
            while len(drawn) < int((wanted - len(made)) * 1.03) + 3:
                kind = r.choices(list(kinds), list(kinds.values()))[0]
                language, sentence = source.draw(r, kind)
                if len(sentence) > 4 and text.is_held_wording(sentence) or sentence in say.excluded():
                    continue
                words = say.reading(sentence, r)
                if any(re.fullmatch("[A-Z]", s) for word in words for s in word):
                    continue
                targets = say.units(language, sentence, words)
                segments = score(voice, sentence, words, r)
                if segments and vocabulary.knows(sentence, targets):
                    drawn.append((dict(lang=language, text=sentence, kind=kind, voice="festival:" + voice, units=targets), segments))
            for (metadata, _), x in zip(drawn, render(voice, [s for _, s in drawn])[0]):
                x = None if x is None else say.telephone(x, r)
                if x is not None and len(x) <= 8000 * say.LONGEST:
                    made.append((metadata, x))
        items += made[:wanted]
    r.shuffle(items)
    return items
