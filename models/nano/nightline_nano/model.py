"""Whisper's encoder and decoder; the parameter names are those of whisper.cpp's files."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def sinusoids(length, channels):
    rate = torch.exp(-math.log(10_000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angle = torch.arange(length)[:, None] * rate[None]
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def _split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, source=None, mask=None):
        source = x if source is None else source
        q, k, v = self._split(self.query(x)), self._split(self.key(source)), self._split(self.value(source))
        if x.is_cuda:
            causal = mask is not None
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        else:
            # On a CPU the backward pass of plain attention costs a third of the fused one's.
            weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            if mask is not None:
                weights = weights + mask.to(weights.dtype)
            mixed = weights.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width, heads, cross=False):
        super().__init__()
        self.attn, self.attn_ln = Attention(width, heads), nn.LayerNorm(width)
        self.cross = cross
        if cross:
            self.cross_attn, self.cross_attn_ln = Attention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x, source=None, mask=None, dropout=0.0):
        drop = (lambda t: F.dropout(t, dropout, self.training)) if dropout else (lambda t: t)
        x = x + drop(self.attn(self.attn_ln(x), mask=mask))
        if self.cross:
            x = x + drop(self.cross_attn(self.cross_attn_ln(x), source))
        return x + drop(self.mlp(self.mlp_ln(x)))


class Encoder(nn.Module):
    def __init__(self, mels, context, width, heads, layers):
        super().__init__()
        self.conv1 = nn.Conv1d(mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", sinusoids(context, width))
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.ln_post = nn.LayerNorm(width)

    def forward(self, mel, dropout=0.0):
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.positional_embedding[: x.shape[1]].to(x.dtype)
        for block in self.blocks:
            x = block(x, dropout=dropout)
        return self.ln_post(x)


class Decoder(nn.Module):
    """The embedding covers the trained ids only, and its column 0 is kept at zero: see export."""

    def __init__(self, ids, context, width, heads, layers):
        super().__init__()
        self.token_embedding = nn.Embedding(ids, width)
        nn.init.normal_(self.token_embedding.weight, std=0.05)
        self.positional_embedding = nn.Parameter(torch.randn(context, width) * 0.01)
        self.blocks = nn.ModuleList([Block(width, heads, cross=True) for _ in range(layers)])
        self.ln = nn.LayerNorm(width)

    def forward(self, ids, audio, dropout=0.0):
        column = torch.ones(self.token_embedding.weight.shape[1], device=ids.device)
        column[0] = 0
        table = self.token_embedding.weight * column
        x = F.embedding(ids, table) + self.positional_embedding[: ids.shape[1]]
        mask = torch.full((ids.shape[1],) * 2, -1e4, device=ids.device).triu(1)
        for block in self.blocks:
            x = block(x, audio, mask, dropout)
        return F.linear(self.ln(x), table)


class Nano(nn.Module):
    """`units` is the output size of the training aid (CTC), which is not exported."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        w, h = shape["width"], shape["heads"]
        self.encoder = Encoder(shape["mels"], shape["audio_context"], w, h, shape["encoder_layers"])
        self.decoder = Decoder(shape["ids"], shape["text_context"], w, h, shape["decoder_layers"])
        self.ctc = nn.Linear(w, shape["units"])

    @torch.no_grad()
    def greedy(self, mel, prompt, end, longest=80):
        """(batch, 80, frames) and the ids before the text → rows of ids and the log-probability of each."""
        audio = self.encoder(mel)
        ids, scores = prompt.repeat(len(mel), 1), []
        done = torch.zeros(len(mel), dtype=torch.bool, device=mel.device)
        for _ in range(longest):
            logits = self.decoder(ids, audio)[:, -1].float()
            score, best = logits.log_softmax(-1).max(-1)
            best[done], score[done] = end, 0
            ids, scores = torch.cat([ids, best[:, None]], 1), [*scores, score]
            done |= best == end
            if done.all():
                break
        return ids[:, prompt.shape[1] :], torch.stack(scores, 1)
