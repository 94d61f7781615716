"""SP3: do the network's bounds hold: predicted before pruning (N2), over regions (N2′), and how vacuous are they?"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.prune import certify, predicted_error, propagated_error
from pruneproof.theory.theorems.network.statement import CORENET_CONFIDENCE, CORENET_SIZE, N1, N1_PUBLISHED, N3

from .plots import mean_line
from .setting import NAMES, PUBLICATION, count, images, pruned_copy, sample, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = "The pruned network's output stays within the propagated error, at points ($N2$) and over balls ($N2'$)."
SOURCE = f"{PUBLICATION}; N1, N2, N2′ in theory/theorems/network/proof.md"
CRITERION = (
    "N2 is nowhere below the measured error, and gradient ascent on the difference from 8 corners of every ball finds "
    "neither a point beyond N2′ nor another class where agreement is certified. Predictions by ε, the published "
    "constants and N1 are printed with where they are vacuous."
)
SAYS_NOT = "That more can be pruned: what is offered is a guarantee without retraining, not a higher ratio."
SYMBOLS = (
    "ε is the relative error of a half-row (SP1), propagated from layer to layer by N2; N2′ bounds the difference of "
    "the two networks' outputs for all points of a ball around an image, by the radius ρ; N1 is the relative bound "
    "for a whole network."
)

METHODS = ("sipp det", "sipp best", "magnitude")
GREY_LEVEL = 1 / 16
RADII = (0.5 * GREY_LEVEL, GREY_LEVEL, 2 * GREY_LEVEL)
ATTACKS, STEPS_OF_ASCENT = 8, 8
EPSILON, DELTA = 0.5, 0.1  # at which the sizes of the published and of our analysis are compared


@dataclass(frozen=True)
class PairRow:
    """A network and its pruned copy, on some test images; errors are medians over images of the largest output.

    Args:
        kind: `"pair"`.
        network: Name in `setting.NAMES`.
        density: Fraction of weights kept.
        method: One of `METHODS`.
        seed: Of the network and of the draws.
        measured: Error of the pruned network.
        n2: Its bound by N2.
        n2_below: Outputs at which N2 lies below the measured error; 0 unless N2 is wrong.
        n2_unchanged: Share of images on which N2 proves that the class stays.
        agree: Share of images on which both networks give the same class.
        predicted: Bound predicted from ε before pruning; None for methods without ε.
        vacuous: Share of images where that prediction exceeds the outputs themselves.
        certified: Share of images with certified agreement on the ball, for each of `RADII`.
        bound: N2′ over the ball, for each of `RADII`.
        violations: Points found by gradient ascent beyond N2′ or of another class; 0 unless N2′ is wrong.
    """

    kind: str
    network: str
    density: float
    method: str
    seed: int
    measured: float
    n2: float
    n2_below: int
    n2_unchanged: float
    agree: float
    predicted: float | None
    vacuous: float | None
    certified: list[float]
    bound: list[float]
    violations: int


@dataclass(frozen=True)
class ConstantsRow:
    """What the published and our analysis ask of one layer.

    Args:
        kind: `"constants"`.
        network: Name in `setting.NAMES`.
        layer: Which linear layer, from 0.
        weights: Weights of one of its rows.
        largest_Delta: Largest Δ = (z⁺+z⁻)/|z| on S.
        epsilon_n1: ε of the layer by N1.
        epsilon_published: ε of the layer by the published constants.
        draws_n3: Draws that N1 + N3 ask of a half-row with Σ = 1.
        draws_published: Draws that the published size asks of it.
    """

    kind: str
    network: str
    layer: int
    weights: int
    largest_Delta: float
    epsilon_n1: float
    epsilon_published: float
    draws_n3: float
    draws_published: float


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Pruned pairs, and one cell per network for the constants."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet", "cnn")
    densities = (0.2, 0.5, 0.8) if scale is Scale.QUICK else (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
    own = {"data": digits_label()}
    pairs = [
        own | {"kind": "pair", "network": network, "density": density, "method": method, "seed": seed,
         "images": count(scale, 24, 40, 360) if network != "cnn" else count(scale, 0, 4, 50)}
        for network in networks for density in densities for method in METHODS
        for seed in range(seeds or count(scale, 1, 1, 5))
    ]  # fmt: skip
    constants = [own | {"kind": "constants", "network": network, "seed": 0} for network in networks if network != "cnn"]
    return pairs + constants


@stable_id("pruneproof.claims.sensitivity.guarantee:measure", revision=4)
def measure(cell: Cell) -> list[PairRow] | list[ConstantsRow]:
    """One pruned pair, or the constants of one network."""
    return _constants(cell) if cell["kind"] == "constants" else [_pair(cell)]


def _pair(cell: Cell) -> PairRow:
    inputs = images(cell["data"]).test_x[: cell["images"]].double()
    single = trained(cell["network"], cell["data"], cell["seed"])
    pruned, bounds = pruned_copy(
        cell["method"], single, sample(cell["data"], cell["seed"]), cell["density"], cell["seed"]
    )
    pruned = pruned.double().eval()
    model = copy.deepcopy(single).double().eval()  # certificates are about exact arithmetic on the weights
    error, propagated = certify(model, pruned, inputs).error_bound, propagated_error(model, pruned, inputs)
    with torch.no_grad():
        outputs = model(inputs)
    predicted = vacuous = None
    if bounds is not None:
        bound = predicted_error(model, inputs, {name: half_rows.epsilon for name, half_rows in bounds.items()})
        predicted = _median(bound)
        vacuous = float((bound.amax(1) >= outputs.abs().amax(1)).double().mean())
    certified, over_balls, violations = _balls(model, pruned, inputs)
    return PairRow(
        kind="pair",
        network=cell["network"],
        density=cell["density"],
        method=cell["method"],
        seed=cell["seed"],
        measured=_median(error),
        n2=_median(propagated),
        n2_below=int((propagated < error * (1 - 1e-9)).sum()),  # both rounded at 1e-16 times their sums
        n2_unchanged=float((_margin(outputs) > 2 * propagated.amax(1)).double().mean()),
        agree=float((outputs.argmax(1) == pruned(inputs).argmax(1)).double().mean()),
        predicted=predicted,
        vacuous=vacuous,
        certified=certified,
        bound=over_balls,
        violations=violations,
    )


def _median(values: Tensor) -> float:
    return float(values.amax(1).median())


def _margin(outputs: Tensor) -> Tensor:
    best = outputs.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def _balls(model: nn.Module, pruned: nn.Module, inputs: Tensor) -> tuple[list[float], list[float], int]:
    """Certified shares and bounds for each of `RADII`, and how many violations an attack finds."""
    certified, bound, violations = list[float](), list[float](), 0
    for radius in RADII:
        record = certify(model, pruned, inputs, radius=radius)
        certified.append(float(record.certified.double().mean()))
        bound.append(_median(record.error_bound))
        violations += _violations(model, pruned, inputs, radius, record.error_bound, record.certified, record.predicted)
    return certified, bound, violations


def _violations(
    model: nn.Module, pruned: nn.Module, inputs: Tensor, radius: float, bound: Tensor, sure: Tensor, predicted: Tensor
) -> int:
    """Ascend on |difference|/bound from random corners of the ball; count points beyond a bound or of another class."""
    generator = torch.Generator().manual_seed(0)
    shift = torch.randint(0, 2, (ATTACKS, *inputs.shape), generator=generator).double() * 2 - 1
    shift, violations = (shift * radius).requires_grad_(), 0
    for step in range(STEPS_OF_ASCENT):
        points = (inputs + shift).flatten(0, 1)
        first, second = (net(points).unflatten(0, (ATTACKS, len(inputs))) for net in (model, pruned))
        ratio = (second - first).abs() / bound
        violations += int((ratio > 1 + 1e-9).sum())  # 1e-9: rounding of the two evaluations against the bound
        other = (first.argmax(2) != predicted) | (second.argmax(2) != predicted)
        violations += int((other & sure).sum())
        (gradient,) = torch.autograd.grad(ratio.amax(2).sum(), shift)
        moved = shift.detach() + radius * 0.7**step * gradient.sign()
        shift = (moved.clamp(-radius, radius) * (1 - 2.0**-40)).requires_grad_()
    return violations


def _constants(cell: Cell) -> list[ConstantsRow]:
    """Per layer: the largest Δ on S, ε of both analyses, and the draws that each asks of a half-row with Σ = 1."""
    model, points = trained(cell["network"], cell["data"], cell["seed"]), sample(cell["data"], cell["seed"])
    linear = [module for module in model if isinstance(module, nn.Linear)]
    neurons, widest = sum(m.out_features for m in linear), max(m.out_features for m in linear)
    stretch = [_amplification(model, module, points) for module in linear]
    depth, kappa = len(linear) + 1, CORENET_CONFIDENCE.bound(neurons=neurons, widest=widest, delta=DELTA)
    values = {"Sigma": 1, "neurons": neurons, "delta": DELTA}
    rows: list[ConstantsRow] = []
    for layer, module in enumerate(linear):
        ours = float(np.prod([largest for _, largest in stretch[layer:]]))
        theirs = float(np.prod([mean + kappa for mean, _ in stretch[layer:]]))
        own = N1.bound(epsilon=EPSILON, layers=depth, amplification=ours)
        published = N1_PUBLISHED.bound(epsilon=EPSILON, layers=depth, amplification=theirs)
        rows.append(
            ConstantsRow(
                kind="constants",
                network=cell["network"],
                layer=layer,
                weights=module.in_features,
                largest_Delta=stretch[layer][1],
                epsilon_n1=own,
                epsilon_published=published,
                draws_n3=N3.bound(n=10**40, C=1, epsilon=own, **values),
                draws_published=CORENET_SIZE.bound(widest=widest, epsilon=published, **values),
            )
        )
    return rows


def _amplification(model: nn.Sequential, layer: nn.Linear, points: Tensor) -> tuple[float, float]:
    """Largest mean over S, and largest value, of Δ = (z⁺+z⁻)/|z| among the layer's neurons."""
    with torch.no_grad():
        inputs = model[: list(model).index(layer)](points).double()
        weight = layer.weight.double()
        ratio = (inputs.abs() @ weight.abs().T) / (inputs @ weight.T).abs().clamp(min=1e-300)
    return float(ratio.mean(0).max()), float(ratio.max())


