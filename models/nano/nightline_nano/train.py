"""The trainer: shards in, checkpoint out. It may be stopped at any time and goes on where it was.

On a CPU it runs one process a core (gradients are averaged after each step); on a GPU one process with larger batches, which other
processes prepare. The learning rate follows the share of the time that was given.
"""

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from . import export, say, tokens
from .channel import Channel, LogMel, spec_augment, up
from .model import Nano

SHAPE = dict(mels=80, audio_context=512, text_context=224, width=256, heads=4, encoder_layers=4, decoder_layers=2)


class Feeder:
    """Batches of about `seconds` of audio each, for one process."""

    def __init__(self, folder, vocabulary, seconds, seed, light=lambda: False, focused=lambda: False):
        self.folder, self.vocabulary, self.seconds = Path(folder), vocabulary, seconds
        self.light, self.focused = light, focused
        self.r, self.n = random.Random(seed), np.random.default_rng(seed)
        self.channel, self.logmel = Channel(seed), LogMel()
        self.items, self.seen, self.looked = [], set(), 0.0

    def refresh(self):
        """Shards may arrive during training."""
        for path in sorted(self.folder.glob("train-*.pkl")):
            if path not in self.seen:
                self.seen.add(path)
                self.items += say.load(path)
        self.looked = time.monotonic()
        if not self.items:
            raise FileNotFoundError(f"no train-*.pkl in {self.folder}: run `synthesise` first")

    def batches(self):
        while True:
            if time.monotonic() - self.looked > 60:
                self.refresh()
            pool = [self.draw() for _ in range(400)]
            pool.sort(key=lambda item: len(item[1]))
            out, batch = [], []
            for item in pool:
                if batch and (len(item[1]) / 8000 + 0.7) * (len(batch) + 1) > self.seconds:
                    out.append(batch)
                    batch = []
                batch.append(item)
            out.append(batch)
            self.r.shuffle(out)
            for batch in out:
                yield self.prepare(batch)

    def draw(self):
        meta, x = self.r.choice(self.items)
        while meta["kind"] in ("clause", "words", "general") and self.focused() and self.r.random() < 0.7:
            meta, x = self.r.choice(self.items)
        if self.r.random() < 0.08 and meta["lang"] == "zh":
            other, y = self.r.choice(self.items)
            if other["lang"] == "zh" and len(x) + len(y) < 8000 * 8.5:
                gap = np.zeros(self.r.randrange(400, 6000), np.int16)
                meta = dict(meta, text=meta["text"] + other["text"], units=meta["units"] + other["units"])
                x = np.concatenate([x, gap, y])
        return meta, x

    def prepare(self, batch):
        v, light = self.vocabulary, self.light()
        silent = [self.r.random() < 0.02 for _ in batch]
        waves = []
        for (_, x), nothing in zip(batch, silent):
            other = self.r.choice(self.items)[1] if self.r.random() < 0.06 and not nothing else None
            waves.append(self.channel.train(x, other, speech=not nothing, light=light))
        longest = max(map(len, waves))
        x = torch.zeros(len(waves), longest)
        for i, w in enumerate(waves):
            x[i, : len(w)] = torch.from_numpy(w)
        x = up(x, self.r.choice(["sinc", "sinc", "short", "linear"]))
        extra = self.r.randrange(2, 11) if self.r.random() < 0.88 else self.r.randrange(10, 80)
        context = min(SHAPE["audio_context"], math.ceil(x.shape[1] / 320) + extra)
        warp = torch.from_numpy(np.where(self.n.random(len(waves)) < 0.5, self.n.uniform(0.88, 1.14, len(waves)), 1)).float()
        mel = spec_augment(self.logmel(x, 2 * context, warp), self.n, light)
        rows, targets, units = [], [], []
        for (meta, _), nothing in zip(batch, silent):
            language = v.index[tokens.ZH if meta["lang"] == "zh" else tokens.EN]
            ids = [] if nothing else [v.index[t] for t in tokens.encode(meta["text"])]
            head = [v.index[tokens.SOT], language, v.index[tokens.TRANSCRIBE], v.index[tokens.NO_TIMES]]
            end = v.index[tokens.EOT]
            if nothing:
                targets.append([-100] * 3 + [v.index[tokens.NO_SPEECH] if self.r.random() < 0.6 else end])
            else:
                targets.append([language, -100, -100, *ids, end])
            rows.append(head + self.corrupt(ids))
            units.append([] if nothing else [v.units[u] for u in meta["units"]])
        width = max(map(len, rows))
        pad = lambda table, value: torch.tensor([row + [value] * (width - len(row)) for row in table])
        return mel, pad(rows, v.index[tokens.EOT]), pad(targets, -100), units

    def corrupt(self, ids):
        """Other tokens among those that the decoder is shown: it must listen, not recite."""
        share = self.r.choice([0, 0, 0, 0.2] if self.light() else [0, 0, 0.1, 0.3])
        if not share:
            return ids
        plain = len(self.vocabulary.used)
        return [self.r.randrange(plain) if self.r.random() < share else i for i in ids]


