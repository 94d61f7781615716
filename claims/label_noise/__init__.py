"""Arora et al. (UAI 2023) and He et al. (ICML 2022): lottery tickets and sparse double descent under label noise."""

from ..claim import Paper
from .confidence import CALIBRATION, POSTERIOR
from .descent import DESCENT, DISTANCE
from .size import DIFFICULTY, SIZE

PAPER = Paper(
    key="label_noise",
    title="Lottery tickets and sparse double descent under label noise",
    authors="Arora et al.; He, Xie, Zhu, Qin",
    year=2023,
)

CLAIMS = (DESCENT, SIZE, DIFFICULTY, POSTERIOR, CALIBRATION, DISTANCE)
