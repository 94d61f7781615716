"""How a masked linear map would run: reference, fused kernel, fused kernel with a skip list, or mask once and multiply.

The thresholds are data (`masked_choices.json`), one row per GPU name; `default` is a prediction from the roofline and
says so in the reason.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .backend import Choice, choose

OP = "masked_linear"
_TABLE = Path(__file__).with_name("masked_choices.json")


@cache
def _table() -> dict[str, dict[str, Any]]:
    return json.loads(_TABLE.read_text())


def thresholds(device: torch.device) -> tuple[dict[str, Any], bool]:
    """The row for this device, and whether it was measured there."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return (_table()[name], True) if name in _table() else (_table()["default"], False)


def plan_masked(op: str, weight: Tensor, tokens: int, tiles: Tensor | None) -> Choice:
    """The choice for `tokens` rows of input; `tiles` is the mask's skip list, or None."""
    base = choose(op, weight)
    if base.backend == "reference":
        return base
    row, measured = thresholds(weight.device)
    if tiles is not None:
        name, why = "skip", "the mask has empty blocks"
    elif tokens <= row["fused_tokens"]:
        name, why = "fused", f"at most {row['fused_tokens']} tokens: reading the weight once decides"
    else:
        name, why = "premask", f"more than {row['fused_tokens']} tokens: the library product decides"
    source = "measured on this GPU" if measured else "predicted, not measured on this device"
    return Choice(op, base.backend, name, f"{base.reason}; {why} ({source})")
