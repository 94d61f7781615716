"""SP3: the guarantee for the network: predicted before pruning (N2), over regions (N2′), the published constants."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pruneproof.claims.claim import Claim, Figure, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.prune import certify, predicted_error, propagated_error
from pruneproof.theory.theorems.network.statement import CORENET_CONFIDENCE, CORENET_SIZE, N1, N1_PUBLISHED, N3

from .figures import certified_against_density, certified_against_radius, published_against_ours
from .pruners import pruned_copy
from .settings import NAMES, SOURCE, count, images, sample, trained

METHODS = ("sipp det", "sipp best", "magnitude")
STEPS = 1 / 16  # a grey level
RADII = (0.5 * STEPS, STEPS, 2 * STEPS)
ATTACKS, STEPS_OF_ASCENT = 8, 8
EPSILON, DELTA = 0.5, 0.1  # at which the sizes of the published and of our analysis are compared


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Pruned pairs, and one cell per network for the constants."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet", "cnn")
    densities = (0.2, 0.5, 0.8) if scale is Scale.QUICK else (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
    pairs = [
        {"kind": "pair", "network": network, "density": density, "method": method, "seed": seed,
         "images": count(scale, 24, 40, 360) if network != "cnn" else count(scale, 0, 4, 50)}
        for network in networks for density in densities for method in METHODS
        for seed in range(seeds or count(scale, 1, 1, 5))
    ]  # fmt: skip
    return pairs + [{"kind": "constants", "network": network, "seed": 0} for network in networks if network != "cnn"]


@stable_id("pruneproof.claims.sensitivity.guarantee:measure")
def measure(cell: Cell) -> list[Row]:
    """One pruned pair, or the constants of one network."""
    return _constants(cell) if cell["kind"] == "constants" else [_pair(cell)]


def _pair(cell: Cell) -> Row:
    model, inputs = trained(cell["network"], cell["seed"]), images().test_x[: cell["images"]].double()
    pruned, bounds = pruned_copy(cell["method"], model, sample(cell["seed"]), cell["density"], cell["seed"])
    pruned = pruned.double().eval()
    model = trained_double(cell)
    known = certify(model, pruned, inputs).error_bound
    propagated = propagated_error(model, pruned, inputs)
    with torch.no_grad():
        outputs = model(inputs)
    row: Row = {
        "measured": _median(known),
        "n2": _median(propagated),
        "n2_below": int((propagated < known * (1 - 1e-9)).sum()),  # both rounded at 1e-16 times their sums
        "n2_unchanged": float((_margin(outputs) > 2 * propagated.amax(1)).double().mean()),
        "agree": float((outputs.argmax(1) == pruned(inputs).argmax(1)).double().mean()),
        "predicted": None,
        "vacuous": None,
    }
    if bounds is not None:
        predicted = predicted_error(model, inputs, {name: bound.epsilon for name, bound in bounds.items()})
        row["predicted"] = _median(predicted)
        row["vacuous"] = float((predicted.amax(1) >= outputs.abs().amax(1)).double().mean())
    return row | _regions(model, pruned, inputs)


def trained_double(cell: Cell) -> nn.Module:
    """A float64 copy, as region certificates are about exact arithmetic on the weights."""
    return copy.deepcopy(trained(cell["network"], cell["seed"])).double().eval()


def _regions(model: nn.Module, pruned: nn.Module, inputs: Tensor) -> Row:
    certified, bound, violated = [], [], 0
    for radius in RADII:
        record = certify(model, pruned, inputs, radius=radius)
        certified.append(float(record.certified.double().mean()))
        bound.append(_median(record.error_bound))
        violated += _violations(model, pruned, inputs, radius, record.error_bound, record.certified, record.predicted)
    return {"certified": certified, "bound": bound, "violations": violated}


def _violations(
    model: nn.Module, pruned: nn.Module, inputs: Tensor, radius: float, bound: Tensor, sure: Tensor, predicted: Tensor
) -> int:
    """Ascend on |difference|/bound from random corners of the ball; count points beyond a bound or of another class."""
    generator = torch.Generator().manual_seed(0)
    shift = torch.randint(0, 2, (ATTACKS, *inputs.shape), generator=generator).double() * 2 - 1
    shift, found = (shift * radius).requires_grad_(), 0
    for step in range(STEPS_OF_ASCENT):
        points = (inputs + shift).flatten(0, 1)
        first, second = (net(points).unflatten(0, (ATTACKS, len(inputs))) for net in (model, pruned))
        ratio = (second - first).abs() / bound
        found += int((ratio > 1 + 1e-9).sum())  # 1e-9: rounding of the two evaluations against the bound
        other = (first.argmax(2) != predicted) | (second.argmax(2) != predicted)
        found += int((other & sure).sum())
        (gradient,) = torch.autograd.grad(ratio.amax(2).sum(), shift)
        moved = shift.detach() + radius * 0.7**step * gradient.sign()
        shift = (moved.clamp(-radius, radius) * (1 - 2.0**-40)).requires_grad_()
    return found


def _median(values: Tensor) -> float:
    return float(values.amax(1).median())


def _margin(outputs: Tensor) -> Tensor:
    best = outputs.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def _constants(cell: Cell) -> list[Row]:
    """Per layer: D, the largest Δ on S, ε_l of both analyses, and the draws that each asks of a half-row with Σ = 1."""
    model, points = trained(cell["network"], cell["seed"]), sample(cell["seed"])
    linear = [module for module in model if isinstance(module, nn.Linear)]
    neurons, widest = sum(m.out_features for m in linear), max(m.out_features for m in linear)
    stretch = [_amplification(model, module, points) for module in linear]
    depth, kappa = len(linear) + 1, CORENET_CONFIDENCE.bound(neurons=neurons, widest=widest, delta=DELTA)
    rows: list[Row] = []
    for index, module in enumerate(linear):
        ours = float(np.prod([largest for _, largest in stretch[index:]]))
        theirs = float(np.prod([mean + kappa for mean, _ in stretch[index:]]))
        own = N1.bound(epsilon=EPSILON, layers=depth, amplification=ours)
        published = N1_PUBLISHED.bound(epsilon=EPSILON, layers=depth, amplification=theirs)
        values = {"Sigma": 1, "neurons": neurons, "delta": DELTA}
        rows.append(
            {"layer": index, "weights": module.in_features, "largest_Delta": stretch[index][1],
             "epsilon_n1": own, "epsilon_published": published,
             "draws_n3": N3.bound(n=10**40, C=1, epsilon=own, **values),
             "draws_published": CORENET_SIZE.bound(widest=widest, epsilon=published, **values)}
        )  # fmt: skip
    return rows


def _amplification(model: nn.Sequential, layer: nn.Linear, points: Tensor) -> tuple[float, float]:
    """Largest mean over S, and largest value, of Δ = (z⁺+z⁻)/|z| among the layer's neurons."""
    with torch.no_grad():
        met = model[: list(model).index(layer)](points).double()
        weight = layer.weight.double()
        ratio = (met.abs() @ weight.abs().T) / (met @ weight.T).abs().clamp(min=1e-300)
    return float(ratio.mean(0).max()), float(ratio.max())


