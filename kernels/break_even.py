"""Which sparse format is faster than the dense product: a table of measurements per GPU, never a guess.

`break_even.json` maps a GPU's name to rows in order of preference, each saying up to how many tokens (null: any) and up
to which stored fraction a format was faster than dense. `python -m bench.break_even` measures the GPU at hand and
rewrites its rows. A device without rows gets "dense", and the reason says that nothing was measured.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import format_two_four
from .skip import live_fraction

TABLE = Path(__file__).with_name("break_even.json")
COMMAND = "python -m bench.break_even"


@cache
def measured_rows() -> dict[str, list[dict[str, Any]]]:
    """The table as it is in the file."""
    return json.loads(TABLE.read_text())


def decide(weight: Tensor, keep: Tensor, batch: int | None) -> tuple[str, str]:
    """(format, reason) for a weight whose kept entries are `keep`, multiplied with `batch` tokens at once."""
    device = torch.cuda.get_device_name(weight.device) if weight.device.type == "cuda" else weight.device.type
    if device not in measured_rows():
        return "dense", f"no break-even point was measured on {device}; on a GPU, measure with: {COMMAND}"
    for row in measured_rows()[device]:
        tokens = row["max_tokens"]
        if tokens is not None and (batch is None or batch > tokens):
            continue
        stored = _stored_fraction(row["format"], keep)
        if stored <= row["max_stored"] and weight.numel() >= row["min_weights"]:
            return row["format"], f"measured faster than dense on {device} up to a stored fraction {row['max_stored']}"
    unknown = " for an unknown number of tokens (pass batch=…)" if batch is None else f" for {batch} tokens"
    return "dense", f"no format was measured faster{unknown} on {device}"


def _stored_fraction(name: str, keep: Tensor) -> float:
    """Which fraction of the weights the format stores; above 1 where it cannot hold them."""
    if name == "2:4":
        return 0.5 if format_two_four.fits(keep) else 2.0
    if name.startswith("bsr"):
        return live_fraction(keep, int(name[3:]))
    if name == "csr16" and keep.shape[1] > 65_536:
        return 2.0
    return keep.float().mean().item() if keep.numel() else 1.0