def judge(rows: Sequence[Row]) -> Outcome:
    """No bound below a measured error; the rest is printed, vacuity above all."""
    pairs, constants = _read(rows)
    below, violations = sum(row.n2_below for row in pairs), sum(row.violations for row in pairs)
    vacuous = [row.vacuous for row in pairs if row.vacuous is not None]
    published = sum(row.draws_published >= row.weights for row in constants)
    ours = sum(row.draws_n3 >= row.weights for row in constants)
    measured = {
        "N2 below the measured error": below,
        "N2′ violated (gradient ascent)": violations,
        "share of inputs where the prediction exceeds the outputs": float(np.mean(vacuous)),
        "layers whose published size keeps every weight": f"{published} of {len(constants)}",
        "layers whose N1 + N3 size keeps every weight": f"{ours} of {len(constants)}",
    }
    networks = sorted({row.network for row in pairs})
    return Outcome(
        Verdict.VIOLATED if below or violations else Verdict.HOLDS,
        measured,
        tuple(sorted({row.seed for row in pairs})),
        f"{', '.join(NAMES[name] for name in networks)}; without retraining",
        [_table_row(row) for row in pairs],
    )


def _read(rows: Sequence[Row]) -> tuple[list[PairRow], list[ConstantsRow]]:
    pairs = read_rows(PairRow, [row for row in rows if row["kind"] == "pair"])
    return pairs, read_rows(ConstantsRow, [row for row in rows if row["kind"] == "constants"])