def loss_of(model, batch, ctc_weight, device):
    mel, rows, targets, units = batch
    mel, rows, targets = mel.to(device), rows.to(device), targets.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        audio = model.encoder(mel)
        logits = model.decoder(rows, audio, dropout=0.1)
        frames = model.ctc(audio)
    entropy = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, label_smoothing=0.05)
    with_units = [i for i, u in enumerate(units) if u]
    if not with_units:
        return entropy, entropy.detach(), torch.zeros(())
    log = frames.float()[with_units].log_softmax(-1).transpose(0, 1)
    sizes = torch.tensor([len(units[i]) for i in with_units])
    aid = F.ctc_loss(
        log,
        torch.tensor(sum((units[i] for i in with_units), [])).to(device),
        torch.full((len(with_units),), log.shape[0]),
        sizes,
        zero_infinity=True,
    )
    return entropy + ctc_weight * aid, entropy.detach(), aid.detach()


def adopt(model, vocabulary, path):
    """Weights of an earlier checkpoint or of an exported file (its training aid lies beside it, or begins anew); rows of ids and units
    are matched by what they stand for. Layers that it lacks begin as ones that change nothing."""
    if ".bin" in Path(path).name:
        state = {name: torch.from_numpy(a) for name, a in export.read(path).items()}
        table = "decoder.token_embedding.weight"
        used = torch.nonzero(state[table][:, 0] > -export.UNTRAINED / 2).flatten().tolist()
        state[table] = state[table][used]
        units, aid = [], export.aid_beside(path)
        if aid.exists():
            with np.load(aid) as file:
                units = file["units"].tolist()
                state |= {name: torch.from_numpy(file[name].astype(np.float32)) for name in ("ctc.weight", "ctc.bias")}
        old = dict(model=state, used=used, units=units)
    else:
        old = torch.load(path, map_location="cpu", weights_only=False)
    state, mine = old["model"], model.state_dict()
    used, units = old["used"], old["units"]
    for name in mine.keys() - state.keys():
        if ".blocks." in name and name.split(".", 3)[3].startswith(("attn.out.", "cross_attn.out.", "mlp.2.")):
            mine[name].zero_()
    for name, weight in state.items():
        if name == "decoder.token_embedding.weight":
            rows = [(vocabulary.index[t], i) for i, t in enumerate(used) if t in vocabulary.index]
        elif name.startswith("ctc."):
            rows = [(0, 0)] + [(vocabulary.units[u], i + 1) for i, u in enumerate(units) if u in vocabulary.units]
        elif name in mine:
            mine[name].copy_(weight)
            continue
        else:
            continue
        to, of = map(list, zip(*rows))
        mine[name][to] = weight[of]
    model.load_state_dict(mine)


