"""Sampling by sensitivity keeps the output of a layer: S1–S6."""

from .statement import (
    S1,
    S1_ERROR,
    S1_SAMPLE,
    S1_SIZE,
    S2,
    S2_PUBLISHED,
    S2_SYMMETRIC,
    S3,
    S3_ERROR,
    S4,
    S4_ERROR,
    S4_SIZE,
    S5_FAILURE,
    S5_RANK,
    S6,
    SAMPLE,
)

__all__ = [  # noqa: RUF022 (in the order of the proof)
    "S1",
    "S1_SIZE",
    "S1_ERROR",
    "S2",
    "S2_PUBLISHED",
    "S2_SYMMETRIC",
    "S3",
    "S3_ERROR",
    "S4",
    "S4_ERROR",
    "S4_SIZE",
    "S5_RANK",
    "S5_FAILURE",
    "S6",
    "SAMPLE",
    "S1_SAMPLE",
]
