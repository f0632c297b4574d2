"""Whisper's multilingual vocabulary (51,865 ids), of which only some are trained.

The token table and the mel filters are assets of the PyPI package `openai-whisper`; `fetch` takes them out of its source archive.
"""

import base64
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ASSETS = HERE / "assets"
N_VOCAB = 51_865
EOT, SOT, EN, ZH = 50_257, 50_258, 50_259, 50_260
TRANSCRIBE, PREVIOUS, NO_SPEECH, NO_TIMES, TIMES = 50_359, 50_361, 50_362, 50_363, 50_364
SPECIAL = [EOT, SOT, EN, ZH, TRANSCRIBE, NO_SPEECH, NO_TIMES]


def fetch():
    """Puts `multilingual.tiktoken` and `mel_filters.npz` into `assets/`, once."""
    if (ASSETS / "mel_filters.npz").exists():
        return
    ASSETS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder]
        subprocess.run([*pip, "openai-whisper==20250625"], check=True)
        [archive] = Path(folder).glob("openai_whisper-*.tar.gz")
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                name = Path(member.name).name
                if name in ("multilingual.tiktoken", "mel_filters.npz"):
                    (ASSETS / name).write_bytes(tar.extractfile(member).read())


@cache
def ranks():
    """Token bytes to id, in the order of the ids."""
    lines = (ASSETS / "multilingual.tiktoken").read_bytes().splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


@cache
def token_bytes():
    return {rank: token for token, rank in ranks().items()}


@cache
def _merge(word):
    """Byte pair encoding of one word."""
    table, parts = ranks(), [bytes([byte]) for byte in word.encode()]
    while len(parts) > 1:
        pairs = [table.get(a + b, N_VOCAB) for a, b in zip(parts, parts[1:])]
        best = min(pairs)
        if best == N_VOCAB:
            break
        at = pairs.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [table[part] for part in parts]


def encode(text):
    """Ids of `text`: a Chinese character, a digit or an upper-case letter at a time, so that the same one is always the same
    token; lower-case (English) words as ordinary pieces with their leading space."""
    return [token for word in re.findall(r" ?[a-z']+|.", text) for token in _merge(word)]


def decode(ids):
    table = token_bytes()
    return b"".join(table[i] for i in ids if i < EOT).decode("utf-8", "replace")


class Vocabulary:
    """The trained part: ids in use and the units of the training aid (initials, toned finals, letters)."""

    def __init__(self, path=HERE / "vocabulary.json"):
        data = json.loads(Path(path).read_text())
        self.characters = set(data["characters"])
        self.used = sorted(set(data["tokens"]) | set(SPECIAL))
        self.index = {token: i for i, token in enumerate(self.used)}
        self.units = {unit: i + 1 for i, unit in enumerate(data["units"])}  # 0 is the blank

    def knows(self, text, units):
        return all(t in self.index for t in encode(text)) and all(u in self.units for u in units)
