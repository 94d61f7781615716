"""SP5: without retraining, pruning informed by data beats pruning that is not, at equal budget."""

from collections.abc import Sequence

import torch

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.claims.estimates import interval, paired
from pruneproof.prune import certify

from .figures import error_by_method
from .pruners import DATA_FREE, INFORMED, pruned_copy
from .settings import NAMES, SOURCE, count, images, sample, trained

RADIUS = 0.5 / 16
CERTIFIED = 8  # test images whose ball is certified


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Networks × densities × seeds; all methods in one cell."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet")
    densities = (0.5,) if scale is Scale.QUICK else (0.1, 0.3, 0.5, 0.7, 0.9)
    return [
        {"network": network, "density": density, "seed": seed}
        for network in networks
        for density in densities
        for seed in range(seeds or count(scale, 5, 5, 10))
    ]


@stable_id("pruneproof.claims.sensitivity.data_free:measure")
def measure(cell: Cell) -> list[Row]:
    """Output error and accuracy on the test images, and the share of balls on which agreement is certified."""
    model, split = trained(cell["network"], cell["seed"]), images()
    points = sample(cell["seed"])
    rows: list[Row] = []
    for method in (*INFORMED, *DATA_FREE):
        pruned, _ = pruned_copy(method, model, points, cell["density"], cell["seed"])
        pruned = pruned.eval()
        with torch.no_grad():
            outputs = pruned(split.test_x)
            error = float((outputs - model(split.test_x)).abs().mean())
        accuracy = float((outputs.argmax(1) == split.test_y).double().mean())
        certified = certify(model, pruned, split.test_x[:CERTIFIED], radius=RADIUS).certified
        rows.append(
            {"method": method, "error": error, "accuracy": accuracy, "certified": float(certified.double().mean())}
        )
    return rows


def judge(rows: Sequence[Row]) -> Outcome:
    """`sipp best` below every data-free method in output error, paired over seeds, at every density."""
    places = sorted({(str(r["network"]), float(r["density"])) for r in rows})
    deltas: dict[str, list[float]] = {}
    for network, density in places:
        errors = {m: _by_seed(rows, network, density, m, "error") for m in (*INFORMED, *DATA_FREE)}
        for other in DATA_FREE:
            deltas[f"{network}, density {density}: error of sipp best − {other}"] = paired(
                errors["sipp best"], errors[other]
            )
    confirmed = all(high < 0 for _, _, high in deltas.values())
    refuted = [name for name, (_, low, _) in deltas.items() if low > 0]
    verdict = Verdict.HOLDS if confirmed else Verdict.NOT_REPRODUCED if refuted else Verdict.INCONCLUSIVE
    table = [
        {"network": network, "density": density, "method": m,
         **{key: interval(list(_by_seed(rows, network, density, m, key).values()))[0]
            for key in ("error", "accuracy", "certified")}}
        for network, density in places for m in (*INFORMED, *DATA_FREE)
    ]  # fmt: skip
    scope = f"{', '.join(NAMES[n] for n in sorted({p[0] for p in places}))}; no retraining; balls of radius {RADIUS}"
    scope += f"; refuted: {', '.join(refuted)}" if refuted else ""
    return Outcome(verdict, deltas, tuple(sorted({int(r["seed"]) for r in rows})), scope, table)


def _by_seed(rows: Sequence[Row], network: str, density: float, method: str, key: str) -> dict[int, float]:
    place = (network, density, method)
    return {int(r["seed"]): float(r[key]) for r in rows if (r["network"], r["density"], r["method"]) == place}


SP5 = Claim(
    "SP5",
    "At equal budget and without retraining, pruning informed by data beats pruning that is not.",
    SOURCE,
    "For every network, density and data-free method (magnitude over all weights and by layer; uniform, ℓ1 and ℓ2 row "
    "sampling, reweighted), the one-sided 95 % upper limit of the paired difference in mean output error on the test "
    "images, sipp best − method, is below 0. Not reproduced if a lower limit is above 0.",
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    figures=lambda rows: [error_by_method(rows)],
    says_not="Anything about accuracy after fine-tuning, where such differences are known to fade.",
)
