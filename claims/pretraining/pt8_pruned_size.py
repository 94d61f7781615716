"""PT8: at a fixed dataset, does the pre-training that a network of k neurons needs grow like log k?

The target falls with k: it is the loss 2V/k of T1, the regime in which more neurons help as 1/k. Networks start far
from it (the scaling 1/N and a small step), so that the larger sizes need training.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome, Scale, fresh_seeds
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.kernels import greedy_select

from .growth import SIZES_NEEDED, Fit, fit_all, support, verdict_of
from .setting import LABELS, checkpoints, controlled_task, descend, features, network

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = (
    r"At a fixed dataset, the number of pre-training iterations from which on a network pruned to $k$ neurons has a "
    r"loss of at most $2V/k$ is logarithmic in $k$, $t^*(k) = a + b \log k$."
)
SOURCE = "derived: the threshold of T1 in theory/theorems/pretraining/proof.md, which bounds it from above"
CRITERION = (
    "A threshold is the first checkpoint from which on the target is met at every later one. A series (labels, m) "
    "enters if at least 6 sizes k have a threshold above 0 in every seed; only these are fitted. It supports the claim "
    "if a + b·log k, or the same with a = b·log 4, has the lowest AIC by at least 2 over a power of k and a constant, "
    "and the 95 % interval of b lies above 0; it contradicts the claim if one of the other two is lower by at least 2, "
    "or b's interval is not above 0; else it is undecided. Holds if at least half of the entered series support it; "
    "not reproduced if more than half contradict it; else inconclusive. Settled after runs with other seeds "
    "(docs/pilots.md)."
)
SAYS_NOT = (
    "That more selections need more pre-training for the same loss: the target falls with k. Nor that k neurons are "
    "kept: a neuron may be selected several times, and above 512 selections some are."
)
SYMBOLS = (
    "$V$ is the mean squared distance of the neurons' outputs from their mean, $m$ the number of training examples, "
    "and $a$, $b$ are fitted. AIC is Akaike's information criterion: lower is better."
)

WIDTH, FRACTION = 512, 1 / 32  # of the largest step
SUPPORTING = ("logarithm", "theorem")
SIZES = {Scale.QUICK: (128,), Scale.STANDARD: (64, 128, 256), Scale.FULL: (64, 128, 256, 512)}  # m
LARGEST = {Scale.QUICK: 4096, Scale.STANDARD: 16_384, Scale.FULL: 65_536}  # k, from 256 on by factors of √2
ITERATIONS = {Scale.QUICK: 2000, Scale.STANDARD: 8000, Scale.FULL: 20_000}
SEEDS = {Scale.QUICK: 2, Scale.STANDARD: 5, Scale.FULL: 20}


@dataclass(frozen=True)
class SizeRow:
    """The threshold of one size k in one run.

    Args:
        m: Number of examples.
        labels: Kind of labels.
        seed: Of data and weights.
        k: Neurons selected.
        threshold: Checkpoint from which on the loss is at most 2V/k; None if it is above at the last one.
        V: Mean squared distance of the neurons from their mean, at the last checkpoint.
    """

    m: int
    labels: str
    seed: int
    k: int
    threshold: int | None
    V: float


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per number of examples, kind of labels and seed, the longest first."""
    own = {"iterations": ITERATIONS[scale], "largest": LARGEST[scale]}
    return [
        own | {"m": m, "labels": labels, "seed": seed}
        for m in sorted(SIZES[scale], reverse=True)
        for labels in LABELS
        for seed in fresh_seeds(seeds or SEEDS[scale])
    ]


@stable_id("pretraining/pruned-size")
def measure(cell: Cell) -> list[SizeRow]:
    """Train once; return the threshold of every size k."""
    m, largest = cell["m"], cell["largest"]
    generator = torch.Generator().manual_seed(cell["seed"])
    data = controlled_task("generic", cell["labels"], m, generator)
    net = network(WIDTH, data.inputs.shape[1], "mean", generator)
    sizes = sorted({round(256 * 2 ** (i / 2)) for i in range(64)} & set(range(largest + 1)))
    times, since, spread = set(checkpoints(cell["iterations"])), dict[int, int | None](), 0.0
    for snapshot in descend(data, net, cell["iterations"], FRACTION):
        if snapshot.t not in times:
            continue
        neurons = features(snapshot, net)
        spread = float((neurons - neurons.mean(0)).square().sum(1).mean())
        losses = greedy_select((neurons, data.labels / m**0.5), largest).losses
        for k in sizes:
            reached = float(losses[k - 1]) <= 2 * spread / k
            since[k] = None if not reached else snapshot.t if since.get(k) is None else since[k]
    return [SizeRow(m, cell["labels"], cell["seed"], k, since[k], spread) for k in sizes]


