"""PT3: do pruned networks obey T1, T2 and T3, and how loose are the thresholds of pre-training that these predict?

The theorems need a contraction q with ‖r_t‖ ≤ q^t·‖r_0‖. Where the network is wide enough it is P1's 1 − ηλ₀/16; else
it is the smallest q that the run itself obeyed, max_t (‖r_t‖/‖r_0‖)^(1/t): then the descent is measured and the
theorem's step from descent to pruned network is what is tested.

At the largest step the pruned network is good from the start, or nearly. So that there are thresholds to compare with
the predicted ones, some runs have more examples, the scaling 1/N and a 32nd of the step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.kernels import greedy_select
from pruneproof.theory.theorems.greedy.hull import geometry
from pruneproof.theory.theorems.pretraining.tangent_kernel import tangent_kernel
from pruneproof.theory.theorems.pretraining.thresholds import T1, T1_THRESHOLD, T2, T2_THRESHOLD, T3_SIZE, T3_THRESHOLD

from .setting import LABELS, SCALING_NAMES, SCALINGS, checkpoints, controlled_task, descend, features, network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

STATEMENT = (
    r"A network pruned after $t$ iterations has $\ell(u_k) \le (q^t\sqrt{L_0} + \sqrt{V_t/(2k)})^2$, hence "
    r"$\ell(u_k) \le 2V_t/k$ from "
    r"$t^* = \lceil \log(2kL_0/V_t)/(2\log(1/q)) \rceil$ on (T1); a rate in $k^{-2}$ from a threshold independent "
    r"of $k$ on (T2); and "
    r"no training example is lost from $t = (\log m + \log 8L_0)/(2\log(1/q))$ on, if $k > 4mV_t$ (T3)."
)
SOURCE = "derived: T1, T2, T3 in theory/theorems/pretraining/proof.md"
CRITERION = (
    "At every checkpoint of every run and every k: the pruned loss is at most T1's bound; from T1's threshold on it "
    "is at most 2V/k; from T2's threshold on (neurons spanning the outputs, margin certified positive) at most T2's "
    "bound; from T3's threshold on, for k > 4mV, no example is misclassified. Losses are allowed 2^-44 times the "
    "largest squared length for rounding. One exception violates the theorem."
)
SAYS_NOT = "That so much pre-training is needed: the thresholds suffice, and untrained networks often do already."
SYMBOLS = (
    r"$u_k$ is the average of $k$ of the neurons, chosen greedily after $t$ iterations; $\ell$ is half the mean "
    "squared error over the $m$ examples and $L_0$ that of the untrained dense network; $V_t$ is the mean squared "
    "distance of the neurons' outputs from their mean; $q < 1$ bounds the factor by which an iteration shrinks the "
    "residual of the dense network."
)

SIZES = (16, 64, 256, 1024, 4096)  # k
SHAPES = ((8, 512), (16, 512), (32, 512), (4, 24_576))  # m, N; the last is wide enough for P1
SLOW_SIZES, SLOW_FRACTION = (64, 128), 1 / 32  # m of the runs with a small step
SEEDS = {Scale.QUICK: 1, Scale.STANDARD: 5, Scale.FULL: 50}
ITERATIONS, SLOW_ITERATIONS, RATIO, NARROW = 250, 2000, 2.0, 1000
ROUNDING = 2.0**-44  # times the largest squared length: rounding of a loss from inner products


@dataclass(frozen=True)
class PrunedSnapshot:
    """A checkpoint: the dense network, and the pruned one at every size of `SIZES`.

    Args:
        t: Iterations of pre-training.
        dense: Loss of the dense network.
        V: Mean squared distance of the neurons from their mean.
        rounding: How far a loss may lie above a bound by rounding.
        losses: Loss of the pruned network at every size.
        correct: Whether it classifies every example correctly.
    """

    t: int
    dense: float
    V: float
    rounding: float
    losses: list[float]
    correct: list[bool]


@dataclass(frozen=True)
class Descended:
    """What a run says for every size k.

    Args:
        q: Contraction of the residual.
        contraction: Where q is from, `"P1"` or `"measured"`.
        gamma_s: Margin of the dense network inside the hull; None if the network is too wide to compute it.
        D_y: Largest distance of a neuron from the target; None likewise.
        predicted_t2: T2's threshold; None where T2 does not apply.
        excess_t2: Largest excess of a loss over T2's bound at the last checkpoint; None before the threshold.
        vacuous_t2_below: Smallest k at which T2's bound beats the empty network.
        condition: Condition number of the tangent kernel.
        norm_squared: ‖X‖².
        eigenvalue: λ₀.
    """

    q: float
    contraction: str
    gamma_s: float | None
    D_y: float | None
    predicted_t2: float | None
    excess_t2: float | None
    vacuous_t2_below: int | None
    condition: float | None
    norm_squared: float
    eigenvalue: float


@dataclass(frozen=True)
class ThresholdRow(Descended):
    """One size k of one run; excesses are those of a loss over a bound, and positive only if a theorem is wrong.

    Args:
        m: Number of examples.
        width: Number of neurons.
        labels: Kind of labels.
        scaling: Scaling of the network.
        fraction: Of the largest step.
        iterations: Of gradient descent.
        seed: Of data and weights.
        k: Neurons selected.
        V: At the last checkpoint.
        L_0: Loss of the untrained dense network.
        excess_t1: Over T1's bound, at any checkpoint.
        excess_t1_regime: Over 2V/k from T1's threshold on; None if the threshold lies beyond the run.
        predicted_t1: T1's threshold.
        measured_t1: Checkpoint from which on the loss is at most 2V/k; None if never.
        vacuous_t1: Whether 2V/k is no better than the empty network.
        predicted_t3: T3's threshold; None where k ≤ 4mV.
        measured_t3: Checkpoint from which on every example is classified correctly; None if never.
        checked_t3: Checkpoints at which T3 applied.
        lost_t3: Of these, where an example was misclassified.
    """

    m: int
    width: int
    labels: str
    scaling: str
    fraction: float
    iterations: int
    seed: int
    k: int
    V: float
    L_0: float
    excess_t1: float
    excess_t1_regime: float | None
    predicted_t1: int
    measured_t1: int | None
    vacuous_t1: bool
    predicted_t3: float | None
    measured_t3: int | None
    checked_t3: int
    lost_t3: int


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per shape, kind of labels, scaling and seed; the wide shape only in the scaling of P1."""
    usual = {"fraction": 1.0, "iterations": ITERATIONS}
    slow = {"width": 512, "scaling": "mean", "fraction": SLOW_FRACTION, "iterations": SLOW_ITERATIONS}
    setups = [
        usual | {"m": m, "width": width, "labels": labels, "scaling": scaling}
        for m, width in SHAPES
        for labels in LABELS
        for scaling in SCALINGS
        if width <= NARROW or (scaling == "ntk" and labels == "random")
    ]
    slow_sizes = SLOW_SIZES[:1] if scale is Scale.QUICK else SLOW_SIZES
    setups += [slow | {"m": m, "labels": labels} for m in slow_sizes for labels in LABELS]
    return [setup | {"seed": seed} for setup in setups for seed in range(seeds or SEEDS[scale])]


