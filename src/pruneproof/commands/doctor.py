"""Say what is installed, what would run, and what has not been measured here."""

import json as json_text
import os
from importlib.util import find_spec
from typing import Any

import tyro

from pruneproof.environment import EXTRAS, environment


def main(json: tyro.conf.FlagCreatePairsOff[bool] = False) -> int:
    """Describe this installation: versions, machine, GPU, the optional parts that are missing and what they are for.

    Example: pruneproof doctor --json

    Args:
        json: Print JSON.
    """
    import torch

    found: dict[str, Any] = {
        "environment": environment(),
        "torch threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "backend": _backend(torch.cuda.is_available()),
        "data root": os.environ.get("PRUNEPROOF_DATA_ROOT", "none: MNIST and CIFAR-10 are left out"),
        "missing": _missing(),
        "not measured": _unmeasured(),
    }
    if json:
        print(json_text.dumps(found, indent=2))
    else:
        _print(found)
    return 0


def _backend(gpu: bool) -> str:
    from pruneproof.kernels.backend import requested_backend, require_backend

    requested = requested_backend()
    require_backend(requested)
    if requested != "auto":
        return f"{requested}, as PRUNEPROOF_BACKEND says"
    if not find_spec("triton"):
        return "the reference implementations: triton is not installed"
    return "Triton on the GPU" if gpu else "the reference implementations: no GPU"


def _missing() -> list[str]:
    return [
        f"{module} for {purpose}: pip install 'pruneproof[{extra}]'"
        for module, (extra, purpose) in EXTRAS.items()
        if find_spec(module) is None
    ]


def _unmeasured() -> list[str]:
    from pruneproof.kernels.registry import operations

    return [f"{op.name}: not yet measured on a GPU" for op in operations() if not op.measured_on]


def _print(found: dict[str, Any]) -> None:
    lines = {**found["environment"], **{name: value for name, value in found.items() if not isinstance(value, dict)}}
    width = max(map(len, lines))
    for name, value in lines.items():
        shown = value if isinstance(value, list) else [value]
        print(f"{name:<{width}}  {shown[0] if shown else 'none'}")
        for more in shown[1:]:
            print(f"{'':<{width}}  {more}")
