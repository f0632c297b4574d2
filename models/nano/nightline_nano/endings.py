"""Can a sentence end here? Counts, over what callers say, how often it ends after its last one to three characters (words in
English), and writes the log-odds as the table that the end of a turn is judged by.

A line of the table: the last units of a sentence (digits as 0), a tab, log-odds in tenths. A longer ending is only listed where it
says something else than the shorter one."""

import math
import random
import re
import subprocess
from collections import Counter

from . import text

LONGEST, FEWEST, SMOOTH, TELLS, MOST = 3, 6, 8.0, 0.7, 6.0
MIX = {"hotline": 0.5, "general": 0.2, "clause": 0.2, "english": 0.1}


def units(sentence):
    """Characters of Chinese, words of another script; digits as 0."""
    plain = re.sub(r"[0-9零一二三四五六七八九幺两十百千万]", "0", sentence.lower())
    return re.findall(r"[\u4e00-\u9fff]|0|[a-z']+", plain)


def positions(sentence):
    """After how many units a speaker may pause: at the ends of words."""
    import jieba

    at, out = 0, []
    for word in jieba.cut(sentence):
        at += len(units(word))
        out.append(at)
    return sorted(set(out) - {0})


def count(sentences):
    seen, ended = Counter(), Counter()
    for sentence in sentences:
        all_units, ends = units(sentence), positions(sentence)
        for at in ends:
            for length in range(LONGEST + 1):
                if length > at:
                    break
                ending = tuple(all_units[at - length : at])
                seen[ending] += 1
                ended[ending] += at == len(all_units)
    return seen, ended


def table(seen, ended):
    """Log-odds by ending; the empty ending is any."""
    share, out = {(): ended[()] / seen[()]}, {}
    logit = lambda p: max(-MOST, min(MOST, math.log(p / (1 - p))))
    for ending in sorted(seen, key=len):
        if not ending:
            out[ending] = logit(share[()])
            continue
        shorter = share.get(ending[1:])
        if shorter is None or seen[ending] < FEWEST:
            continue
        share[ending] = p = (ended[ending] + SMOOTH * shorter) / (seen[ending] + SMOOTH)
        known = next(out[ending[i:]] for i in range(1, len(ending) + 1) if ending[i:] in out)
        if abs(logit(p) - known) > TELLS:
            out[ending] = logit(p)
    return out


def draw(source, n, seed=11):
    r = random.Random(seed)
    kinds = {k: w for k, w in MIX.items() if k != "clause" or source.clauses[False]}
    while n:
        kind = r.choices(list(kinds), list(kinds.values()))[0]
        _, sentence = source.draw(r, kind)
        if not text.is_held_wording(sentence):
            n -= 1
            yield sentence


def write(out, source, sentences=150_000):
    """Writes the table, packed."""
    rows = table(*count(draw(source, sentences)))
    join = lambda ending: (" " if any(u.isascii() and u != "0" for u in ending) else "").join(ending)
    lines = sorted(f"{join(ending)}\t{round(10 * odds)}" for ending, odds in rows.items())
    subprocess.run(["zstd", "-q", "-f", "-19", "-", "-o", str(out)], input="\n".join(lines).encode() + b"\n", check=True)
    print(out, len(lines), "endings")
