"""The criterion of PT4: in how many series is the threshold of the pruned network logarithmic in the dataset size?

A series is one family of data, kind of labels, scaling, target and pruned size, over dataset sizes and seeds. Only
sizes at which pre-training is needed at all enter a fit: where an untrained network already contains a good one the
threshold is 0, and a pilot showed that such zeros let a logarithm cut off at 0 win by its kink, whatever the growth
beyond it.
"""

from collections import defaultdict
from typing import Any

from pruneproof.claims.claim import Outcome, Verdict
from pruneproof.claims.engine.cell import Row

from .fits import MODELS, Fit, fit_all

AHEAD = 2.0  # a difference of AIC below this tells nothing
SIZES_NEEDED = 6

CRITERION = (
    "A series (family, labels, scaling, target, k) enters if in at least 6 dataset sizes every seed reached the target "
    "and none reached it before training; only these sizes are fitted. It supports the claim if the logarithm has the "
    "lowest AIC of the three fits by at least 2 and the 95 % interval of b lies above 0; it contradicts the claim if "
    "another fit is lower by at least 2, or b's interval is not above 0; else it is undecided. Holds if at least half "
    "of all entered series of the pruned network support it; not reproduced if more than half contradict it; else "
    "inconclusive. Dense series are printed beside them. Settled by pilots on other seeds (docs/pilots.md)."
)

Key = tuple[str, str, str, str, str]
KEYS = ("family", "labels", "scaling", "target", "subject")


def series(rows: list[Row]) -> dict[Key, list[Row]]:
    """The rows of each series, restricted to the dataset sizes at which every seed needed and met a threshold."""
    groups: dict[Key, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[_key(row)][row["m"]].append(row)
    return {
        key: [row for m in sorted(sizes) for row in sizes[m] if all(one["threshold"] for one in sizes[m])]
        for key, sizes in groups.items()
    }


def _key(row: Row) -> Key:
    return (row["family"], row["labels"], row["scaling"], row["target"], row["subject"])


def explain(points: list[Row]) -> dict[str, Fit] | None:
    """The three fits of a series, or None if it does not enter."""
    if len({row["m"] for row in points}) < SIZES_NEEDED:
        return None
    columns = [[float(row[name]) for row in points] for name in ("m", "condition", "threshold")]
    return fit_all(*columns)


def support(fits: dict[str, Fit]) -> str:
    """`supports`, `contradicts` or `undecided`."""
    others = min(fits[name].aic for name in MODELS if name != "logarithm")
    lead = others - fits["logarithm"].aic
    if lead <= -AHEAD or fits["logarithm"].parameters["b"][1] <= 0:
        return "contradicts"
    return "supports" if lead >= AHEAD else "undecided"


def judge(rows: list[Row]) -> Outcome:
    """Fit every series, count what the pruned ones say."""
    table, counts = list[Row](), defaultdict[str, dict[str, int]](lambda: defaultdict(int))
    for key, points in sorted(series(rows).items()):
        fits = explain(points)
        says = "not entered" if fits is None else support(fits)
        subject = "dense" if key[-1] == "dense" else "pruned"
        counts[f"{subject}, {key[0]}, {key[3]}"][says] += 1
        table.append(_line(key, points, fits, says))
    pruned = [line["says"] for line in table if line["subject"] != "dense" and line["says"] != "not entered"]
    return Outcome(
        verdict(pruned),
        {
            "series of the pruned network": len(pruned),
            "supporting": pruned.count("supports"),
            "contradicting": pruned.count("contradicts"),
            "undecided": pruned.count("undecided"),
            **{name: _counted(says) for name, says in sorted(counts.items())},
        },
        tuple(sorted({row["seed"] for row in rows})),
        f"two-layer tanh networks of 256 neurons, m = {sorted({row['m'] for row in rows})}, two families of data, two "
        "kinds of labels, two scalings, pruned to 64, 128 and m neurons",
        table,
    )


def verdict(pruned: list[str]) -> Verdict:
    """The criterion, given what each entered series says."""
    if pruned and 2 * pruned.count("supports") >= len(pruned):
        return Verdict.HOLDS
    return Verdict.NOT_REPRODUCED if 2 * pruned.count("contradicts") > len(pruned) else Verdict.INCONCLUSIVE


def _counted(says: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(says.items()))


def _line(key: Key, points: list[Row], fits: dict[str, Fit] | None, says: str) -> Row:
    line: dict[str, Any] = dict(zip(KEYS, key, strict=True)) | {"says": says, "points": len(points)}
    for name, parameter in (("logarithm", "b"), ("power", "p"), ("condition", "log a")):
        line[f"{name}: {parameter}"] = fits[name].parameters[parameter] if fits else None
        line[f"{name}: AIC"] = round(fits[name].aic, 1) if fits else None
    return line