@stable_id("pruneproof.claims.pretraining.threshold_bounds:measure", revision=2)
def measure(cell: Cell) -> list[ThresholdRow]:
    """One row per size k: predicted and measured thresholds, excesses of losses over bounds, what was vacuous."""
    generator = torch.Generator().manual_seed(cell["seed"])
    data = controlled_task("generic", cell["labels"], cell["m"], generator)
    net = network(cell["width"], data.inputs.shape[1], cell["scaling"], generator)
    kernel = tangent_kernel(data.inputs.numpy(), data.labels.numpy(), net.weights.numpy(), net.signs.numpy())
    times = set(checkpoints(cell["iterations"], RATIO))
    run: list[PrunedSnapshot] = []
    rate = 0.0
    neurons = torch.empty(0)
    for snapshot in descend(data, net, cell["iterations"], cell["fraction"]):
        dense = float(snapshot.residual.square().mean()) / 2
        if snapshot.t:
            rate = max(rate, (dense / run[0].dense) ** (0.5 / snapshot.t))
        if snapshot.t in times:
            neurons = features(snapshot, net)
            run.append(_pruned(snapshot.t, dense, neurons, data.labels))
    proved = bool(kernel.applies) and cell["scaling"] == "ntk"
    q = 1 - cell["fraction"] * kernel.step_size * kernel.eigenvalue / 16 if proved else rate
    shared = {
        "q": q,
        "contraction": "P1" if proved else "measured",
        "condition": kernel.condition,
        "norm_squared": kernel.norm**2,
        "eigenvalue": kernel.eigenvalue,
        **_interior(neurons, data.labels, run, q),
    }
    return [ThresholdRow(**cell, **shared, **_at_size(i, k, cell["m"], run, q)) for i, k in enumerate(SIZES)]


