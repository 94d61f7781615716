"""Report what a checkpoint stores and multiplies, and whether its zeros make it faster."""

import json as json_text
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pruneproof.progress import Meter

if TYPE_CHECKING:
    from pruneproof.prune import Inspection, Speed
    from pruneproof.prune.checkpoints import Checkpoint, Roles

_Flag = tyro.conf.FlagCreatePairsOff[bool]


def main(
    model: tyro.conf.Positional[Path],
    factory: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION", help_behavior_hint="")] = None,
    input_shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N …", help_behavior_hint="")] = (),
    allow_missing: _Flag = False,
    allow_extra: _Flag = False,
    measure: _Flag = False,
    json: _Flag = False,
) -> int:
    """Print, per layer and in all, the kept weights, bytes, multiply–accumulates (MACs), and what speed to expect.

    A checkpoint is a safetensors file, a folder with an index, shards and other files, or a state dict of
    torch.save. Without --factory, weights are recognised by names and shapes: two-dimensional tensors named "weight"
    are taken as linear layers, and embeddings and normalisation layers are left out. Counting MACs takes --factory and
    also --input-shape.

    Example: pruneproof inspect llama-half/

    Example: pruneproof inspect model.safetensors --factory my_package.nets:resnet20 --input-shape 1 3 32 32

    Args:
        model: A safetensors file, a folder, or a .pt or .bin file with a state dict.
        factory: The function that builds the module of the checkpoint, as package.module:function.
        input_shape: Shape of a batch of one example, to count multiply–accumulates; those of a larger batch are of
            all its examples. Needs the factory.
        allow_missing: Accept parameters of the module that the checkpoint lacks.
        allow_extra: Accept tensors of the checkpoint that the module lacks.
        measure: Also time the model as it is and with sparse layers, on this machine, for 1, 8 and 64 examples; needs
            the shape.
        json: Print one JSON object.
    """
    from pruneproof.errors import InvalidValueError
    from pruneproof.prune import inspect_model, measure_speed
    from pruneproof.prune.checkpoints import find_layers, load_model, open_checkpoint

    if factory is None and (input_shape or allow_missing or allow_extra):
        raise InvalidValueError(
            "--input-shape, --allow-missing and --allow-extra need a model. Pass --factory package.module:function."
        )
    if measure and not input_shape:
        raise InvalidValueError(
            "--measure runs the model. Pass --factory package.module:function and --input-shape N …."
        )
    checkpoint, roles, speeds = open_checkpoint(model, where="inspect"), None, ()
    if factory is None:
        roles = find_layers(checkpoint, where="inspect")
        report = _of_weights(checkpoint, roles)
    else:
        accepted = {"allow_missing": allow_missing, "allow_extra": allow_extra}
        network, notes = load_model(checkpoint, factory, where="inspect", **accepted)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        report = inspect_model(network, input_shape=input_shape or None)
        speeds = measure_speed(network, input_shape, progress=_progress) if measure else ()
    if json:
        print(_as_json(report, speeds, checkpoint.nbytes, roles, input_shape))
        return 0
    print(_as_text(report, checkpoint.nbytes, roles, input_shape))
    for speed in speeds:
        print(
            f"measured, {speed.format}, batch {speed.batch}: dense {speed.dense_seconds * 1e3:.3g} ms, sparse "
            f"{speed.sparse_seconds * 1e3:.3g} ms; dense / sparse {speed.ratio:.2f} (96 % interval {speed.low:.2f} to "
            f"{speed.high:.2f})"
        )
    return 0


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"timing {done} of {total}", end="\r" if done < total else "\n", file=sys.stderr, flush=True)


def _of_weights(checkpoint: "Checkpoint", roles: "Roles") -> "Inspection":
    """Read one weight after the other."""
    from pruneproof.prune import Inspection
    from pruneproof.prune.checkpoints import read_tensor
    from pruneproof.prune.inspection import LayerCost, layer_cost

    costs: list[LayerCost] = []
    done, total = 0, sum(layer.tensor.nbytes for layer in roles.layers)
    with Meter(f"reading {checkpoint.path}") as meter:
        for layer in roles.layers:
            weight = read_tensor(layer.tensor, where="inspect")
            costs.append(layer_cost(layer.tensor.name, weight, weight != 0, None))
            done += layer.tensor.nbytes
            meter(done, total)
    stored = sum(tensor.nbytes for tensor in checkpoint.tensors if tensor.tied_to is None)
    return Inspection(tuple(costs), stored - sum(cost.dense_bytes for cost in costs))


def _as_json(
    report: "Inspection", speeds: "tuple[Speed, ...]", stored: int, roles: "Roles | None", input_shape: tuple[int, ...]
) -> str:
    totals = {
        "density": report.density,
        "dense_bytes": report.dense_bytes,
        "packed_bytes": report.packed_bytes,
        "file_bytes": stored,
        "kept_macs": report.macs[0] if report.macs else None,
        "macs": report.macs[1] if report.macs else None,
        "input_shape": input_shape or None,
    }
    measured = {"speeds": [asdict(speed) for speed in speeds]} if speeds else {}
    left_out = {} if roles is None else {"left_out": roles.left_out, "identical": roles.identical}
    return json_text.dumps(totals | {"layers": [asdict(layer) for layer in report.layers]} | measured | left_out)


def _as_text(report: "Inspection", stored: int, roles: "Roles | None", input_shape: tuple[int, ...]) -> str:
    lines = [str(report), f"bytes in the file: {stored:,}"]
    if input_shape:
        lines.append(f"MACs are those of one pass over inputs of shape {'×'.join(map(str, input_shape))}")
    if report.macs is None and not report.uncounted:
        lines.append("no multiply–accumulates (MACs) counted: that takes --factory and --input-shape")
    return "\n".join(lines if roles is None else [roles.describe(), "", *lines])
