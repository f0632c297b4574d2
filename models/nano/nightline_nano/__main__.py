"""From nothing to a model: `python -m nightline_nano all`; each step also runs alone and goes on where it stopped."""

import argparse
import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from . import tokens

SHARD = 2500
ENDPOINTING = Path(__file__).resolve().parents[3] / "src/call/endpointing"


def _source(a):
    from . import text

    return text.Source(clauses=a.clauses)


def vocabulary(a):
    from . import vocabulary as builder

    tenants = Path(__file__).resolve().parents[3] / "tenants"
    extra = "".join(p.read_text() for p in tenants.rglob("*") if p.suffix in (".toml", ".md", ".txt"))
    characters, ids, units = builder.build(_source(a), extra=extra)
    print(f"{characters} characters, {ids} ids, {units} units")


def _shard(job):
    folder, clauses, seed = job
    from . import say, text

    path = folder / f"train-{seed:04}.pkl"
    if not path.exists():
        say.save(path, say.shard(text.Source(clauses=clauses), tokens.Vocabulary(), seed, SHARD))
    return path


# Accented Mandarin in human diphones, a shard in eight or so of all: (first seed, voices). Kept apart by licence, see festival.py.
ACCENTED = [(9000, "kal ked"), (9100, "dita krb machac ph"), (9200, "lj mv")]


def _accented(job):
    folder, clauses, seed, voices = job
    from . import festival, say, text

    path = folder / f"train-{seed:04}.pkl"
    if not path.exists():
        say.save(path, festival.shard(text.Source(clauses=clauses), tokens.Vocabulary(), seed, SHARD, voices.split()))
    return path


def synthesise(a):
    a.data.mkdir(parents=True, exist_ok=True)
    jobs = [(_shard, (a.data, a.clauses, seed)) for seed in range(a.shards)]
    if shutil.which("festival"):
        share = max(1, a.shards // 24)
        jobs += [(_accented, (a.data, a.clauses, first + i, voices)) for first, voices in ACCENTED for i in range(share)]
    else:
        print("festival is not installed: no human diphones (see README.md)", file=sys.stderr)
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(function, job) for function, job in jobs]
        for i, future in enumerate(as_completed(futures), 1):
            print(f"\r{i} of {len(jobs)} shards ({future.result().name})", end="", flush=True)
    print()


def train(a):
    from . import train as trainer

    trainer.main(a)


def export(a):
    from . import export as exporter

    a.out.mkdir(parents=True, exist_ok=True)
    whole, small = a.out / "nightline-nano-f16.bin", a.out / "nightline-nano.bin"
    exporter.write(a.checkpoint or a.out / "average.pt", whole)
    exporter.quantise(whole, small, a.format)
    subprocess.run(["zstd", "-q", "-f", "--ultra", "-22", str(small), "-o", f"{small}.zst"], check=True)
    for path in (whole, small, Path(f"{small}.zst")):
        print(path, f"{path.stat().st_size:,} bytes")


def endings(a):
    from . import endings as table

    table.write(ENDPOINTING / "endings.tsv.zst", _source(a))


def endpointing(a):
    """Run `nightline turns moments SET.jsonl --out MOMENTS.jsonl` first, for each set."""
    from . import endpointing as trees

    trees.write(a.moments, ENDPOINTING / "weights.json")


def curve(a):
    """The picture of `learning.jsonl`; append a run's `log.jsonl` and what was measured to that first."""
    from . import curve as learning

    learning.draw(tokens.HERE / "learning.jsonl", tokens.HERE / "learning.svg")


def vad(a):
    from . import vad_train

    vad_train.main(a)


def testset(a):
    from . import testset as tests

    tests.write(a.tests, _source(a), tokens.Vocabulary(), a.count)


def evaluate(a):
    """`nightline asr eval` on the test sets: the error rates are whisper.cpp's, not torch's."""
    if not (a.tests / "manifest.jsonl").exists():
        testset(a)
    root = Path(__file__).resolve().parents[3]
    model = a.out.resolve() / "nightline-nano.bin"
    command = ["cargo", "run", "-q", "--release", "--bin", "nightline", "--", "asr", "eval", str(a.tests.resolve()), "--model", str(model)]
    sys.exit(subprocess.run(command, cwd=root).returncode)


def main():
    from . import train as trainer

    parser = argparse.ArgumentParser(prog="nightline_nano", description=__doc__)
    parser.add_argument("step", choices=["assets", "vocabulary", "synthesise", "train", "export", "testset", "evaluate", "vad", "endings", "endpointing", "curve", "all"])
    parser.add_argument("--clauses", type=Path, help="natural clauses, one a line (see README.md); without it there are none")
    parser.add_argument("--shards", type=int, default=60, help=f"shards of {SHARD} utterances")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint to export (average.pt of --out)")
    parser.add_argument("--format", choices=["q8_0", "q5_1"], default="q8_0")
    parser.add_argument("--moments", type=Path, nargs="+", default=[Path("moments.jsonl")], help="what `nightline turns moments` wrote, a file for each set")
    parser.add_argument("--vad-steps", type=int, default=920, help="steps of 48 lines to train the voice detector")
    parser.add_argument("--vad-lines", type=int, default=2400, help="lines of 8 s to train it on")
    parser.add_argument("--tests", type=Path, default=Path("work/test"), help="folder of the test sets")
    parser.add_argument("--count", type=int, default=200, help="utterances a test set")
    trainer.arguments(parser)
    a = parser.parse_args()
    tokens.fetch()
    steps = [a.step]
    if a.step == "all":
        steps = ["synthesise", "train", "export"]
        if not (tokens.HERE / "vocabulary.json").exists():
            steps.insert(0, "vocabulary")
    for step in steps:
        if step != "assets":
            globals()[step](a)


if __name__ == "__main__":
    main()