def _table_row(row: PairRow) -> Row:
    balls = {f"certified ρ={16 * rho:g}/16": share for rho, share in zip(RADII, row.certified, strict=True)}
    return {
        "network": row.network,
        "density": row.density,
        "method": row.method,
        "measured error": row.measured,
        "N2": row.n2,
        "predicted by ε": "–" if row.predicted is None else row.predicted,
        "agree": row.agree,
        **balls,
    }


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Certified agreement against density and against radius; published constants beside ours."""
    every, constants = _read(rows)
    pairs = [row for row in every if row.network == "mlp"]
    methods = sorted({row.method for row in pairs})

    def draw_density(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for name in methods:
            for index, style in ((0, "-"), (1, "--")):
                points = [(row.density, row.certified[index]) for row in pairs if row.method == name]
                mean_line(axes, points, f"{name}, ρ = {('0.5', '1')[index]}/16", style)
        axes.set_xlabel("density")
        axes.set_ylabel("balls with certified agreement")
        axes.legend(fontsize="x-small")

    def draw_radius(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        top = max(row.density for row in pairs)
        for name in methods:
            chosen = [row for row in pairs if row.method == name and row.density == top]
            mean_line(axes, [(16 * x, y) for row in chosen for x, y in zip(RADII, row.certified, strict=True)], name)
        axes.set_xlabel("radius per pixel, sixteenths")
        axes.set_ylabel("balls with certified agreement")
        axes.legend(fontsize="small")

    def draw_constants(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        positions = range(len(constants))
        bars = (
            (-0.27, [row.draws_published for row in constants], "published shape"),
            (0.0, [row.draws_n3 for row in constants], "N1 + N3"),
            (0.27, [row.weights for row in constants], "weights there are"),
        )
        for shift, heights, label in bars:
            axes.bar([position + shift for position in positions], heights, width=0.26, label=label)
        axes.set_yscale("log")
        axes.set_xticks(
            list(positions),
            [f"{row.network}, layer {row.layer + 1}" for row in constants],
            fontsize="small",
            rotation=30,
            ha="right",
        )
        axes.set_ylabel("draws for a half-row with Σ = 1")
        axes.legend(fontsize="small")

    return [
        Figure("Certified agreement against density", "Digits perceptron, no retraining.", draw_density),
        Figure("Certified agreement against radius", "Digits perceptron at the highest density.", draw_radius),
        Figure(
            "Published constants against ours",
            "ε = 0.5, δ = 0.1. Both keep every weight: vacuous.",
            draw_constants,
        ),
    ]


SP3 = Claim(
    "SP3",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    figures=figures,
    theorem=True,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
)
