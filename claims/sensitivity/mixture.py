"""SP4: the mixture of sampling and truncation is never worse than either part."""

from collections.abc import Sequence

import torch

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.claims.estimates import paired
from pruneproof.prune import sipp

from .figures import epsilon_against_budget
from .settings import NAMES, SOURCE, count, images, sample, trained

VARIANTS = ("rand", "det", "hybrid", "poisson", "best")
TESTED = 200  # test images for the measured error


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """Networks × densities × seeds."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet", "cnn")
    densities = (0.3, 0.7) if scale is Scale.QUICK else (0.1, 0.3, 0.5, 0.7, 0.9)
    return [
        {"network": network, "density": density, "seed": seed}
        for network in networks
        for density in densities
        for seed in range(seeds or count(scale, 4, 5, 10))
    ]


@stable_id("pruneproof.claims.sensitivity.mixture:measure")
def measure(cell: Cell) -> list[Row]:
    """Every variant at one budget: its bound Σ cost·ε, its median ε, and the output error on test images."""
    model, inputs = trained(cell["network"], cell["seed"]), images().test_x[:TESTED]
    with torch.no_grad():
        target = model(inputs)
    rows: list[Row] = []
    for variant in VARIANTS:
        generator = torch.Generator().manual_seed(cell["seed"])
        result = sipp(model, sample(cell["seed"]), density=cell["density"], variant=variant, generator=generator)
        with torch.no_grad():
            error = float((result.model(inputs) - target).abs().mean())
        epsilon = torch.cat([bound.epsilon.flatten() for bound in result.bounds.values()])
        rows.append({"variant": variant, "merit": result.merit, "epsilon": float(epsilon.median()), "error": error,
                     "vacuous": result.vacuous})  # fmt: skip
    return rows


def judge(rows: Sequence[Row]) -> Outcome:
    """The bound of `best` is the least in every cell; its output error is not above any other's, paired over seeds."""
    cells = sorted({(str(r["network"]), float(r["density"]), int(r["seed"])) for r in rows})
    merit = {(r["network"], r["density"], r["seed"], r["variant"]): r["merit"] for r in rows}
    worse = sum(merit[*cell, "best"] > merit[*cell, v] for cell in cells for v in VARIANTS[:-1])
    deltas: dict[str, list[float]] = {}
    for network, density in sorted({cell[:2] for cell in cells}):
        errors = {
            v: {int(r["seed"]): float(r["error"]) for r in rows
                if (r["network"], r["density"], r["variant"]) == (network, density, v)} for v in VARIANTS
        }  # fmt: skip
        for v in VARIANTS[:-1]:
            deltas[f"{network}, density {density}: error of best − {v}"] = paired(errors["best"], errors[v])
    refuted = [name for name, (_, low, _) in deltas.items() if low > 0]
    verdict = Verdict.NOT_REPRODUCED if refuted or worse else Verdict.HOLDS
    measured = {"cells where the bound of best is above another's": worse, **deltas}
    table = [
        {"network": network, "density": density, "variant": v,
         "median ε": _mean(rows, network, density, v, "epsilon"),
         "output error": _mean(rows, network, density, v, "error"),
         "vacuous half-rows": _mean(rows, network, density, v, "vacuous")}
        for network, density in sorted({cell[:2] for cell in cells}) for v in VARIANTS
    ]  # fmt: skip
    scope = f"{', '.join(NAMES[n] for n in sorted({c[0] for c in cells}))}, no retraining"
    scope += f"; refuted: {', '.join(refuted)}" if refuted else ""
    return Outcome(verdict, measured, tuple(sorted({c[2] for c in cells})), scope, table)


def _mean(rows: Sequence[Row], network: str, density: float, variant: str, key: str) -> float:
    some = [float(r[key]) for r in rows if (r["network"], r["density"], r["variant"]) == (network, density, variant)]
    return sum(some) / len(some)


SP4 = Claim(
    "SP4",
    "The adaptive mixture is never worse than sampling or truncation alone.",
    f"{SOURCE} (SiPPHybrid); S3 in theory/theorems/sensitivity/proof.md",
    "In every cell the bound Σ cost·ε of `best` is at most that of every variant at the same budget (proved); and for "
    "no network, density and variant does the one-sided 95 % lower limit of the paired difference in mean output error "
    "on test images, best − variant, exceed 0.",
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    figures=lambda rows: [epsilon_against_budget(rows)],
    says_not="That a smaller bound means a smaller error: the second half of the criterion is an observation.",
)
