"""What was measured per GPU, as data: one file, `measured.json`, and its readers.

`masked` maps a GPU's name to the thresholds of `masked_linear`; the row `default` is predicted from
the roofline and was not measured. `sparse` maps a GPU's name, or cpu, to rows in order of preference, each
saying up to how many tokens (null: any) and up to which stored fraction a format was faster than
the dense product. `python -m bench.measure_choices` measures the GPU at hand and rewrites its rows.
A device without rows gets "dense", and the reason says that nothing was measured.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch

TABLE = Path(__file__).with_name("measured.json")
COMMAND = "python -m bench.measure_choices"


def read(path: Path = TABLE) -> dict[str, Any]:
    """The whole table, as it is in a file now."""
    return json.loads(path.read_text())


_table = cache(read)


def thresholds(device: torch.device) -> tuple[dict[str, Any], bool]:
    """The thresholds of `masked_linear` on this device, and whether they were measured there."""
    rows = _table()["masked"]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return (rows[name], True) if name in rows else (rows["default"], False)


def measured_rows() -> dict[str, list[dict[str, Any]]]:
    """GPU name → which sparse format was faster than the dense product up to which size."""
    return _table()["sparse"]
