"""Prune a checkpoint: score, select, zero, and write the weights with their masks."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import tyro
from rich.console import Console

from pruneproof.errors import InvalidValueError, PruneproofError

from ._checkpoint import load_model, tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruneproof.prune import Masks


class _Patterns(TypedDict):
    """Which weights are pruned, as the methods take it."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]


def main(
    model: tyro.conf.Positional[Path],
    factory: str,
    out: Path,
    density: Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="")] = None,
    method: Literal["magnitude", "random", "snip", "grasp", "grasp_abs", "synflow", "wanda"] = "magnitude",
    scope: Annotated[
        str | None,
        tyro.conf.arg(metavar="{global,layer,row,erk,N:M}", help_behavior_hint="(default: global; wanda: row)"),
    ] = None,
    include: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN …", help_behavior_hint="")] = (),
    exclude: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN …", help_behavior_hint="")] = (),
    batch: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
    input_shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N …", help_behavior_hint="")] = (),
    masks: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None,
) -> int:
    """Write a pruned copy of a checkpoint; the checkpoint itself is left alone.

    SNIP and GraSP need --batch: a safetensors file with `inputs` and integer `targets`, scored by cross-entropy.
    Wanda needs --batch with `inputs` alone. SynFlow needs --input-shape.

    Example: pruneproof prune model.safetensors --factory my_package.nets:resnet20 --density 0.1 --out
    pruned.safetensors

    Args:
        model: a safetensors file.
        factory: package.module:function that builds the module of the checkpoint.
        density: the kept fraction of the convolution and linear weights that are pruned, in (0, 1]; not needed with a
            scope N:M.
        out: the safetensors file to write.
        method: how weights are scored.
        scope: global: the highest scores of the model; layer: one density in all layers; row: one density in all
            outputs; erk: Erdős–Rényi-kernel; 2:4 and the like: two of every four consecutive weights of a row (synflow
            then computes the flow once).
        include: shell patterns of the parameters or modules that may be pruned, such as "layer1.*"; all if left out.
        exclude: shell patterns of those that stay dense.
        batch: scoring examples for snip, grasp, grasp_abs and wanda, which alone take it.
        input_shape: shape of a batch of one example, for synflow, which alone takes it.
        masks: also write the masks, packed, to this file.
        seed: for random, which alone takes it; 0 if left out.
    """
    _check_options(method, batch, input_shape, seed)
    scope = scope or ("row" if method == "wanda" else "global")
    _check_budget(density, scope)
    _check_paths({"the checkpoint": model, "--batch": batch, "--out": out, "--masks": masks})
    with Console(stderr=True).status("reading the model") as status:  # shown on a terminal only
        network = load_model(model, factory)
        status.update(f"scoring {sum(p.numel() for p in network.parameters()):,} parameters by {method}")
        patterns = _Patterns(include=include, exclude=exclude)
        kept = _masks(network, method, density, scope, batch, input_shape, seed, patterns)
        status.update("following what is left from the input to the output")
        warning = _dead(network, kept, input_shape or _shape(batch))
        status.update("writing")
        if masks is not None:
            kept.save(masks)
        _write(kept.apply_(network), out)
    print(warning, end="", file=sys.stderr)
    print(kept.summary())
    return 0


def _check_options(method: str, batch: Path | None, input_shape: tuple[int, ...], seed: int | None) -> None:
    """Refuse what the method would ignore."""
    scored = method in ("snip", "grasp", "grasp_abs", "wanda")
    ignored = {"--batch": batch and not scored, "--input-shape": input_shape and method != "synflow"}
    ignored["--seed"] = seed is not None and method != "random"
    for option, given in ignored.items():
        if given:
            remedy = "leave it out, or choose another --method"
            raise PruneproofError(f"--method {method}", required=f"no {option}", received="one", remedy=remedy)
    if len(input_shape) == 1:
        remedy = f"pass --input-shape 1 {input_shape[0]}"
        raise PruneproofError("--input-shape", required="a batch dimension", received=input_shape, remedy=remedy)
    if seed is not None and not -(2**63) <= seed < 2**64:
        required, remedy = "a seed from -2^63 to 2^64 - 1", "pass e.g. --seed 1"
        raise PruneproofError("--seed", required=required, received=seed, remedy=remedy)


