"""Writes `vocabulary.json`: the ids and units that are trained. Characters: the frequent ones of jieba's list, those of the
templates, and those of the clauses that come up five times or more."""

import collections
import json
import random
import re
import string

from pypinyin import Style, pinyin

from . import say, text, tokens


def build(source, path=tokens.HERE / "vocabulary.json", extra=""):
    r = random.Random(7)
    characters = set(text.frequent_characters()) | set(extra)
    for kind in ("hotline", "general"):
        for held in (False, True):
            for template in source.templates[kind, held]:
                characters |= set("".join(source.expand(template, r) for _ in range(8)))
    for items in source.lists.values():
        characters |= set("".join(items))
    count = collections.Counter("".join(source.clauses[False]))
    characters |= {c for c, n in count.items() if n >= 5}
    characters = {c for c in characters if re.fullmatch("[\u4e00-\u9fff]", c)}
    ids = {token for c in characters | set(string.ascii_letters) for token in tokens.encode(c)}
    words = set(
        " ".join(source.expand(t, r) for t in sum((source.templates["english", h] for h in (False, True)), []) for _ in range(30)).lower().split()
    )
    ids |= {token for word in words for token in tokens.encode(" " + word)} | {tokens.encode(" " + c)[0] for c in string.ascii_lowercase}
    finals = {
        say.split(s)[-1][:-1]
        for c in characters
        for [*all_] in pinyin(c, heteronym=True, style=Style.TONE3, neutral_tone_with_five=True, v_to_u=False)
        for s in all_
    }
    finals |= {say.split(s)[-1][:-1] for readings in say.PARTICLES.values() for s in readings} | {"ai"}
    units = (
        {f + tone for f in finals for tone in "12345"} | set(say.INITIALS) | set(string.ascii_lowercase) | {"L" + c for c in string.ascii_uppercase}
    )
    path.write_text(json.dumps(dict(characters="".join(sorted(characters)), tokens=sorted(ids), units=sorted(units)), ensure_ascii=False))
    return len(characters), len(ids), len(units)
