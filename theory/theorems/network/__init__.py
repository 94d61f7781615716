"""From layers to networks: N1–N4."""

from .statement import (
    CORENET_CONFIDENCE,
    CORENET_SIZE,
    N1,
    N1_PUBLISHED,
    N2,
    N2_CLASS,
    N3,
    N4,
)

__all__ = [  # noqa: RUF022 (in the order of the proof)
    "N1",
    "N1_PUBLISHED",
    "N2",
    "N2_CLASS",
    "N3",
    "N4",
    "CORENET_CONFIDENCE",
    "CORENET_SIZE",
]
