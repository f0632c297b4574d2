"""Test sets as files: 8 kHz WAV after the line, and `manifest.jsonl` for `nightline asr eval`."""

import json
import random

import numpy as np
from scipy.io import wavfile

from . import diphones, say
from .channel import Channel, coloured, street, tones

# name: mix of kinds, held-out text ("template" are whole templates or clauses), number
SETS = {
    "unseen_wording": ({"hotline": 1.0}, "wording"),
    "unseen_sentence": ({"hotline": 1.0}, "template"),
    "unseen_clause": ({"clause": 1.0}, "template"),
    "digits": ({"phone": 1.0}, "wording"),
    "english": ({"english": 1.0}, "template"),
}
CONDITIONS = {"clean": (None, 0.0), "20dB": (20, 0.0), "10dB": (10, 0.0), "loss5": (20, 0.05)}


def utterances(source, vocabulary, count, seed):
    """{set: items}: every set in voices that were never trained."""
    sets = {}
    for i, (name, (mix, held)) in enumerate(SETS.items()):
        if "clause" in mix and not source.clauses[True]:
            continue
        sets[name] = say.shard(source, vocabulary, seed + i, count, mix, held_voices=True, held_text=held)
    if diphones.VOICE.exists():
        pairs, r, items = diphones.known_pairs(), random.Random(seed + 90), []
        while len(items) < count:
            _, sentence = source.draw(r, "hotline", held=True)
            words = say.reading(sentence, r)
            x = diphones.say_sentence(words, r, pairs)
            if x is not None and len(x) < 8000 * say.LONGEST:
                items.append((dict(lang="zh", text=sentence, kind="hotline", voice="mbrola:cn1", units=say.units("zh", sentence, words)), x))
        sets["unseen_synthesiser"] = items
    return sets


def write(folder, source, vocabulary, count, seed=900, minutes_of_nothing=10):
    folder.mkdir(parents=True, exist_ok=True)
    channel = Channel(seed)
    with (folder / "manifest.jsonl").open("w") as manifest:

        def add(name, x, **fields):
            wavfile.write(folder / name, 8000, (np.clip(x, -1, 1) * 32767).astype(np.int16))
            manifest.write(json.dumps(dict(wav=name, **fields), ensure_ascii=False) + "\n")

        for set_, items in utterances(source, vocabulary, count, seed).items():
            for condition, (snr, loss) in CONDITIONS.items():
                for i, (meta, x) in enumerate(items):
                    kind = "digits" if set_ == "digits" else meta["kind"]
                    fields = dict(text=meta["text"].strip(), lang=meta["lang"], set=set_, condition=condition, voice=meta["voice"], kind=kind)
                    add(f"{set_}-{condition}-{i:03}.wav", channel.test(x, snr, loss), **fields)
        r = np.random.default_rng(seed)
        for i in range(minutes_of_nothing * 6):
            n = 80_000
            kind = ("noise", "street", "music", "ring-back", "silence")[i % 5]
            if kind == "silence":
                x = r.integers(-2, 3, n) / 32768
            else:
                make = {"noise": coloured, "street": street}.get(kind, tones)
                x = make(n, r) * 10 ** (-r.uniform(12, 45) / 20)
            fields = dict(text="", lang="zh", set="nothing", condition=kind, voice="", kind="none")
            add(f"nothing-{i:03}.wav", x, **fields)
