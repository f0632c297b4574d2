"""Checkpoint to whisper.cpp's ggml file (f16), and that to a quantised, compressed one.

The file has whisper's 51,865 rows of token embeddings. A row that was never trained is (−60, 0, 0, …); the last layer norm gives 1 in
column 0, where the trained rows hold 0: an untrained token's logit is exactly −60, a trained one's is unchanged, and the constant
rows compress to nothing.
"""

import struct
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
        ints = lambda *values: file.write(struct.pack(f"{len(values)}i", *values))  # noqa: E731
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


def quantise(source, path, form):
    """Rewrites an f16 file with its matrices in `form`; convolutions, biases, norms and positions stay as they are."""
    file_type, tensor_type = FORMATS[form]
    pack = {"q8_0": _q8_0, "q5_1": _q5_1}[form]
    data, at = Path(source).read_bytes(), 0

    def ints(n):
        nonlocal at
        at += 4 * n
        return struct.unpack(f"{n}i", data[at - 4 * n : at])

    with Path(path).open("wb") as file:
        header = ints(12)
        file.write(struct.pack("12i", *header[:11], file_type + 1000 * QUANTISATION_VERSION))
        start = at
        mels, bins = ints(2)
        at += 4 * mels * bins
        for _ in range(*ints(1)):
            (length,) = ints(1)
            at += length
        file.write(data[start:at])
        while at < len(data):
            dimensions, length, kind = ints(3)
            shape = ints(dimensions)
            label = data[at : at + length]
            at += length
            size = int(np.prod(shape)) * (2 if kind else 4)
            raw = data[at : at + size]
            at += size
            if kind == 1 and dimensions == 2:
                rows = np.frombuffer(raw, np.float16).astype(np.float32)
                raw, kind = pack(rows), tensor_type
            file.write(struct.pack(f"{3 + dimensions}i", dimensions, length, kind, *shape) + label + raw)
