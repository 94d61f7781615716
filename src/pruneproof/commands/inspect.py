"""Report what a checkpoint stores and multiplies, and whether its zeros make it faster."""

import json as json_text
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ._checkpoint import load_model, tensors

if TYPE_CHECKING:
    from pruneproof.prune import Inspection


def main(
    model: tyro.conf.Positional[Path],
    factory: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION", help_behavior_hint="")] = None,
    input_shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N …", help_behavior_hint="")] = (),
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Print bytes (dense, packed, in the file), multiply–accumulates, and the speed-up that may be expected.

    Without a factory every floating tensor with two or more dimensions counts as a weight, embeddings included, and
    nothing is multiplied.

    Example: pruneproof inspect model.safetensors --factory my_package.nets:resnet20 --input-shape 1 3 32 32

    Args:
        model: a safetensors file.
        factory: package.module:function that builds the module of the checkpoint.
        input_shape: shape of a batch of one example, to count multiply–accumulates; needs the factory.
        json: print one JSON object.
    """
    report = _inspected(model, factory, input_shape)
    stored = model.stat().st_size
    print(_as_json(report, stored) if json else _as_text(report, stored))
    return 0


def _inspected(model: Path, factory: str | None, input_shape: tuple[int, ...]) -> "Inspection":
    from pruneproof.errors import PruneproofError
    from pruneproof.prune import Inspection, inspect_model
    from pruneproof.prune.inspection import layer_cost

    if factory is not None:
        return inspect_model(load_model(model, factory), input_shape=input_shape or None)
    if input_shape:
        remedy = "pass --factory package.module:function"
        raise PruneproofError("--input-shape", required="a model to run", received="none", remedy=remedy)
    found = tensors(model)
    weights = {name: tensor for name, tensor in found.items() if tensor.ndim > 1 and tensor.is_floating_point()}
    if not weights:
        remedy = "pass the checkpoint of a network"
        raise PruneproofError(str(model), required="a weight matrix", received=list(found), remedy=remedy)
    layers = tuple(layer_cost(name, weight, weight != 0, None) for name, weight in weights.items())
    total = sum(tensor.numel() * tensor.element_size() for tensor in found.values())
    return Inspection(layers, total - sum(layer.dense_bytes for layer in layers))


def _as_json(report: "Inspection", stored: int) -> str:
    totals = {
        "density": report.density,
        "dense_bytes": report.dense_bytes,
        "packed_bytes": report.packed_bytes,
        "file_bytes": stored,
        "kept_macs": report.macs[0] if report.macs else None,
        "macs": report.macs[1] if report.macs else None,
    }
    return json_text.dumps(totals | {"layers": [asdict(layer) for layer in report.layers]})


def _as_text(report: "Inspection", stored: int) -> str:
    rows = [("weight", "shape", "kept", "density", "bytes", "packed", "MACs kept", "speed")]
    for layer in report.layers:
        share = f"{layer.kept / max(layer.total, 1):.2%}"
        macs = "-" if layer.kept_macs is None else f"{layer.kept_macs:,}"
        shape = "×".join(map(str, layer.shape))
        packed = f"{layer.packed_bytes:,}"
        rows.append((layer.name, shape, f"{layer.kept:,}", share, f"{layer.dense_bytes:,}", packed, macs, layer.speed))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    macs = f"; {report.macs[0]:,} of {report.macs[1]:,} MACs kept" if report.macs else ""
    lines.append(f"all: density {report.density:.2%}{macs}")
    lines.append(f"bytes: {report.dense_bytes:,} dense, {report.packed_bytes:,} packed, {stored:,} in the file")
    return "\n".join(lines)
