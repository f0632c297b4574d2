"""Checkpoint to whisper.cpp's ggml file (f16), and that to a quantised, compressed one.

The file has whisper's 51,865 rows of token embeddings. A row that was never trained is (−60, 0, 0, …); the last layer norm gives 1 in
column 0, where the trained rows hold 0: an untrained token's logit is exactly −60, a trained one's is unchanged, and the constant
rows compress to nothing.
"""

import math
import struct
import subprocess
from pathlib import Path

import numpy as np

from . import tokens

UNTRAINED = 60.0
F32_NAMES = ("encoder.conv1.bias", "encoder.conv2.bias", "encoder.positional_embedding", "decoder.positional_embedding")


def write(checkpoint, path):
    import torch

    saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
    shape, used = saved["shape"], np.array(saved["used"])
    width = shape["width"]
    with Path(path).open("wb") as file:
        ints = lambda *values: file.write(struct.pack(f"{len(values)}i", *values))
        ints(0x67676D6C, tokens.N_VOCAB, shape["audio_context"], width, shape["heads"], shape["encoder_layers"])
        ints(shape["text_context"], width, shape["heads"], shape["decoder_layers"], shape["mels"], 1)
        bank = np.load(tokens.ASSETS / "mel_filters.npz")[f"mel_{shape['mels']}"].astype(np.float32)
        ints(*bank.shape)
        bank.tofile(file)
        table = list(tokens.ranks())
        ints(len(table))
        for token in table:
            ints(len(token))
            file.write(token)
        for name, tensor in saved["model"].items():
            if name.startswith("ctc"):
                continue
            a = tensor.detach().float().cpu().numpy()
            if name == "decoder.token_embedding.weight":
                full = np.zeros((tokens.N_VOCAB, width), np.float32)
                full[:, 0] = -UNTRAINED
                a = a.copy()
                a[:, 0] = 0
                full[used] = a
                a = full
            elif name in ("decoder.ln.weight", "decoder.ln.bias"):
                a = a.copy()
                a[0] = 0.0 if name.endswith("weight") else 1.0
            elif name in ("encoder.conv1.bias", "encoder.conv2.bias"):
                a = a.reshape(-1, 1)
            half = a.ndim >= 2 and name not in F32_NAMES
            a = np.ascontiguousarray(a.astype(np.float16 if half else np.float32))
            label = name.encode()
            ints(a.ndim, len(label), int(half))
            ints(*reversed(a.shape))
            file.write(label)
            a.tofile(file)
    aid = {name: tensor.half().numpy() for name, tensor in saved["model"].items() if name.startswith("ctc.")}
    np.savez_compressed(aid_beside(path), units=np.array(saved["units"]), **aid)


def aid_beside(path):
    """Where the training aid of an exported file is kept, for training on from it."""
    return Path(path).with_name(Path(path).name.split(".bin")[0].removesuffix("-f16") + ".ctc.npz")


# ggml's block formats: 32 numbers share a scale (and, for q5_1, a minimum).
FORMATS = {"q8_0": (7, 8), "q5_1": (9, 7)}  # file type, tensor type
QUANTISATION_VERSION = 2


def _q8_0(rows):
    blocks = rows.reshape(-1, 32)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    half = scale.astype(np.float16)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(scale > 0, np.round(blocks / scale), 0).astype(np.int8)
    return np.concatenate([half.view(np.uint8), values.view(np.uint8)], 1).tobytes()


def _q5_1(rows):
    blocks = rows.reshape(-1, 32)
    low = blocks.min(1, keepdims=True)
    scale = (blocks.max(1, keepdims=True) - low) / 31
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(scale > 0, np.clip(np.floor((blocks - low) / scale + 0.5), 0, 31), 0).astype(np.uint32)
    nibbles = ((values[:, :16] & 15) | ((values[:, 16:] & 15) << 4)).astype(np.uint8)
    high = ((values >> 4) << np.arange(32, dtype=np.uint32)).sum(1, dtype=np.uint64).astype("<u4")
    parts = [scale.astype(np.float16).view(np.uint8), low.astype(np.float16).view(np.uint8), high[:, None].view(np.uint8), nibbles]
    return np.concatenate(parts, 1).tobytes()


class _Reader:
    def __init__(self, path):
        self.data, self.at = Path(path).read_bytes(), 0
        if Path(path).suffix == ".zst":
            self.data = subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout

    def take(self, size):
        self.at += size
        return self.data[self.at - size : self.at]

    def ints(self, n):
        return struct.unpack(f"{n}i", self.take(4 * n))

    def head(self):
        """The twelve numbers of the header, then filters and tokens as they are."""
        header = self.ints(12)
        start = self.at
        mels, bins = self.ints(2)
        self.take(4 * mels * bins)
        for _ in range(*self.ints(1)):
            (length,) = self.ints(1)
            self.take(length)
        return header, self.data[start : self.at]

    def tensors(self):
        """(label, kind, shape in file order, bytes) of each."""
        sizes = {0: (1, 4), 1: (1, 2), 7: (32, 24), 8: (32, 34)}
        while self.at < len(self.data):
            dimensions, length, kind = self.ints(3)
            shape = self.ints(dimensions)
            label = self.take(length)
            block, size = sizes[kind]
            yield label, kind, shape, self.take(math.prod(shape) // block * size)


def unpack(kind, raw):
    """Numbers of a tensor of any of the four kinds, as f32, flat."""
    if kind in (0, 1):
        return np.frombuffer(raw, np.float16 if kind else np.float32).astype(np.float32)
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, 34 if kind == 8 else 24)
    half = lambda at: blocks[:, at : at + 2].copy().view(np.float16).astype(np.float32)
    if kind == 8:
        return (blocks[:, 2:].view(np.int8) * half(0)).ravel()
    high = blocks[:, 4:8].copy().view("<u4") >> np.arange(32, dtype=np.uint32) & 1
    values = np.concatenate([blocks[:, 8:] & 15, blocks[:, 8:] >> 4], 1) | (high << 4)
    return (values * half(0) + half(2)).astype(np.float32).ravel()


def read(path):
    """{name: f32 array} of a ggml file, plain, quantised or compressed: to train on from it."""
    reader = _Reader(path)
    reader.head()
    return {
        label.decode(): unpack(kind, raw).reshape(shape[::-1]).squeeze() if label.endswith(b".bias") else unpack(kind, raw).reshape(shape[::-1])
        for label, kind, shape, raw in reader.tensors()
    }


def quantise(source, path, form):
    """Rewrites an f16 file with its matrices in `form`; convolutions, biases, norms and positions stay as they are."""
    file_type, tensor_type = FORMATS[form]
    pack = {"q8_0": _q8_0, "q5_1": _q5_1}[form]
    reader = _Reader(source)
    header, tables = reader.head()
    with Path(path).open("wb") as file:
        file.write(struct.pack("12i", *header[:11], file_type + 1000 * QUANTISATION_VERSION) + tables)
        for label, kind, shape, raw in reader.tensors():
            if kind == 1 and len(shape) == 2:
                raw, kind = pack(unpack(kind, raw)), tensor_type
            file.write(struct.pack(f"{3 + len(shape)}i", len(shape), len(label), kind, *shape) + label + raw)
