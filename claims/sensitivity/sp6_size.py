"""SP6: does the number of non-zeros stay within N3's bound, and where does that bound keep every weight?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.prune import sipp
from pruneproof.prune.sensitivity.measuring import layers
from pruneproof.prune.sensitivity.measuring import measure as measured_layer
from pruneproof.theory.theorems.sensitivity.statement import S1_SIZE

from .setting import NAMES, PUBLICATION, sample, trained

STATEMENT = "The number of non-zeros of each half-row is at most $\\min(n, ⌈CΣ(6+2ε)/(3ε^2)\\ln(2/δ')⌉)$."
SOURCE = f"{PUBLICATION}; N3 in theory/theorems/network/proof.md"
CRITERION = (
    "No half-row pruned to ε by Rand has more non-zeros than N3 allows. Vacuous if N3 keeps every weight of every "
    "half-row."
)
SAYS_NOT = "That N3 is tight, or that networks of this width can be pruned at small ε with this guarantee."
SYMBOLS = (
    "$n$ is the number of weights of a half-row and $Σ$ the sum of their sensitivities; $ε$, $δ'$ and $C$ are as in "
    "SP1 and SP2."
)

DELTA = 0.1


@dataclass(frozen=True)
class LayerRow:
    """One layer of a network pruned to ε.

    Args:
        network: Name in `setting.NAMES`.
        epsilon: ε that was asked.
        seed: Of the network and of the draws.
        layer: Name of the layer's weight.
        over: Half-rows with more non-zeros than N3 allows; 0 unless N3 is wrong.
        vacuous: Half-rows where N3 keeps every weight.
        half_rows: All half-rows.
        bound: Sum of N3 over the half-rows.
        found: Non-zeros.
    """

    network: str
    epsilon: float
    seed: int
    layer: str
    over: int
    vacuous: int
    half_rows: int
    bound: float
    found: int


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """ε from loose to strict."""
    networks = ("mlp",) if scale is Scale.QUICK else ("mlp", "lenet")
    epsilons = (2.0, 0.5) if scale is Scale.QUICK else (4.0, 2.0, 1.0, 0.5, 0.1)
    return [
        {"network": network, "data": digits_label(), "epsilon": epsilon, "seed": seed}
        for network in networks
        for epsilon in epsilons
        for seed in range(seeds or 1)
    ]


@stable_id("pruneproof.claims.sensitivity.size:measure", revision=2)
def measure(cell: Cell) -> list[LayerRow]:
    """Prune to ε by Rand; compare each half-row's non-zeros with min(n, S1-size at its Σ)."""
    model, points = trained(cell["network"], cell["data"], cell["seed"]), sample(cell["data"], cell["seed"])
    generator = torch.Generator().manual_seed(cell["seed"])
    result = sipp(model, points, epsilon=cell["epsilon"], delta=DELTA, variant="rand", generator=generator)
    return [
        _layer(cell, model, points, name, result.model.get_parameter(name).detach(), bounds.delta)
        for name, bounds in result.bounds.items()
    ]


def _layer(cell: Cell, model: nn.Sequential, points: Tensor, name: str, pruned: Tensor, delta: float) -> LayerRow:
    (layer,) = [layer for layer in layers(model)[0] if layer.name == name]
    scores = measured_layer(model, points, layer).scores
    over = vacuous = nonzero = 0
    bound = 0.0
    for sign in (1, -1):
        half = sign * layer.rows() > 0
        kept = ((sign * pruned) > 0).sum(1).tolist()
        for i, mass in enumerate((scores.double() * half).sum(1).tolist()):
            size = int(half[i].sum())
            if mass == 0:
                continue
            asked = S1_SIZE.bound(epsilon=cell["epsilon"], delta=delta, C=1, Sigma=max(mass, 1.0))  # 1 up to rounding
            limit = min(size, int(-(-asked // 1)))
            over += kept[i] > limit
            vacuous += limit == size
            bound, nonzero = bound + limit, nonzero + kept[i]
    return LayerRow(
        network=cell["network"],
        epsilon=cell["epsilon"],
        seed=cell["seed"],
        layer=name,
        over=over,
        vacuous=vacuous,
        half_rows=2 * len(pruned),
        bound=bound,
        found=nonzero,
    )


def judge(rows: Sequence[Row]) -> Outcome:
    """Never over the bound; vacuous if it keeps every weight everywhere."""
    pruned = read_rows(LayerRow, rows)
    over, total = sum(row.over for row in pruned), sum(row.half_rows for row in pruned)
    vacuous = sum(row.vacuous for row in pruned)
    table: list[Row] = [
        {
            "network": row.network,
            "layer": row.layer,
            "ε": row.epsilon,
            "half-rows where the bound keeps every weight": f"{row.vacuous} of {row.half_rows}",
            "non-zeros": row.found,
            "N3": row.bound,
        }
        for row in pruned
    ]
    networks = sorted({row.network for row in pruned})
    return Outcome(
        Verdict.VIOLATED if over else Verdict.VACUOUS if vacuous == total else Verdict.HOLDS,
        {"half-rows over N3": over, "half-rows where N3 keeps every weight": vacuous / total},
        tuple(sorted({row.seed for row in pruned})),
        f"{', '.join(NAMES[name] for name in networks)}, δ = {DELTA}, Rand",
        table,
    )


SP6 = Claim(
    "SP6",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="sensitivity",
    grid=grid,
    judge=judge,
    theorem=True,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
)
