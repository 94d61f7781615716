"""The scaling law of pruning as a formula, its limits and the smallest network."""

from .statement import (
    JOINT,
    SINGLE,
    SMALLEST,
    STEEP,
)

__all__ = [  # noqa: RUF022 (in the order of the proof)
    "SINGLE",
    "JOINT",
    "STEEP",
    "SMALLEST",
]