def _pruned(t: int, dense: float, neurons: Tensor, labels: Tensor) -> PrunedSnapshot:
    target = labels / sqrt(len(labels))
    selection = greedy_select((neurons, target), SIZES[-1])
    sums = neurons[selection.indices].cumsum(0)
    rounding = ROUNDING * float(neurons.square().sum(1).max() + 1)  # ‖target‖ = 1
    V = float((neurons - neurons.mean(0)).square().sum(1).mean())
    losses = [float(selection.losses[k - 1]) for k in SIZES]
    correct = [bool((sums[k - 1] * labels > 0).all()) for k in SIZES]
    return PrunedSnapshot(t, dense, V, rounding, losses, correct)


def _at_size(i: int, k: int, m: int, run: list[PrunedSnapshot], q: float) -> dict[str, Any]:
    """Hold size k to T1 and T3 at every checkpoint."""
    start = run[0].dense
    bounds = [T1.bound(q=q, t=each.t, L_0=start, V=each.V, k=k) for each in run]
    regime = [2 * each.V / k for each in run]
    predicted = [T1_THRESHOLD.bound(k=k, L_0=start, V=each.V, q=q) for each in run]
    after = [each.t >= t for each, t in zip(run, predicted, strict=True)]
    lost_by = T3_THRESHOLD.bound(m=m, L_0=start, q=q, assume=True)  # its condition on k is `large` below
    large = [k > T3_SIZE.bound(m=m, V=each.V) for each in run]
    due = [each.t >= lost_by and big for each, big in zip(run, large, strict=True)]
    return {
        "k": k,
        "V": run[-1].V,
        "L_0": start,
        "excess_t1": max(each.losses[i] - bound - each.rounding for each, bound in zip(run, bounds, strict=True)),
        "excess_t1_regime": max(
            (e.losses[i] - level - e.rounding for e, level, past in zip(run, regime, after, strict=True) if past),
            default=None,
        ),
        "predicted_t1": predicted[-1],
        "measured_t1": _from(run, [each.losses[i] <= level for each, level in zip(run, regime, strict=True)]),
        "vacuous_t1": regime[-1] >= 0.5,  # no better than the empty network, whose loss is ½
        "predicted_t3": lost_by if large[-1] else None,
        "measured_t3": _from(run, [each.correct[i] for each in run]),
        "checked_t3": sum(due),
        "lost_t3": sum(not each.correct[i] for each, is_due in zip(run, due, strict=True) if is_due),
    }


def _from(run: list[PrunedSnapshot], holds: list[bool]) -> int | None:
    """The first checkpoint from which on something holds at every later one."""
    last_failure = max((i for i, good in enumerate(holds) if not good), default=-1)
    return run[last_failure + 1].t if last_failure + 1 < len(run) else None


def _interior(neurons: Tensor, labels: Tensor, run: list[PrunedSnapshot], q: float) -> dict[str, Any]:
    """Hold every size to T2 at the last checkpoint, where its threshold has passed."""
    names = ("gamma_s", "D_y", "predicted_t2", "excess_t2", "vacuous_t2_below")
    last, result = run[-1], dict[str, Any]((name, None) for name in names)
    if len(neurons) > NARROW:  # the diameter alone would cost N² distances, and T2 is tested on the others
        return result
    shape = geometry(neurons.numpy(), (labels / sqrt(len(labels))).numpy())
    result |= {"gamma_s": shape.gamma_s, "D_y": shape.D_y}
    if not shape.spans or shape.gamma_s <= 0 or log(q) >= 0:
        return result
    result["predicted_t2"] = T2_THRESHOLD.bound(L_0=run[0].dense, gamma_s=shape.gamma_s, q=q)
    if last.t >= result["predicted_t2"]:
        known = {"D_y": shape.D_y, "gamma_s": shape.gamma_s, "t": last.t, "L_0": run[0].dense, "q": q}
        bounds = [T2.bound(k=k, **known) for k in SIZES]
        result["excess_t2"] = max(loss - b for loss, b in zip(last.losses, bounds, strict=True)) - last.rounding
        result["vacuous_t2_below"] = next((k for k, b in zip(SIZES, bounds, strict=True) if b < 0.5), None)
    return result


