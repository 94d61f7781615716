"""What a simulated paper is: rows of every cell that a claim asks for, drawn where its statement is true or false."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pruneproof.claims.claim import Verdict
from pruneproof.claims.engine.cell import Row

Floats = NDArray[Any]
Rows = Callable[[np.random.Generator], list[Row]]
NOISE = 1.0  # points of accuracy, per run
RIGHT = {"true": Verdict.HOLDS, "false": Verdict.NOT_REPRODUCED}


class Simulation(NamedTuple):
    """A claim's rows, drawn.

    Args:
        effect: By what the statement is true, and false, in words.
        rows: "true", "false" and, where the statement has a bound, "bound" → rows of a run.
    """

    effect: str
    rows: Mapping[str, Rows]


def around(bound: Callable[[float, np.random.Generator], list[Row]], by: float, unit: str) -> Simulation:
    """True by an effect, false by the same, and exactly at the bound.

    Args:
        bound: Draws rows whose distance from the bound is its first argument.
        by: The effect.
        unit: Its unit.
    """
    effects = {"bound": 0.0, "true": by, "false": -by}
    return Simulation(f"{by:g} {unit}", {name: partial(bound, effect) for name, effect in effects.items()})