def _check_budget(density: float | None, scope: str) -> None:
    """Refuse a scope that is none, and a density that is missing or not the pattern's."""
    from pruneproof.prune.selection.pattern import read_pattern, require_pattern_budget

    pattern = read_pattern(scope, where="--scope")
    if pattern is not None:
        require_pattern_budget(density, None, *pattern, where="--density")
    elif scope not in ("global", "layer", "row", "erk"):
        raise InvalidValueError(f"--scope must be global, layer, row, erk or N:M such as 2:4, got {scope}.")
    elif density is None:
        required, remedy = "the kept fraction, in (0, 1]", "pass e.g. --density 0.1, or a --scope such as 2:4"
        raise PruneproofError("--density", required=required, received="none", remedy=remedy)


def _check_paths(paths: dict[str, Path | None]) -> None:
    """Refuse, before any work, to write over a file that is read or written under another name, or nowhere."""
    seen = dict[Path, str]()
    for name, path in paths.items():
        if path is None:
            continue
        if name in ("--out", "--masks") and not path.parent.is_dir():
            remedy = "make the folder first"
            raise PruneproofError(name, required="an existing folder", received=str(path.parent), remedy=remedy)
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            remedy = "choose another path"
            raise PruneproofError(name, required=f"another file than {other}", received=str(path), remedy=remedy)


def _shape(batch: Path | None) -> tuple[int, ...]:
    """The shape of one example; empty if it is unknown or no array of numbers."""
    inputs = None if batch is None else tensors(batch)["inputs"]
    return (1, *inputs.shape[1:]) if inputs is not None and inputs.is_floating_point() else ()


def _dead(network: "nn.Module", kept: "Masks", shape: tuple[int, ...]) -> str:
    """Which weights keep nothing, and whether the output still depends on the input if known; "" if all is well."""
    from pruneproof.prune import Masks, connectivity, prunable

    weights = prunable(network)
    left = Masks({name: mask & (weights[name] != 0) for name, mask in kept.items()})
    empty = [name for name, mask in left.items() if not mask.any()]
    try:
        connected = connectivity(network, left, shape).connected if shape else None
    except PruneproofError:  # paths that the certificate cannot follow; the masks are none the worse
        connected = None
    effect = {False: "no longer depends", True: "still depends", None: "may no longer depend"}
    consequence = f"the output {effect[connected]} on the input"
    if not empty and connected is not False:
        return ""
    what = f"keeps nothing of {', '.join(empty)}" if empty else "leaves no path"
    return f"warning: {what}: {consequence}; try --scope erk\n"


def _masks(
    network: "nn.Module",
    method: str,
    density: float | None,
    scope: str,
    batch: Path | None,
    input_shape: tuple[int, ...],
    seed: int | None,
    patterns: _Patterns,
) -> "Masks":
    import torch

    from pruneproof import prune
    from pruneproof.prune.methods.at_initialization import SYNFLOW_ITERATIONS

    if method == "magnitude":
        return prune.magnitude(network, density=density, scope=scope, **patterns)
    if method == "random":
        return prune.random(
            network, density=density, scope=scope, generator=torch.Generator().manual_seed(seed or 0), **patterns
        )
    if method == "synflow":
        if not input_shape:
            remedy = "pass e.g. --input-shape 1 3 32 32"
            raise PruneproofError("--method synflow", required="an input shape", received="none", remedy=remedy)
        iterations = 1 if ":" in scope else SYNFLOW_ITERATIONS  # a pattern has one density
        return prune.synflow(network, input_shape, density=density, scope=scope, iterations=iterations, **patterns)
    if method == "wanda":
        return prune.wanda(network, _batch(batch, method)[0], density=density, scope=scope, **patterns)
    score = {"snip": prune.snip, "grasp": prune.grasp, "grasp_abs": prune.grasp_abs}[method]
    examples = _batch(batch, method)
    return score(network, torch.nn.functional.cross_entropy, examples, density=density, scope=scope, **patterns)


def _batch(batch: Path | None, method: str) -> "tuple[Tensor, Tensor]":
    """Inputs and targets of the file; where the method looks at no targets, the inputs stand for them too."""
    names = ["inputs"] if method == "wanda" else ["inputs", "targets"]
    remedy = f"Pass --batch FILE with the tensor{'s' * (len(names) > 1)} {' and '.join(names)}."
    if batch is None:
        raise InvalidValueError(f"--method {method} needs a scoring batch, and none was given. {remedy}")
    found = tensors(batch)
    if not found.keys() >= set(names):
        raise InvalidValueError(f"--batch {batch} holds {sorted(found)}. {remedy}")
    return found["inputs"], found[names[-1]]


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
