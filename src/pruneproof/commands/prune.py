"""Prune a checkpoint: score, select, zero, and write the weights with their masks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..errors import PruneproofError
from ._checkpoint import load_model, tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..prune import Masks


def main(
    model: tyro.conf.Positional[Path],
    factory: str,
    density: float,
    out: Path,
    method: Literal["magnitude", "random", "snip", "grasp", "grasp_abs", "synflow"] = "magnitude",
    scope: Literal["global", "layer", "erk"] = "global",
    batch: Path | None = None,
    input_shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N …")] = (),
    masks: Path | None = None,
    seed: int = 0,
) -> int:
    """Write a pruned copy of a checkpoint; the checkpoint itself is left alone.

    SNIP and GraSP need --batch: a safetensors file with `inputs` and integer `targets`, scored by cross-entropy.
    SynFlow needs --input-shape.

    Example: pruneproof prune model.safetensors --factory my_package.nets:resnet20 --density 0.1 --out
    pruned.safetensors

    Args:
        model: a safetensors file.
        factory: package.module:function that builds the module of the checkpoint.
        density: the kept fraction of all convolution and linear weights, in (0, 1].
        out: the safetensors file to write.
        method: how weights are scored.
        scope: global: the highest scores of the model; layer: one density in all layers; erk: Erdős–Rényi-kernel.
        batch: scoring examples for snip, grasp and grasp_abs.
        input_shape: shape of a batch of one example, for synflow.
        masks: also write the masks, packed, to this file.
        seed: for random.
    """
    network = load_model(model, factory)
    kept = _masks(network, method, density, scope, batch, input_shape, seed)
    if not out.parent.is_dir():
        remedy = "make the folder first"
        raise PruneproofError("--out", required="an existing folder", received=str(out.parent), remedy=remedy)
    if masks is not None:
        kept.save(masks)
    _write(kept.apply_(network), out)
    print(kept.summary())
    return 0


def _masks(
    network: "nn.Module",
    method: str,
    density: float,
    scope: str,
    batch: Path | None,
    input_shape: tuple[int, ...],
    seed: int,
) -> "Masks":
    import torch

    from .. import prune

    if method == "magnitude":
        return prune.magnitude(network, density=density, scope=scope)
    if method == "random":
        return prune.random(network, density=density, scope=scope, generator=torch.Generator().manual_seed(seed))
    if method == "synflow":
        if not input_shape:
            remedy = "pass e.g. --input-shape 1 3 32 32"
            raise PruneproofError("--method synflow", required="an input shape", received="none", remedy=remedy)
        return prune.synflow(network, input_shape, density=density, scope=scope)
    score = {"snip": prune.snip, "grasp": prune.grasp, "grasp_abs": prune.grasp_abs}[method]
    return score(network, torch.nn.functional.cross_entropy, _batch(batch, method), density=density, scope=scope)


def _batch(batch: Path | None, method: str) -> "tuple[Tensor, Tensor]":
    remedy = "pass --batch FILE with the tensors inputs and targets"
    if batch is None:
        raise PruneproofError(f"--method {method}", required="a scoring batch", received="none", remedy=remedy)
    found = tensors(batch)
    if not {"inputs", "targets"} <= found.keys():
        raise PruneproofError("--batch", required="inputs and targets", received=sorted(found), remedy=remedy)
    return found["inputs"], found["targets"]


def _write(network: "nn.Module", out: Path) -> None:
    """Write to a temporary name and rename it: a crash leaves the old file or the new one."""
    from safetensors.torch import save_model

    temporary = out.with_name(f".{out.name}.writing")
    try:
        save_model(network, str(temporary))
        temporary.replace(out)
    except OSError as error:
        remedy = "choose another path"
        raise PruneproofError("--out", required="a writable file", received=str(error), remedy=remedy) from None
    finally:
        temporary.unlink(missing_ok=True)