def judge(rows: Sequence[Row]) -> Outcome:
    """One loss above a bound, or one example lost where T3 applied, violates; predicted thresholds are printed."""
    tried = read_rows(ThresholdRow, rows)
    largest, lost = max(_excesses(tried)), sum(row.lost_t3 for row in tried)
    shapes = ", ".join(f"({m}, {width})" for m, width in sorted({(row.m, row.width) for row in tried}))
    return Outcome(
        Verdict.VIOLATED if largest > 0 or lost else Verdict.HOLDS,
        {
            "largest excess of a loss over T1, 2V/k or T2": largest,
            "runs and sizes": len(tried),
            "of these 2V/k says nothing (at least the loss of the empty network)": sum(row.vacuous_t1 for row in tried),
            "checkpoints at which T3 applied": sum(row.checked_t3 for row in tried),
            "misclassified there": lost,
            "T1 threshold, predicted / measured where that is above 0": _ratios(
                (row.predicted_t1, row.measured_t1) for row in tried if not row.vacuous_t1
            ),
            "T3 threshold, predicted / measured where that is above 0": _ratios(
                (row.predicted_t3, row.measured_t3) for row in tried
            ),
            "runs past T2's threshold": sum(row.excess_t2 is not None for row in tried if row.k == tried[0].k),
        },
        tuple(sorted({row.seed for row in tried})),
        f"two-layer tanh networks on random directions in R^40, (m, N) = {shapes}, two kinds of labels, two scalings, "
        f"{ITERATIONS} iterations, or {SLOW_ITERATIONS} of a small step",
        [_line(row) for row in tried],
    )


def _excesses(rows: Sequence[ThresholdRow]) -> list[float]:
    """Of the losses over T1, over 2V/k past T1's threshold, and over T2, where they apply."""
    every = [excess for row in rows for excess in (row.excess_t1, row.excess_t1_regime, row.excess_t2)]
    return [excess for excess in every if excess is not None]


def _ratios(thresholds: Iterable[tuple[float | None, float | None]]) -> str:
    """Median and range of predicted / measured, where both are above 0."""
    ratios = [predicted / measured for predicted, measured in thresholds if predicted is not None and measured]
    return f"{median(ratios):.3g} [{min(ratios):.3g}, {max(ratios):.3g}], {len(ratios)} cases" if ratios else "none"


def _line(row: ThresholdRow) -> Row:
    names = (
        "m",
        "width",
        "labels",
        "scaling",
        "fraction",
        "seed",
        "k",
        "V",
        "D_y",
        "gamma_s",
        "eigenvalue",
        "norm_squared",
        "q",
    )
    return {name: getattr(row, name) for name in names} | {
        "q from": row.contraction,
        "T1 predicted": row.predicted_t1,
        "T1 measured": row.measured_t1,
        "2V/k": "vacuous" if row.vacuous_t1 else "active",
        "T2 predicted": row.predicted_t2,
        "T3 predicted": row.predicted_t3 if row.predicted_t3 is not None else "vacuous (k ≤ 4mV)",
        "T3 measured": row.measured_t3,
    }


def figures(rows: Sequence[Row]) -> list[Figure]:
    """T1's threshold against k, predicted and measured, one panel per scaling, one colour per dataset size."""
    tried = read_rows(ThresholdRow, rows)
    first = [row for row in tried if row.seed == min(row.seed for row in tried) and row.labels == "random"]
    sizes = sorted({row.m for row in first})

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 3.4)
        panels: Any = canvas.subplots(1, 2, sharex=True, sharey=True, squeeze=False)
        for axes, scaling in zip(panels[0], SCALINGS, strict=True):
            _draw_thresholds(axes, [row for row in first if row.scaling == scaling], sizes)
            axes.set_title(f"scaling {SCALING_NAMES[scaling]}", fontsize="small")
        panels[0, 0].set_ylabel("threshold of T1, iterations")
        panels[0, 0].legend(fontsize="x-small")

    caption = (
        "From which iteration on is the pruned loss at most 2V/k? Lines: predicted by T1; crosses: measured. A "
        "cross above its line would refute the theorem. Open circles mark sizes at which 2V/k says nothing."
    )
    return [Figure("Predicted and measured thresholds of pre-training", caption, draw)]


def _draw_thresholds(axes: "Axes", rows: list[ThresholdRow], sizes: list[int]) -> None:
    for i, m in enumerate(sizes):
        of_size = [row for row in rows if row.m == m]
        axes.plot(
            [row.k for row in of_size],
            [row.predicted_t1 for row in of_size],
            color=f"C{i}",
            label=f"m = {m}, predicted",
        )
        reached = [(row.k, row.measured_t1) for row in of_size if row.measured_t1 is not None]
        axes.plot([k for k, _ in reached], [t for _, t in reached], "x", color=f"C{i}")
        vacuous = [row for row in of_size if row.vacuous_t1]
        axes.plot(
            [row.k for row in vacuous], [row.predicted_t1 for row in vacuous], "o", color=f"C{i}", fillstyle="none"
        )
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(-0.3, 1000)
    axes.set_xlabel("k, neurons selected")


PT3 = Claim(
    "PT3",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="pretraining",
    grid=grid,
    judge=judge,
    figures=figures,
    theorem=True,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
    origin=Origin.DERIVED,
)