def series(rows: Sequence[SizeRow]) -> dict[tuple[str, int], list[SizeRow]]:
    """(labels, m) → the rows of the sizes at which every seed needed and met a threshold, in increasing k."""
    groups: dict[tuple[str, int], dict[int, list[SizeRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.labels, row.m][row.k].append(row)
    return {
        key: [row for k in sorted(sizes) for row in sizes[k] if all(each.threshold for each in sizes[k])]
        for key, sizes in groups.items()
    }


def explain(points: Sequence[SizeRow]) -> dict[str, Fit] | None:
    """The fits of `growth` with k in place of m and no conditioning, or None if the series does not enter."""
    if len({row.k for row in points}) < SIZES_NEEDED:
        return None
    return fit_all([row.k for row in points], [1.0] * len(points), [row.threshold or 0 for row in points])


def judge(rows: Sequence[Row]) -> Outcome:
    """Fit every series; count what they say."""
    tried = read_rows(SizeRow, rows)
    table, said = list[Row](), list[str]()
    for (labels, m), points in sorted(series(tried).items()):
        fits = explain(points)
        says = "not entered" if fits is None else support(fits, SUPPORTING)
        said.append(says)
        line: Row = {"labels": labels, "m": m, "says": says, "sizes k": len({row.k for row in points})}
        if fits is not None:
            line |= {f"{name}: AIC": round(fits[name].aic, 1) for name in ("logarithm", "power", "theorem")}
            line |= {"logarithm: b": fits["logarithm"].parameters["b"], "power: p": fits["power"].parameters["p"]}
        table.append(line)
    counts = Counter(said)
    return Outcome(
        verdict_of([says for says in said if says != "not entered"]),
        {f"series: {word}": counts[word] for word in ("supports", "contradicts", "undecided", "not entered")},
        tuple(sorted({row.seed for row in tried})),
        f"two-layer tanh networks of {WIDTH} neurons in the scaling 1/N, m = {sorted({row.m for row in tried})} random "
        "directions in R^40, two kinds of labels, greedy selection with replacement, V of the same checkpoint, "
        f"k = {min(row.k for row in tried)} … {max(row.k for row in tried)}",
        table,
    )


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Threshold against k with the fitted logarithm and power, one panel for each kind of labels."""
    groups = series(read_rows(SizeRow, rows))
    sizes = sorted({m for _, m in groups})

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 3.2)
        panels: Any = canvas.subplots(1, len(LABELS), sharey=True, squeeze=False)[0]
        for axes, labels in zip(panels, LABELS, strict=True):
            for index, m in enumerate(sizes):
                points = groups.get((labels, m), [])
                color = f"C{index}"
                thresholds = [row.threshold for row in points]
                axes.plot([row.k for row in points], thresholds, ".", color=color, label=f"m = {m}")
                if (fits := explain(points)) is not None:
                    k = np.array(sorted({row.k for row in points}), dtype=np.float64)
                    for name, style in (("logarithm", "-"), ("power", "--")):
                        axes.plot(k, fits[name].predict(k, np.ones_like(k)), style, color=color, linewidth=1)
            axes.set_xscale("log")
            axes.set_xlabel("k, selections (with replacement)")
            axes.set_title(f"{labels} labels", fontsize="small")
        panels[0].set_ylabel("threshold, iterations")
        panels[0].legend(fontsize="small")

    caption = (
        "First iteration from which on the pruned network has a loss of at most 2V/k, for the sizes k at which every "
        "seed needed training. Points: seeds; solid a + b·log k, dashed a·k^p."
    )
    return [Figure("Threshold against the size of the pruned network", caption, draw)]


PT8 = Claim(
    "PT8",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="pretraining",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
    origin=Origin.DERIVED,
)