def judge(rows: Sequence[Row]) -> Outcome:
    """No bound below a measured error; the rest is told, vacuity above all."""
    pairs = [row for row in rows if row["kind"] == "pair"]
    constants = [row for row in rows if row["kind"] == "constants"]
    below, violations = (sum(row[key] for row in pairs) for key in ("n2_below", "violations"))
    predicted = [row for row in pairs if row["predicted"] is not None]
    verdict = Verdict.VIOLATED if below or violations else Verdict.HOLDS
    full = {key: sum(r[key] >= r["weights"] for r in constants) for key in ("draws_published", "draws_n3")}
    measured = {
        "N2 below the measured error": below,
        "N2′ violated (gradient ascent)": violations,
        "share of inputs where the prediction exceeds the outputs": float(np.mean([r["vacuous"] for r in predicted])),
        "layers whose published size keeps every weight": f"{full['draws_published']} of {len(constants)}",
        "layers whose N1 + N3 size keeps every weight": f"{full['draws_n3']} of {len(constants)}",
    }
    table = [_table_row(r) for r in pairs]
    scope = f"{', '.join(NAMES[n] for n in sorted({str(r['network']) for r in pairs}))}; without retraining"
    return Outcome(verdict, measured, tuple(sorted({int(r["seed"]) for r in pairs})), scope, table)


def _table_row(row: Row) -> Row:
    balls = {f"certified ρ={16 * rho:g}/16": c for rho, c in zip(RADII, row["certified"], strict=True)}
    names = ("network", "density", "method")
    errors = {"measured error": row["measured"], "N2": row["n2"]}
    predicted = "–" if row["predicted"] is None else row["predicted"]
    return {**{n: row[n] for n in names}, **errors, "predicted by ε": predicted, "agree": row["agree"], **balls}


def _figures(rows: Sequence[Row]) -> list[Figure]:
    return [certified_against_density(rows), certified_against_radius(rows), published_against_ours(rows)]


SP3 = Claim(
    "SP3",
    "The pruned network's output stays within the propagated error, at points ($N2$) and over balls ($N2'$).",
    f"{SOURCE}; N1, N2, N2′ in theory/theorems/network/proof.md",
    "N2 is nowhere below the measured error, and gradient ascent on the difference from 8 corners of every ball finds "
    "neither a point beyond N2′ nor another class where agreement is certified. Predictions by ε, the published "
    "constants and N1 are printed with where they are vacuous.",
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    figures=_figures,
    theorem=True,
    says_not="That more can be pruned: what is offered is a guarantee without retraining, not a higher ratio.",
)
