"""Scores: name → tensor, higher is more worth keeping; scoring changes nothing in the model."""

from ._grasp import grasp as grasp
from ._grasp import grasp_abs as grasp_abs
from ._magnitude import magnitude as magnitude
from ._random import random as random
from ._snip import snip as snip
from ._synflow import synflow as synflow
from ._wanda import wanda as wanda
