"""The measurement of PT3: thresholds of pre-training as T1, T2 and T3 predict them, against those that are seen.

The theorems need a contraction q with ‖r_t‖ ≤ q^t·‖r_0‖. Where the network is wide enough it is P1's 1 − ηλ₀/16; else
it is the smallest q that the run itself obeyed, max_t (‖r_t‖/‖r_0‖)^(1/t): then the descent is measured and the
theorem's step from descent to pruned network is what is tested.
"""

from dataclasses import dataclass
from math import log, sqrt

import torch
from torch import Tensor

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.kernels import greedy_select
from pruneproof.theory.theorems.greedy.hull import geometry
from pruneproof.theory.theorems.pretraining.tangent_kernel import tangent_kernel
from pruneproof.theory.theorems.pretraining.thresholds import T1, T1_THRESHOLD, T2, T2_THRESHOLD, T3_SIZE, T3_THRESHOLD

from .checkpoints import checkpoints
from .descent import SCALINGS, descend, features, network
from .tasks import LABELS, task

SIZES = (16, 64, 256, 1024, 4096)  # k
SHAPES = ((8, 512), (16, 512), (32, 512), (4, 24_576))  # m, N; the last is wide enough for P1
SEEDS = {Scale.QUICK: 1, Scale.STANDARD: 5, Scale.FULL: 50}
ITERATIONS, RATIO, NARROW = 250, 2.0, 1000
ROUNDING = 2.0**-44  # times the largest squared length: rounding of a loss from inner products


