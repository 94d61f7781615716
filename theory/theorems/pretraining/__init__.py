"""The length of pre-training: P1 (gradient descent), T1–T3 (thresholds), the published shape, and a table of origins.

`origins` shows where log k, log L₀, log m, m/d and m²/d come from and `origin_table` prints it.
"""

from .gradient_descent import P1_MOVEMENT, P1_RATE, P1_STEP_SIZE, P1_WIDTH
from .logarithms import Origin, origin_table, origins
from .thresholds import (
    PUBLISHED_SHAPE,
    T1,
    T1_CONDITION,
    T1_INVERSE,
    T1_THRESHOLD,
    T2,
    T2_THRESHOLD,
    T3_DATASET,
    T3_PUBLISHED_FORM,
    T3_SIZE,
    T3_SIZE_INTERIOR,
    T3_THRESHOLD,
)

__all__ = [  # noqa: RUF022 (in the order of the proof)
    "P1_MOVEMENT",
    "P1_RATE",
    "P1_STEP_SIZE",
    "P1_WIDTH",
    "Origin",
    "origin_table",
    "origins",
    "PUBLISHED_SHAPE",
    "T1",
    "T1_CONDITION",
    "T1_INVERSE",
    "T1_THRESHOLD",
    "T2",
    "T2_THRESHOLD",
    "T3_DATASET",
    "T3_PUBLISHED_FORM",
    "T3_SIZE",
    "T3_SIZE_INTERIOR",
    "T3_THRESHOLD",
]
