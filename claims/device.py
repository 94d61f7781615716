"""Where a cell of stacked networks runs."""

import torch

from .claim import Cell, Scale


def device_of(scale: Scale) -> Cell:
    """The part of a cell that says where it runs: a GPU at `full`, if there is one; elsewhere nothing.

    Example:
        >>> device_of(Scale.QUICK)
        {}
    """
    return {"device": "cuda"} if scale is Scale.FULL and torch.cuda.is_available() else {}