@dataclass(frozen=True)
class Seen:
    """A checkpoint: the dense network, and the pruned one at every size of `SIZES`."""

    t: int
    dense: float
    V: float
    slack: float
    losses: list[float]
    correct: list[bool]


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per shape, kind of labels, scaling and seed; the wide shape only in the scaling of P1."""
    return [
        {"m": m, "width": width, "labels": labels, "scaling": scaling, "seed": seed}
        for m, width in SHAPES
        for labels in LABELS
        for scaling in SCALINGS
        for seed in range(seeds or SEEDS[scale])
        if width <= NARROW or (scaling == "ntk" and labels == "random")
    ]


@stable_id("pruneproof.claims.pretraining.threshold_bounds:measure")
def measure(cell: Cell) -> list[Row]:
    """One row per size k: predicted and measured thresholds, excesses of losses over bounds, what was vacuous."""
    generator = torch.Generator().manual_seed(cell["seed"])
    data = task("generic", cell["labels"], cell["m"], generator)
    net = network(cell["width"], data.inputs.shape[1], cell["scaling"], generator)
    kernel = tangent_kernel(data.inputs.numpy(), data.labels.numpy(), net.weights.numpy(), net.signs.numpy())
    times = set(checkpoints(ITERATIONS, RATIO))
    seen: list[Seen] = []
    rate = 0.0
    neurons = torch.empty(0)
    for moment in descend(data, net, ITERATIONS):
        dense = float(moment.residual.square().mean()) / 2
        if moment.t:
            rate = max(rate, (dense / seen[0].dense) ** (0.5 / moment.t))
        if moment.t in times:
            neurons = features(moment, net)
            seen.append(_seen(moment.t, dense, neurons, data.labels))
    proved = kernel.applies and cell["scaling"] == "ntk"
    q = 1 - kernel.step_size * kernel.eigenvalue / 16 if proved else rate
    shared = {"q": q, "contraction": "P1" if proved else "measured", **_interior(neurons, data.labels, seen, q)}
    shared |= {"condition": kernel.condition, "norm_squared": kernel.norm**2, "eigenvalue": kernel.eigenvalue}
    return [_row(i, k, cell["m"], seen, q) | shared for i, k in enumerate(SIZES)]


def _seen(t: int, dense: float, neurons: Tensor, labels: Tensor) -> Seen:
    target = labels / sqrt(len(labels))
    selection = greedy_select((neurons, target), SIZES[-1])
    sums = neurons[selection.indices].cumsum(0)
    slack = ROUNDING * float(neurons.square().sum(1).max() + 1)  # ‖target‖ = 1
    V = float((neurons - neurons.mean(0)).square().sum(1).mean())
    losses = [float(selection.losses[k - 1]) for k in SIZES]
    return Seen(t, dense, V, slack, losses, [bool((sums[k - 1] * labels > 0).all()) for k in SIZES])


def _row(i: int, k: int, m: int, seen: list[Seen], q: float) -> Row:
    """Hold size k to T1 and T3 at every checkpoint."""
    start = seen[0].dense
    bounds = [T1.bound(q=q, t=one.t, L_0=start, V=one.V, k=k) for one in seen]
    regime = [2 * one.V / k for one in seen]
    predicted = [T1_THRESHOLD.bound(k=k, L_0=start, V=one.V, q=q) for one in seen]
    after = [one.t >= t for one, t in zip(seen, predicted, strict=True)]
    lost_by = T3_THRESHOLD.bound(assume=True, m=m, L_0=start, q=q)  # its size is checked in the next line
    large = [k > T3_SIZE.bound(m=m, V=one.V) for one in seen]
    due = [one.t >= lost_by and big for one, big in zip(seen, large, strict=True)]
    return {
        "k": k,
        "V": seen[-1].V,
        "L_0": start,
        "excess T1": max(one.losses[i] - bound - one.slack for one, bound in zip(seen, bounds, strict=True)),
        "excess T1 regime": max(
            (one.losses[i] - level - one.slack for one, level, due in zip(seen, regime, after, strict=True) if due),
            default=None,
        ),
        "predicted T1": predicted[-1],
        "measured T1": _from(seen, [one.losses[i] <= level for one, level in zip(seen, regime, strict=True)]),
        "vacuous T1": regime[-1] >= 0.5,  # no better than the empty network, whose loss is ½
        "predicted T3": lost_by if large[-1] else None,
        "measured T3": _from(seen, [one.correct[i] for one in seen]),
        "checked T3": sum(due),
        "lost T3": sum(not one.correct[i] for one, is_due in zip(seen, due, strict=True) if is_due),
    }


def _from(seen: list[Seen], holds: list[bool]) -> int | None:
    """The first checkpoint from which on something holds at every later one."""
    last_failure = max((i for i, good in enumerate(holds) if not good), default=-1)
    return seen[last_failure + 1].t if last_failure + 1 < len(seen) else None


def _interior(neurons: Tensor, labels: Tensor, seen: list[Seen], q: float) -> Row:
    """Hold every size to T2 at the last checkpoint, where its threshold has passed."""
    last = seen[-1]
    if len(neurons) > NARROW:  # the diameter alone would cost N² distances, and T2 is tested on the others
        return {"gamma_s": None, "D_y": None, "predicted T2": None, "excess T2": None}
    shape = geometry(neurons.numpy(), (labels / sqrt(len(labels))).numpy())
    result: Row = {"gamma_s": shape.gamma_s, "D_y": shape.D_y, "predicted T2": None, "excess T2": None}
    if not shape.spans or shape.gamma_s <= 0 or log(q) >= 0:
        return result
    result["predicted T2"] = T2_THRESHOLD.bound(L_0=seen[0].dense, gamma_s=shape.gamma_s, q=q)
    if last.t >= result["predicted T2"]:
        shared = {"D_y": shape.D_y, "gamma_s": shape.gamma_s, "t": last.t, "L_0": seen[0].dense, "q": q}
        bounds = [T2.bound(k=k, **shared) for k in SIZES]
        result["excess T2"] = max(loss - b for loss, b in zip(last.losses, bounds, strict=True)) - last.slack
        result["vacuous T2 below k"] = next((k for k, b in zip(SIZES, bounds, strict=True) if b < 0.5), None)
    return result
