"""Speaks the questions of `questions.tsv` and `spoken.tsv` as they come over a telephone, for `nightline asr eval`.

    models/nano/make assets                                                  # once: the virtual environment
    models/nano/.venv/bin/python tenants/nev/eval/make/speak.py FOLDER

Voices are those that the embedded recogniser never heard. Everything follows from the seeds; see README.md beside this file.
"""

import json
import random
import sys
import zlib
from pathlib import Path

import numpy as np
from scipy.io import wavfile

EVAL = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(EVAL.parents[2] / "models/nano"))

from nightline_nano import say  # noqa: E402
from nightline_nano.channel import Channel  # noqa: E402

# Signal to noise in dB, share of packets lost. A question's third time is one of the last two.
CONDITIONS = {"20dB": (20, 0.0), "10dB": (10, 0.0), "15dB": (15, 0.0), "loss5": (20, 0.05)}


def lines(name):
    for line in (EVAL / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield (*line.split("\t"), "")[:3]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    speaker, channel = say.Speaker(), Channel(20261121)
    with (folder / "manifest.jsonl").open("w") as manifest:
        for name in ("questions", "spoken"):
            for number, (question, label, before) in enumerate(lines(name + ".tsv")):
                times = ["20dB", "10dB"] + ([("15dB", "loss5")[number % 2]] if name == "spoken" else [])
                for condition in times:
                    for part, text in (("q", question), ("b", before)):
                        if not text:
                            continue
                        r = random.Random(zlib.crc32(f"{part}{condition}{text}".encode()))
                        language = "en" if text.isascii() else "zh"
                        said = speaker.say(language, text, r, held=True)
                        if said is None:
                            print(f"left out, too long or silent: {text}", file=sys.stderr)
                            continue
                        voice, _, x = said
                        wav = f"{name}-{number:03}-{condition}-{part}.wav"
                        x = channel.test(x, *CONDITIONS[condition])
                        wavfile.write(folder / wav, 8000, (np.clip(x, -1, 1) * 32767).astype(np.int16))
                        fields = dict(wav=wav, text=text, lang=language, set=name, condition=condition, voice=voice, kind=part)
                        manifest.write(json.dumps(fields, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
