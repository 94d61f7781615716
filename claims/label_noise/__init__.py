"""Arora et al. (UAI 2023) and He et al. (ICML 2022): lottery tickets and sparse double descent under label noise."""

from pruneproof.claims.claim import Paper

from .confidence import CALIBRATION, POSTERIOR
from .descent import DESCENT, DISTANCE
from .size import DIFFICULTY, SIZE

PAPER = Paper(
    key="label_noise",
    title="Quantifying lottery tickets under label noise: accuracy, calibration, and complexity",
    authors="Arora, Irto, Goldt, Sanguinetti; the double descent after He, Xie, Zhu, Qin (ICML 2022)",
    year=2023,
    arxiv="2306.12190",
)

CLAIMS = (DESCENT, SIZE, DIFFICULTY, POSTERIOR, CALIBRATION, DISTANCE)

__all__ = ["CALIBRATION", "DESCENT", "DIFFICULTY", "DISTANCE", "POSTERIOR", "SIZE", "Paper"]
