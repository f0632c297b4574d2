"""The learning curve as a picture: losses of all runs, and the error rates that were measured on the way.

`learning.jsonl` holds both, in the order of training. A line of the trainer has `step`, `minutes` (of its run), `ce` (the decoder's loss) and
`ctc` (the training aid's); steps that fall far back begin another run. A measurement is `{"errors": {set: share}}` and belongs to
the moment where it stands.
"""

import json
from pathlib import Path

LABELS = {
    "unseen_wording": "wordings (4 %)",
    "unseen_sentence": "templates (8 %)",
    "unseen_clause": "clauses",
    "english": "English, words",
    "unseen_synthesiser": "cn1 (35 %)",
}


def read(path):
    """Losses as (minute, ce, ctc) with minutes of all runs added up, error rates as (minute, {set: share})."""
    losses, errors, before, last, step = [], [], 0.0, 0.0, 0
    for line in Path(path).read_text().splitlines():
        entry = json.loads(line)
        if "errors" in entry:
            errors.append((before + last, entry["errors"]))
            continue
        if entry["step"] < step / 2:
            before += last
        while losses and losses[-1][0] >= before + entry["minutes"]:
            losses.pop()  # a stopped run has gone on from its checkpoint
        last, step = entry["minutes"], entry["step"]
        losses.append((before + last, entry["ce"], entry["ctc"]))
    return losses, errors


def draw(path, picture):
    """Writes `picture` (SVG). matplotlib is only needed here."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "nightline", "svg.fonttype": "none", "font.size": 9})
    losses, errors = read(path)
    figure, (above, below) = pyplot.subplots(2, sharex=True, figsize=(8, 6), layout="constrained")
    minutes = [minute for minute, _, _ in losses]
    above.plot(minutes, [ce for _, ce, _ in losses], lw=1, label="decoder (cross entropy)")
    above.plot(minutes, [ctc for _, _, ctc in losses], lw=1, label="training aid (CTC)")
    above.set(ylabel="loss", ylim=0)
    for name, label in LABELS.items():
        points = [(minute, 100 * shares[name]) for minute, shares in errors if name in shares]
        below.plot(*zip(*points), marker="o", ms=3, lw=1, label=label)
    below.set(ylabel="errors at 20 dB, % (wanted)", xlabel="minutes of two shared CPU cores", ylim=(0, 105))
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, ncols=3)
    figure.savefig(picture, metadata={"Date": None})
