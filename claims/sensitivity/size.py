"""SP6: the number of non-zeros stays within N3's bound, and where that bound keeps every weight."""

from collections.abc import Sequence

import torch

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.prune import sipp
from pruneproof.theory.theorems.sensitivity.statement import S1_SIZE

from .settings import NAMES, SOURCE, sample, trained

DELTA = 0.1


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """ε from loose to strict."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet")
    epsilons = (2.0, 0.5) if scale is Scale.QUICK else (4.0, 2.0, 1.0, 0.5, 0.1)
    return [
        {"network": network, "epsilon": epsilon, "seed": seed}
        for network in networks
        for epsilon in epsilons
        for seed in range(seeds or 1)
    ]


@stable_id("pruneproof.claims.sensitivity.size:measure")
def measure(cell: Cell) -> list[Row]:
    """Prune to ε by Rand; compare each half-row's non-zeros with min(n, S1-size at its Σ)."""
    model, points = trained(cell["network"], cell["seed"]), sample(cell["seed"])
    generator = torch.Generator().manual_seed(cell["seed"])
    result = sipp(model, points, epsilon=cell["epsilon"], delta=DELTA, variant="rand", generator=generator)
    return [
        _layer(name, result.model.get_parameter(name).detach(), model, points, result, cell) for name in result.bounds
    ]


def _layer(
    name: str, new: torch.Tensor, model: torch.nn.Sequential, points: torch.Tensor, result: object, cell: Cell
) -> Row:
    from pruneproof.prune.sensitivity.measuring import layers
    from pruneproof.prune.sensitivity.measuring import measure as measured_layer
    from pruneproof.prune.sensitivity.method import SippResult

    assert isinstance(result, SippResult)
    (layer,) = [layer for layer in layers(model)[0] if layer.name == name]
    scores = measured_layer(model, points, layer).scores
    over = vacuous = 0
    bound, found = 0.0, 0
    for sign in (1, -1):
        half = sign * layer.rows() > 0
        nonzero = ((sign * new) > 0).sum(1)
        for i, mass in enumerate((scores.double() * half).sum(1).tolist()):
            size = int(half[i].sum())
            if mass == 0:
                continue
            asked = S1_SIZE.bound(epsilon=cell["epsilon"], delta=result.bounds[name].delta, C=1, Sigma=mass)
            limit = min(size, int(-(-asked // 1)))
            over += int(nonzero[i]) > limit
            vacuous += limit == size
            bound, found = bound + limit, found + int(nonzero[i])
    return {"layer": name, "over": over, "vacuous": vacuous, "half_rows": 2 * len(new), "bound": bound, "found": found}


def judge(rows: Sequence[Row]) -> Outcome:
    """Never over the bound; vacuous if it keeps every weight everywhere."""
    over = sum(row["over"] for row in rows)
    total = sum(row["half_rows"] for row in rows)
    vacuous = sum(row["vacuous"] for row in rows)
    verdict = Verdict.VIOLATED if over else Verdict.VACUOUS if vacuous == total else Verdict.HOLDS
    table = [
        {
            "network": row["network"],
            "layer": row["layer"],
            "ε": row["epsilon"],
            "half-rows where the bound keeps every weight": f"{row['vacuous']} of {row['half_rows']}",
            "non-zeros": row["found"],
            "N3": row["bound"],
        }
        for row in rows
    ]
    measured = {"half-rows over N3": over, "half-rows where N3 keeps every weight": vacuous / total}
    scope = f"{', '.join(NAMES[n] for n in sorted({str(r['network']) for r in rows}))}, δ = {DELTA}, Rand"
    return Outcome(verdict, measured, tuple(sorted({int(r["seed"]) for r in rows})), scope, table)


SP6 = Claim(
    "SP6",
    "The number of non-zeros of each half-row is at most $\\min(n, ⌈CΣ(6+2ε)/(3ε^2)\\ln(2/δ')⌉)$.",
    f"{SOURCE}; N3 in theory/theorems/network/proof.md",
    "No half-row pruned to ε by Rand has more non-zeros than N3 allows. Vacuous if N3 keeps every weight of every "
    "half-row.",
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    theorem=True,
    says_not="That N3 is tight, or that networks of this width can be pruned at small ε with this guarantee.",
)
