"""Fits the trees that find the end of a turn to what `nightline turns moments` wrote.

Every moment of silence asks: is the turn over, or will the caller go on? Gradient-boosted trees of depth four (scikit-learn), in which a
longer silence never makes an end less likely, nor a connective one more likely. The threshold is the highest that still lets half of the turns end in time,
each judged by trees that were fitted without it."""

import json

import numpy as np

FOLDS, TREES, DEPTH, RATE, LEAF = 5, 80, 4, 0.1, 40
LEAST, MOST = 200, 1800  # ms, the limits of the server
OPEN, COMPLETE = 1200, 1000  # ms, its bounds after a connective and after complete words
GRID = 40  # ms: every second frame is enough
IN_TIME = 370  # ms, the median delay that is spent on not cutting off: with the wire it stays below half a second
# What can only speak for an end, and what only against it.
RISING = ("log_silence", "closed", "ending_odds", "short_reply")
FALLING = ("open", "filler", "half_number", "digits_missing")


def load(paths):
    """Of one file for each set; two sets may give a turn the same name."""
    moments = [json.loads(line) | {"set": number} for number, path in enumerate(paths) for line in path.open()]
    names = sorted(moments[0]["features"])
    turn = lambda m: (m["set"], m["id"])
    ids = {name: i for i, name in enumerate(dict.fromkeys(map(turn, moments)))}
    column = lambda f: np.array([f(m) for m in moments])
    return dict(
        names=names,
        features=np.array([[m["features"][n] for n in names] for m in moments]),
        item=column(lambda m: ids[turn(m)]),
        silence=column(lambda m: m["silence_ms"]),
        at=column(lambda m: m["at_ms"]),
        end=column(lambda m: m["end_ms"]),
        turns=len(ids),
    )


def trees(d, rows):
    from sklearn.ensemble import HistGradientBoostingClassifier

    sign = [(name in RISING) - (name in FALLING) for name in d["names"]]
    model = HistGradientBoostingClassifier(
        max_iter=TREES, max_depth=DEPTH, learning_rate=RATE, min_samples_leaf=LEAF, monotonic_cst=sign, early_stopping=False, random_state=1
    )
    return model.fit(d["features"][rows], (d["at"] >= d["end"])[rows])


def policy(d, score, threshold):
    """Share of turns that are cut off, and the delays of the others. The bounds after connectives and complete words are the server's."""
    says = lambda name: d["features"][:, d["names"].index(name)] > 0
    goes_on = (says("open") | says("filler")) & (d["silence"] < OPEN)
    over = (d["silence"] >= LEAST) & (score >= threshold) & ~goes_on
    over |= (d["silence"] >= MOST) | says("closed") & (d["silence"] >= COMPLETE)
    cut, delays = 0, []
    for turn in range(d["turns"]):
        rows = np.nonzero((d["item"] == turn) & over)[0]
        if len(rows):
            delay = d["at"][rows[0]] - d["end"][rows[0]]
            cut += delay < 0
            delays += [delay] if delay >= 0 else []
    return cut / d["turns"], np.array(delays)


def grown(model):
    """Trees as lists of nodes; `v` is the mean log-odds of what comes through a node."""
    out = []
    for [predictor] in model._predictors:
        nodes = predictor.nodes

        def mean(i):
            if nodes[i]["is_leaf"]:
                return float(nodes[i]["value"])
            left, right = int(nodes[i]["left"]), int(nodes[i]["right"])
            a, b = int(nodes[left]["count"]), int(nodes[right]["count"])
            return (a * mean(left) + b * mean(right)) / (a + b)

        tree = []
        for i, node in enumerate(nodes):
            split = {} if node["is_leaf"] else dict(f=int(node["feature_idx"]), t=round(float(node["num_threshold"]), 4), l=int(node["left"]), r=int(node["right"]))
            tree.append(dict(v=round(mean(i), 4), **split))
        out.append(tree)
    return out


def write(moments, out):
    """Fits to the files `moments`."""
    d = load(moments)
    learn = (d["silence"] <= MOST) & (d["silence"] % GRID == 0)
    score = np.zeros(len(learn))
    for fold in range(FOLDS):
        unseen = d["item"] % FOLDS == fold
        score[unseen] = trees(d, learn & ~unseen).decision_function(d["features"][unseen])
    for threshold in np.linspace(7, 0, 141):
        share, delays = policy(d, score, threshold)
        if np.median(delays) <= IN_TIME:
            break
    model = trees(d, learn)
    weights = dict(
        made_by=f"models/nano/make endpointing --moments {' '.join(path.name for path in moments)}",
        turns=d["turns"],
        threshold=round(float(1 / (1 + np.exp(-threshold))), 4),
        bias=round(float(model._baseline_prediction.ravel()[0]), 4),
        features=d["names"],
    )
    rows = ",\n  ".join(json.dumps(tree, separators=(",", ":")) for tree in grown(model))
    out.write_text(json.dumps(weights, indent=1)[:-2] + ',\n "trees": [\n  ' + rows + "\n ]\n}\n")
    print(f"unseen: {share:.1%} cut off, delay {np.median(delays):.0f} ms (median), {np.percentile(delays, 95):.0f} ms (p95)")
