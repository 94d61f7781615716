"""Which networks are pruned at which scale; sizes were fixed from their cost before any verdict was seen.

Teacher grid: x ∈ R¹⁶, ten classes made by a tanh network, multilayer perceptrons of several widths and depths. Digits:
the same perceptrons on 1,000 images, tested on the other 797. Pruning: 20 % a round by magnitude for 24 rounds (density
0.0047), rewinding to the second epoch.
"""

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell
from pruneproof.claims.training.trainer import device_of

SEEDS = 3
WIDTHS = {Scale.QUICK: (64, 32, 16), Scale.STANDARD: (128, 64, 32, 16), Scale.FULL: (256, 128, 64, 32, 16, 8)}
DEPTHS = {Scale.QUICK: (2, 1), Scale.STANDARD: (3, 2, 1), Scale.FULL: (4, 3, 2, 1)}
LARGEST_FITTED = 32  # the extrapolation is fitted to widths up to this one
LEVELS = 24
_TRAINING = {
    Scale.QUICK: {"epochs": 30, "examples": 2000},
    Scale.STANDARD: {"epochs": 60, "examples": 4000},
    Scale.FULL: {"epochs": 200, "examples": 16_000},
}
_RECIPE = {"batch": 128, "rate": 0.1, "momentum": 0.9, "rewind_epochs": 2, "share": 0.2, "levels": LEVELS}


def network_cells(scale: Scale, seeds: int | None, task: str) -> list[Cell]:
    """One cell per network of a task, "teacher" or "digits", most expensive first.

    Example:
        >>> len(network_cells(Scale.STANDARD, None, "teacher"))
        12
    """
    training = _TRAINING[scale]
    own = {"task": task, "seeds": list(range(SEEDS if seeds is None else seeds))}
    shapes = sorted(((w, d) for w in WIDTHS[scale] for d in DEPTHS[scale]), key=lambda s: -s[0] * s[0] * s[1])
    return [_RECIPE | training | own | {"width": w, "depth": d} | device_of(scale) for w, d in shapes]