def run(rank, world, a):
    torch.set_num_threads(1 if world > 1 else a.threads)
    torch.manual_seed(a.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{a.out}/rendezvous", rank=rank, world_size=world)
    vocabulary = tokens.Vocabulary()
    shape = SHAPE | dict(decoder_layers=a.decoder_layers, ids=len(vocabulary.used), units=len(vocabulary.units) + 1)
    model = Nano(shape).to(device)
    matrices = [p for n, p in model.named_parameters() if p.ndim > 1 and "embedding" not in n]
    others = [p for n, p in model.named_parameters() if not (p.ndim > 1 and "embedding" not in n)]
    groups = [dict(params=matrices, weight_decay=0.02), dict(params=others, weight_decay=0.0)]
    optimiser = torch.optim.AdamW(groups, lr=a.rate, betas=(0.9, 0.98), fused=True)
    step, spent, heard = 0, 0.0, 0
    last = a.out / "last.pt"
    if last.exists():
        saved = torch.load(last, map_location="cpu", weights_only=False)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent, heard = saved["step"], saved["spent"], saved["heard"]
        average = saved["average"]
    else:
        if a.adopt:
            adopt(model, vocabulary, a.adopt)
        average = {n: p.detach().cpu().clone() for n, p in model.state_dict().items()}
    share = lambda: min(1.0, spent / (a.minutes * 60))
    progress = torch.tensor(share()).share_memory_()
    data = _Loader(a, vocabulary, a.seed + 1000 * step + 100 * rank, progress)
    feed = iter(DataLoader(data, batch_size=None, num_workers=a.loaders) if a.loaders else data)
    parameters = list(model.parameters())
    losses, clock, written = [], time.monotonic(), time.monotonic()
    model.train()
    while True:
        batch = next(feed)
        warm = min(1.0, (step + 1) / a.warm)
        rate = a.rate * warm * (a.floor + (1 - a.floor) * 0.5 * (1 + math.cos(math.pi * share())))
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, entropy, aid = loss_of(model, batch, a.ctc * (1 if share() < 0.6 else 0.5), device)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        now = time.monotonic()
        spent, clock = spent + now - clock, now
        if world > 1:
            flat = torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros_like(p).flatten() for p in parameters])
            flat = torch.cat([flat, torch.tensor([spent, len(batch[1])], dtype=flat.dtype)])
            dist.all_reduce(flat)
            flat /= world
            spent, batch_size, at = float(flat[-2]), float(flat[-1]) * world, 0
            for p in parameters:
                p.grad = flat[at : at + p.numel()].view_as(p)
                at += p.numel()
        else:
            batch_size = len(batch[1])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        step, heard = step + 1, heard + int(batch_size)
        losses.append((float(entropy), float(aid)))
        progress.fill_(share())
        done = share() >= 1
        if rank == 0:
            if step % 5 == 0:
                keep = min(0.99, (step + 1) / (step + 20))
                for name, p in model.state_dict().items():
                    average[name].lerp_(p.detach().cpu(), 1 - keep) if p.is_floating_point() else average[name].copy_(p)
            if step % 50 == 0:
                ce, ctc = np.mean(losses[-100:], axis=0)
                line = dict(step=step, minutes=round(spent / 60, 2), heard=heard, ce=round(ce, 4), ctc=round(ctc, 4), rate=round(rate, 7))
                print(json.dumps(line), flush=True)
                with (a.out / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
            if done or time.monotonic() - written > a.save_every:
                written = time.monotonic()
                base = dict(shape=shape, used=vocabulary.used, units=list(vocabulary.units), step=step, spent=spent, heard=heard)
                _write(a.out / "average.pt", base | dict(model=average))
                _write(last, base | dict(model=model.state_dict(), average=average, optimiser=optimiser.state_dict()))
        if done:
            break
    if world > 1:
        dist.destroy_process_group()


class _Loader(IterableDataset):
    """Feeders in worker processes, each with its own seed. `progress` is shared memory: the share of the training that is done."""

    def __init__(self, a, vocabulary, seed, progress):
        self.a, self.vocabulary, self.seed, self.progress = a, vocabulary, seed, progress

    def __iter__(self):
        torch.set_num_threads(1)
        worker = get_worker_info()
        seed = self.seed + (worker.id if worker else 0)
        light = lambda: float(self.progress) > self.a.light
        focused = lambda: float(self.progress) > self.a.focus
        return Feeder(self.a.data, self.vocabulary, self.a.seconds, seed, light, focused).batches()


def _write(path, value):
    part = path.with_suffix(".part")
    torch.save(value, part)
    os.replace(part, path)


def arguments(parser):
    cuda = torch.cuda.is_available()
    cores = os.cpu_count() or 1
    parser.add_argument("--data", type=Path, default=Path("work/data"), help="folder of the shards")
    parser.add_argument("--out", type=Path, default=Path("work/run"), help="folder of the checkpoint; an existing one is continued")
    parser.add_argument("--minutes", type=float, default=45 if cuda else 480, help="time to train, stops not counted")
    parser.add_argument("--seconds", type=float, default=600 if cuda else 40, help="audio in a batch")
    parser.add_argument("--processes", type=int, default=1 if cuda else min(cores, 8))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loaders", type=int, default=max(1, cores - 1) if cuda else 0, help="processes that prepare batches")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--floor", type=float, default=0.02, help="share of it at the end")
    parser.add_argument("--warm", type=int, default=300, help="steps until the peak")
    parser.add_argument("--ctc", type=float, default=0.6, help="weight of the training aid")
    parser.add_argument("--light", type=float, default=0.15, help="share of the time after which the channel is kinder")
    parser.add_argument("--focus", type=float, default=0.65, help="share of the time after which most of it is what callers say")
    parser.add_argument("--save-every", type=float, default=240, help="seconds between checkpoints")
    parser.add_argument("--adopt", type=Path, help="start from the weights of this checkpoint")
    parser.add_argument("--decoder-layers", type=int, default=SHAPE["decoder_layers"], help="more than an adopted model has are added to it")
    parser.add_argument("--seed", type=int, default=1)


def main(a):
    a.out = a.out.resolve()
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "rendezvous").unlink(missing_ok=True)
    if a.processes == 1:
        run(0, 1, a)
    else:
        torch.multiprocessing.spawn(run, (a.processes, a), nprocs=a.processes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    main(parser.parse_args())
