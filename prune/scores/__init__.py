"""Scores: name → tensor, higher is more worth keeping; scoring changes nothing in the model."""

from ._grasp import grasp, grasp_abs
from ._magnitude import magnitude
from ._random import random
from ._snip import snip
from ._synflow import synflow
from ._wanda import wanda

__all__ = ["grasp", "grasp_abs", "magnitude", "random", "snip", "synflow", "wanda"]


def __dir__() -> list[str]:
    return __all__
