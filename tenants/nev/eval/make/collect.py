"""Turns what the recogniser heard into `turns.tsv`; reads what `nightline asr eval FOLDER --details FILE` wrote.

    python3 tenants/nev/eval/make/collect.py FILE

A question is wholly in one split, in whatever voice and condition it was said. `questions.tsv` is never tested on: retrieval
and spelling were tuned with it.
"""

import json
import sys
import zlib
from pathlib import Path

EVAL = Path(__file__).resolve().parents[1]
HEAD = """\
# What the embedded recogniser heard of questions that were spoken to it over a telephone line (see make/README.md):
# split TAB question TAB condition TAB heard TAB its confidence TAB entry that answers, or none TAB what it had heard before
"""


def main(details):
    questions = {}
    for name in ("questions", "spoken"):
        lines = [line for line in (EVAL / f"{name}.tsv").read_text().splitlines() if line and not line.startswith("#")]
        for number, line in enumerate(lines):
            text, label = line.split("\t")[:2]
            tested = name == "spoken" and zlib.crc32(text.encode()) % 10 >= 3
            questions[f"{name}-{number:03}"] = (label, "test" if tested else "fit")
    heard = {}
    for line in Path(details).read_text().splitlines():
        turn = json.loads(line)
        if turn["set"] in ("questions", "spoken"):
            heard[Path(turn["wav"]).stem] = turn
    with (EVAL / "turns.tsv").open("w") as out:
        out.write(HEAD)
        for stem, turn in heard.items():
            question, part = stem[: -len("-" + turn["condition"] + "-q")], stem[-1]
            text = turn["heard"].strip()
            if part != "q" or not text:
                continue
            label, split = questions[question]
            before = heard.get(stem[:-1] + "b", {}).get("heard", "").strip()
            confidence = f"{turn['confidence']:.3f}"
            out.write("\t".join([split, question, turn["condition"], text, confidence, label, before]).rstrip("\t") + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
