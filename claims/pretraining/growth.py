"""How the threshold of pre-training grows with the dataset: its measurement, four laws of growth, what a series says.

PT4 and PT7 ask the same question about two families of data, so they share all of this.

Measurement. After how many iterations is the dense network good for good, and after how many the pruned one? Two
targets: half the mean squared residual at most 0.05, and every example on the right side. A threshold is the first
checkpoint from which on the target is met at every later one, so that a network that is good once by chance does not
count. The pruned network is the greedy average of k neurons, chosen anew at every checkpoint; k is fixed (64, 128) or
grows with the data (m). One path of choices serves all k.

Laws, fitted to the same points and compared:

 logarithm  t* = a + b·log m     power  t* = a·m^p     condition  t* = a·κ(m)     theorem  t* = a·κ(m)·(log m + log 4)

κ is the measured condition number, and the last is the shape of T3, with L₀ = ½. Thresholds are positive and span
orders of magnitude, so residuals are those of log t*. With n points, v fitted parameters and residual sum of squares S,
AIC = n·log(S/n) + 2(v + 1). Intervals are Student's, from the Jacobian.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import stdtrit
from torch import Tensor

from pruneproof.claims.claim import Figure, Outcome, Scale, Verdict, fresh_seeds
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import LEVEL, Estimate
from pruneproof.kernels import greedy_select
from pruneproof.theory.theorems.pretraining.tangent_kernel import tangent_kernel

from .setting import (
    LABELS,
    SCALING_NAMES,
    SCALINGS,
    ControlledTask,
    Network,
    Snapshot,
    checkpoints,
    controlled_task,
    descend,
    features,
    network,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Floats = NDArray[np.float64]
Key = tuple[str, str, str, str]

WIDTH = {Scale.QUICK: 256, Scale.STANDARD: 256, Scale.FULL: 2048}
LOSS_TARGET = 0.05
FRACTION = {"generic": 1.0, "conditioned": 1 / 32}  # of the largest step: so that thresholds span many iterations
SIZES = {
    Scale.QUICK: (40, 56, 80, 112, 160, 224, 320),
    Scale.STANDARD: (56, 80, 112, 160, 224, 320, 448, 640),
    Scale.FULL: (56, 80, 112, 160, 224, 320, 448, 640, 904, 1280),
}
SEEDS = {Scale.QUICK: 2, Scale.STANDARD: 5, Scale.FULL: 20}
ITERATIONS = {Scale.QUICK: 500, Scale.STANDARD: 1000, Scale.FULL: 5000}
TARGETS = {"loss": "mean loss at most 0.05", "correct": "every example correct"}
SUBJECTS = {"dense": "C7", "k=64": "C0", "k=128": "C4", "k=m": "C2"}  # with their colours
MODELS = {"logarithm": "-", "power": "--", "condition": ":", "theorem": "-."}  # with their lines
LOG_8L0 = log(4)
EXACT = 1e-12  # mean squared residual that counts as exact
AHEAD = 2.0  # a difference of AIC below this tells nothing
SIZES_NEEDED = 6

RULE = (
    "A threshold is the first checkpoint from which on the target is met at every later one. A series (labels, "
    "scaling, target, k) enters if in at least 6 dataset sizes every seed has a threshold and none has it before "
    "training; only these sizes are fitted. It supports the claim if {supporting} the lowest AIC of the four fits by "
    "at least 2 over the others and the 95 % interval of b lies above 0; it contradicts the claim if another fit is "
    "lower by at least 2, or b's interval is not above 0; else it is undecided. Holds if at least half of all entered "
    "series of the pruned network support it; not reproduced if more than half contradict it; else inconclusive. "
    "Dense series are printed beside them. Settled after runs with other seeds (docs/pilots.md)."
)
SYMBOLS = (
    "$t^*$ is the threshold, $m$ the number of training examples, k the number of neurons that pruning keeps; $a$, "
    "$b$ are fitted. The other fits are a power of $m$, the condition number κ of the tangent kernel, and T3's shape "
    "κ·(log m + log 4). AIC is Akaike's information criterion: lower is better."
)


@dataclass(frozen=True)
class ThresholdRow:
    """The threshold of one subject for one target in one run.

    Args:
        family: Of data, one of `setting.FAMILIES`.
        width: Number of neurons of the dense network.
        labels: Kind of labels.
        scaling: Scaling of the network.
        m: Number of examples.
        seed: Of data and weights.
        subject: One of `SUBJECTS`.
        target: One of `TARGETS`.
        threshold: Checkpoint from which on the target is met; None if it is missed at the last one.
        condition: Condition number of the tangent kernel; None if it is singular.
        eigenvalue: Its smallest eigenvalue.
        norm_squared: ‖X‖².
    """

    family: str
    width: int
    labels: str
    scaling: str
    m: int
    seed: int
    subject: str
    target: str
    threshold: int | None
    condition: float | None
    eigenvalue: float
    norm_squared: float


def family_cells(scale: Scale, seeds: int | None, family: str) -> list[Cell]:
    """One cell per kind of labels, scaling, size and seed of a family of data, the longest first."""
    own = {"family": family, "width": WIDTH[scale], "iterations": ITERATIONS[scale]}
    return [
        own | {"labels": labels, "scaling": scaling, "m": m, "seed": seed}
        for m in sorted(SIZES[scale], reverse=True)
        for seed in fresh_seeds(seeds or SEEDS[scale])
        for labels in LABELS
        for scaling in SCALINGS
    ]


@stable_id("pruneproof.claims.pretraining.dataset_size:measure", revision=1)
def measure_thresholds(cell: Cell) -> list[ThresholdRow]:
    """Train once; return the threshold of every subject for every target.

    Args:
        cell: `family`, `width`, `labels`, `scaling`, `m`, `seed`, `iterations`.
    """
    generator = torch.Generator().manual_seed(cell["seed"])
    data = controlled_task(cell["family"], cell["labels"], cell["m"], generator)
    net = network(cell["width"], data.inputs.shape[1], cell["scaling"], generator)
    sizes = {"k=64": 64, "k=128": 128, "k=m": cell["m"]}
    times = set(checkpoints(cell["iterations"]))
    since: dict[tuple[str, str], int | None] = {}
    for snapshot in descend(data, net, cell["iterations"], FRACTION[cell["family"]]):
        if snapshot.t not in times:
            continue
        loss = float(snapshot.residual.square().mean()) / 2
        tried = {"dense": (loss, snapshot.residual + data.labels), **pruned(snapshot, net, data, sizes)}
        for subject, (reached, outputs) in tried.items():
            met = {"loss": reached <= LOSS_TARGET, "correct": bool((outputs * data.labels > 0).all())}
            for target, good in met.items():
                started = since.get((subject, target))
                since[subject, target] = None if not good else snapshot.t if started is None else started
    kernel = tangent_kernel(data.inputs.numpy(), data.labels.numpy(), net.weights.numpy(), net.signs.numpy())
    own = {name: value for name, value in cell.items() if name != "iterations"}
    return [
        ThresholdRow(
            **own,
            subject=subject,
            target=target,
            threshold=since[subject, target],
            condition=kernel.condition if kernel.eigenvalue > 0 else None,
            eigenvalue=kernel.eigenvalue,
            norm_squared=kernel.norm**2,
        )
        for subject in ("dense", *sizes)
        for target in TARGETS
    ]


def pruned(
    snapshot: Snapshot, net: Network, data: ControlledTask, sizes: dict[str, int]
) -> dict[str, tuple[float, Tensor]]:
    """Greedy averages of several sizes, all from one path.

    Args:
        snapshot: The network under training.
        net: The network as it started.
        data: Its m examples.
        sizes: Name → number of neurons selected.

    Returns:
        Name → loss and outputs (m,).
    """
    m = len(data.labels)
    neurons = features(snapshot, net)
    selection = greedy_select((neurons, data.labels / sqrt(m)), max(sizes.values()))
    sums = neurons[selection.indices].cumsum(0)
    return {name: (float(selection.losses[k - 1]), sums[k - 1] * (sqrt(m) / k)) for name, k in sizes.items()}


@dataclass(frozen=True)
class Fit:
    """One explanation fitted.

    Args:
        model: One of `MODELS`.
        parameters: Name → estimate with its 95 % interval.
        aic: Akaike's information criterion.
        predict: (m, κ) → thresholds.
    """

    model: str
    parameters: dict[str, Estimate]
    aic: float
    predict: Callable[[Floats, Floats], Floats]


def fit_all(m: Sequence[float], kappa: Sequence[float], threshold: Sequence[float]) -> dict[str, Fit]:
    """Fit the four explanations.

    Args:
        m: Dataset size of each run.
        kappa: Condition number of each run.
        threshold: Measured threshold of each run, above 0 iterations.

    Returns:
        Model → fit.

    Example:
        >>> sizes = [10.0, 20.0, 40.0, 80.0, 160.0]
        >>> fits = fit_all(sizes, [2 * m for m in sizes], [3 * np.log(m) for m in sizes])
        >>> min(fits, key=lambda name: fits[name].aic), round(fits["logarithm"].parameters["b"].value, 6)
        ('logarithm', 3.0)
    """
    sizes, conditions, times = (np.asarray(values, dtype=np.float64) for values in (m, kappa, threshold))
    slope, offset = np.polyfit(np.log(sizes), np.log(times), 1)
    ratio = float(np.mean(np.log(times) - np.log(conditions)))
    theorem = float(np.mean(np.log(times) - np.log(_theorem(np.zeros(1), sizes, conditions))))
    return {
        "logarithm": _logarithm(sizes, times),
        "power": _fit("power", {"log a": offset, "p": slope}, _power, sizes, conditions, times),
        "condition": _fit("condition", {"log a": ratio}, _condition, sizes, conditions, times),
        "theorem": _fit("theorem", {"log a": theorem}, _theorem, sizes, conditions, times),
    }


def _power(parameters: Floats, m: Floats, kappa: Floats) -> Floats:
    return np.exp(parameters[0] + parameters[1] * np.log(m))


def _condition(parameters: Floats, m: Floats, kappa: Floats) -> Floats:
    return np.exp(parameters[0]) * kappa


def _theorem(parameters: Floats, m: Floats, kappa: Floats) -> Floats:
    return np.exp(parameters[0]) * kappa * (np.log(m) + LOG_8L0)


def _logarithm(m: Floats, times: Floats) -> Fit:
    """t* = a + b·log m, positive on the fitted sizes: its logarithms at both ends are the free parameters."""
    low, high = np.log(m.min()), np.log(m.max())
    share = (np.log(m) - low) / (high - low)

    def residuals(ends: Floats) -> Floats:
        return np.log(np.exp(ends[0]) * (1 - share) + np.exp(ends[1]) * share) - np.log(times)

    starts = [[np.log(times[m == size].mean()) - shift for size in (m.min(), m.max())] for shift in (0.0, 2.0)]
    tried = [optimize.leastsq(residuals, start, full_output=True)[0] for start in starts]
    ends = min(tried, key=lambda found: float(np.sum(residuals(found) ** 2)))
    first, last = np.exp(ends)
    b = (last - first) / (high - low)
    best = np.array([first - b * low, b])
    fitted = best[0] + best[1] * np.log(m)
    jacobian = np.stack([1 / fitted, np.log(m) / fitted], 1)
    return _summary("logarithm", ("a", "b"), best, residuals(ends), jacobian, lambda m, kappa: _affine(best, m))


def _affine(parameters: Floats, m: Floats) -> Floats:
    return parameters[0] + parameters[1] * np.log(m)


def _fit(
    name: str,
    start: dict[str, float],
    model: Callable[[Floats, Floats, Floats], Floats],
    m: Floats,
    kappa: Floats,
    times: Floats,
) -> Fit:
    """A model that is linear in its parameters once logarithms are taken: `start` is already the least-squares fit."""
    best = np.array(list(start.values()))
    residuals = np.log(model(best, m, kappa)) - np.log(times)
    jacobian = np.stack([np.ones_like(m), np.log(m)], 1)[:, : len(best)]
    return _summary(name, tuple(start), best, residuals, jacobian, lambda m, kappa: model(best, m, kappa))


def _summary(
    name: str,
    names: tuple[str, ...],
    best: Floats,
    residuals: Floats,
    jacobian: Floats,
    predict: Callable[[Floats, Floats], Floats],
) -> Fit:
    squares, points = float(np.sum(residuals**2)), len(residuals)
    parameters = {
        label: Estimate(float(value), float(value - half), float(value + half), LEVEL, points, "points")
        for label, value, half in zip(names, best, _half_widths(jacobian, squares, points), strict=True)
    }
    aic = points * np.log(max(squares / points, EXACT)) + 2 * (len(best) + 1)
    return Fit(name, parameters, float(aic), predict)


def _half_widths(jacobian: Floats, squares: float, points: int) -> Floats:
    freedom = points - jacobian.shape[1]
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * squares / max(freedom, 1)
    return np.sqrt(np.diag(covariance)) * float(stdtrit(max(freedom, 1), (1 + LEVEL) / 2))


def series(rows: Sequence[ThresholdRow]) -> dict[Key, list[ThresholdRow]]:
    """The rows of each series, restricted to the dataset sizes at which every seed needed and met a threshold.

    Returns:
        (labels, scaling, target, subject) → rows in increasing m.
    """
    groups: dict[Key, dict[int, list[ThresholdRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[_key(row)][row.m].append(row)
    return {
        key: [row for m in sorted(sizes) for row in sizes[m] if all(each.threshold for each in sizes[m])]
        for key, sizes in groups.items()
    }


def _key(row: ThresholdRow) -> Key:
    return row.labels, row.scaling, row.target, row.subject


def explain(points: Sequence[ThresholdRow]) -> dict[str, Fit] | None:
    """The four fits of a series, or None if it does not enter."""
    if len({row.m for row in points}) < SIZES_NEEDED:
        return None
    entered = [(float(row.m), row.condition, row.threshold) for row in points]
    m, condition, threshold = ([float(value or np.nan) for value in column] for column in zip(*entered, strict=True))
    return fit_all(m, condition, threshold)


def support(fits: dict[str, Fit], supporting: Sequence[str]) -> str:
    """What a series says about logarithmic growth.

    Args:
        fits: Of the series.
        supporting: Models that grow with log m on this family of data.

    Returns:
        `"supports"`, `"contradicts"` or `"undecided"`.
    """
    best = min(fits[name].aic for name in supporting)
    lead = min(fits[name].aic for name in MODELS if name not in supporting) - best
    if lead <= -AHEAD or not fits["logarithm"].parameters["b"].low > 0:
        return "contradicts"
    return "supports" if lead >= AHEAD else "undecided"


def judge_growth(rows: Sequence[Row], supporting: Sequence[str], described: str) -> Outcome:
    """Fit every series, count what the pruned ones say.

    Args:
        rows: Stored rows of one family of data.
        supporting: Models that grow with log m on this family.
        described: The family in words.
    """
    tried = read_rows(ThresholdRow, rows)
    table, counts = list[Row](), defaultdict[str, dict[str, int]](lambda: defaultdict(int))
    for key, points in sorted(series(tried).items()):
        fits = explain(points)
        says = "not entered" if fits is None else support(fits, supporting)
        counts[f"{'dense' if key[-1] == 'dense' else 'pruned'}, {key[2]}"][says] += 1
        table.append(_line(key, points, fits, says))
    said = [line["says"] for line in table if line["subject"] != "dense" and line["says"] != "not entered"]
    return Outcome(
        verdict_of(said),
        {
            "series of the pruned network": len(said),
            "supporting": said.count("supports"),
            "contradicting": said.count("contradicts"),
            "undecided": said.count("undecided"),
            **{name: _counted(says) for name, says in sorted(counts.items())},
        },
        tuple(sorted({row.seed for row in tried})),
        f"two-layer tanh networks of {tried[0].width} neurons, m = {sorted({row.m for row in tried})}, {described}, "
        "two kinds of labels, two scalings, pruned to 64, 128 and m neurons",
        table,
    )


def verdict_of(said: Sequence[str]) -> Verdict:
    """What the entered series say together: holds if half support, not reproduced if more than half contradict."""
    if said and 2 * said.count("supports") >= len(said):
        return Verdict.HOLDS
    return Verdict.NOT_REPRODUCED if 2 * said.count("contradicts") > len(said) else Verdict.INCONCLUSIVE


def _counted(says: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(says.items()))


def _line(key: Key, points: Sequence[ThresholdRow], fits: dict[str, Fit] | None, says: str) -> Row:
    line: Row = dict(zip(("labels", "scaling", "target", "subject"), key, strict=True))
    line |= {"says": says, "points": len(points)}
    for name, parameter in (("logarithm", "b"), ("power", "p"), ("condition", "log a"), ("theorem", "log a")):
        line[f"{name}: {parameter}"] = fits[name].parameters[parameter] if fits else None
        line[f"{name}: AIC"] = round(fits[name].aic, 1) if fits else None
    return line


def growth_figures(rows: Sequence[Row], described: str) -> list[Figure]:
    """Threshold against dataset size with the four fits; one picture per target.

    Args:
        rows: Stored rows of one family of data.
        described: What the conditioning of the family does as m grows.
    """
    tried = read_rows(ThresholdRow, rows)
    return [_growth_figure(tried, target, described) for target in TARGETS]


def _growth_figure(rows: Sequence[ThresholdRow], target: str, described: str) -> Figure:
    groups, sizes = series(rows), sorted({row.m for row in rows})
    top = 2 * max((row.threshold or 1 for row in rows), default=1)

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 5.6)
        panels: Any = canvas.subplots(2, 2, sharex=True, squeeze=False)
        for axes, (labels, scaling) in zip(panels.flat, [(x, s) for x in LABELS for s in SCALINGS], strict=True):
            for subject, color in SUBJECTS.items():
                key = (labels, scaling, target, subject)
                points = [(row.m, row.threshold) for row in rows if _key(row) == key and row.threshold is not None]
                axes.plot([m for m, _ in points], [t for _, t in points], ".", color=color, label=subject)
                _draw_fits(axes, groups.get(key, []), color)
            axes.set_xscale("log")
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(-0.3, top)
            axes.set_title(f"{labels} labels, scaling {SCALING_NAMES[scaling]}", fontsize="small")
        for axes in panels[-1]:
            axes.set_xlabel("m, examples")
            axes.set_xticks(sizes, [str(m) for m in sizes], fontsize="x-small", rotation=45)
            axes.minorticks_off()
        for axes in panels[:, 0]:
            axes.set_ylabel("threshold, iterations")
        handles = {
            label: line for axes in panels.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        canvas.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")

    caption = (
        f"First iteration from which on: {TARGETS[target]}; the conditioning of these data {described}. Points: seeds. "
        "Lines, where a series enters: solid a + b·log m, dashed a·m^p, dotted a·κ(m), dash-dotted a·κ(m)·(log m + "
        "log 4), in the colour of the series."
    )
    return Figure(f"Threshold against dataset size: {TARGETS[target]}", caption, draw)


def _draw_fits(axes: "Axes", points: Sequence[ThresholdRow], color: str) -> None:
    fits = explain(points)
    if fits is None:
        return
    sizes = np.array(sorted({row.m for row in points}), dtype=np.float64)
    kappa = np.array([np.median([row.condition or np.nan for row in points if row.m == m]) for m in sizes])
    for model, style in MODELS.items():
        axes.plot(sizes, fits[model].predict(sizes, kappa), style, color=color, linewidth=1)
