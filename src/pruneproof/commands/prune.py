"""Prune a checkpoint: score, select, zero, and write the weights with their masks."""

import json as json_text
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import tyro
from rich.console import Console

from pruneproof.errors import InvalidTypeError, InvalidValueError, MissingFileError, PruneproofError, described
from pruneproof.files import require_file_name
from pruneproof.progress import Meter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruneproof.prune import Masks
    from pruneproof.prune.checkpoints import Checkpoint, PrunedCheckpoint

_Flag = tyro.conf.FlagCreatePairsOff[bool]


class _Patterns(TypedDict):
    """Which weights are pruned, as the methods take it."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]


def main(
    model: tyro.conf.Positional[Path],
    out: Path,
    density: Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="")] = None,
    method: Literal["magnitude", "random", "snip", "grasp", "grasp_abs", "synflow", "wanda"] = "magnitude",
    scope: Annotated[
        str | None,
        tyro.conf.arg(metavar="{global,layer,row,erk,N:M}", help_behavior_hint="(default: global; wanda: row)"),
    ] = None,
    include: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN …", help_behavior_hint="")] = (),
    exclude: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN …", help_behavior_hint="")] = (),
    factory: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION", help_behavior_hint="")] = None,
    allow_missing: _Flag = False,
    allow_extra: _Flag = False,
    batch: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
    input_shape: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N …", help_behavior_hint="")] = (),
    masks: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None,
    force: _Flag = False,
    json: _Flag = False,
) -> int:
    """Write a pruned copy of a checkpoint; the checkpoint itself is not changed.

    A checkpoint is a safetensors file, a folder with an index, shards and other files, or a state dict of
    torch.save. The copy has the same files, names, dtypes and metadata. Magnitude and random need no model: weights
    are recognised by names and shapes, and files of any size are streamed. The other methods need --factory, a function
    of yours that builds the model.

    SNIP and GraSP need --batch: a safetensors file with `inputs` and integer `targets`, scored by cross-entropy.
    Wanda needs --batch with `inputs` alone. SynFlow needs --input-shape.

    Example: pruneproof prune llama/ --density 0.5 --exclude lm_head --out llama-half/

    Example: pruneproof prune model.safetensors --scope 2:4 --out pruned.safetensors

    Example: pruneproof prune model.safetensors --factory my_package.nets:resnet20 --method synflow
    --input-shape 1 3 32 32 --density 0.1 --out pruned.safetensors

    Args:
        model: A safetensors file, a folder, or a .pt or .bin file with a state dict.
        out: The file or folder to write, of the kind that the checkpoint is.
        density: The kept fraction of the convolution and linear weights that are pruned, in (0, 1]; not needed with a
            scope N:M.
        method: How weights are scored.
        scope: global: keep the highest scores of the whole model; layer: the same density in each layer; row: the same
            density for each output; erk: Erdős–Rényi-kernel; 2:4 and the like: two of every four consecutive weights of
            a row (synflow then computes the flow once).
        include: Shell patterns of the parameters or modules that may be pruned, such as "layer1.*"; all if left out.
        exclude: Shell patterns of those that stay dense.
        factory: The function that builds the module of the checkpoint, as package.module:function.
        allow_missing: Accept parameters of the module that the checkpoint lacks; they stay as the factory set them.
        allow_extra: Accept tensors of the checkpoint that the module lacks; they are copied.
        batch: Scoring examples for snip, grasp, grasp_abs and wanda, which alone take it.
        input_shape: Shape of a batch of one example, for synflow, which alone takes it.
        masks: Also write the masks to this file, one bit per weight; needs a byte of memory per weight.
        seed: For random, which alone takes it; 0 if left out.
        force: Replace an output that exists.
        json: Print one JSON object.
    """
    _check_model(method, factory, allow_missing or allow_extra)
    _check_options(method, batch, input_shape, seed)
    scope = scope or ("row" if method == "wanda" else "global")
    _check_budget(density, scope)
    _check_paths({"the checkpoint": model, "--batch": batch, "--out": out, "--masks": masks})
    _check_new(masks, force)
    if factory is None:
        report = _by_weights(model, out, density, method, scope, include, exclude, seed, masks, force)
        rows = [(layer.name, layer.shape, layer.kept, layer.total) for layer in report.layers]
    else:
        from pruneproof.prune.checkpoints import load_model

        load = partial(load_model, factory=factory, allow_missing=allow_missing, allow_extra=allow_extra, where="prune")
        patterns = _Patterns(include=include, exclude=exclude)
        score = partial(
            _masks,
            method=method,
            density=density,
            scope=scope,
            batch=batch,
            input_shape=input_shape,
            seed=seed,
            patterns=patterns,
        )
        kept, report = _by_model(model, out, load, score, input_shape or _shape(batch), masks, force)
        rows = [(name, tuple(mask.shape), int(mask.count_nonzero()), mask.numel()) for name, mask in kept.items()]
    print(_as_json(report, rows) if json else _as_text(report, rows))
    return 0


def _by_weights(
    model: Path,
    out: Path,
    density: float | None,
    method: str,
    scope: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    seed: int | None,
    masks: Path | None,
    force: bool,
) -> "PrunedCheckpoint":
    """Stream the checkpoint."""
    import torch

    from pruneproof.prune.checkpoints import prune_checkpoint

    with Meter(f"pruning {model}") as meter:
        return prune_checkpoint(
            model,
            out,
            density=density,
            method="random" if method == "random" else "magnitude",
            scope=scope,
            include=include,
            exclude=exclude,
            generator=torch.Generator().manual_seed(seed or 0) if method == "random" else None,
            masks=masks,
            force=force,
            progress=meter,
            where="prune",
        )


def _by_model(
    model: Path,
    out: Path,
    load: "Callable[[Checkpoint], tuple[nn.Module, list[str]]]",
    score: "Callable[[nn.Module], Masks]",
    shape: tuple[int, ...],
    masks: Path | None,
    force: bool,
) -> "tuple[Masks, PrunedCheckpoint]":
    """Load the model, score it, and put zeros into a copy of its checkpoint."""
    from pruneproof.prune.checkpoints import check_output, open_checkpoint, stored_masks, write_masked

    checkpoint = open_checkpoint(model, where="prune")
    check_output(out, model, folder=checkpoint.is_folder, force=force, nbytes=checkpoint.nbytes, where="prune")
    with Console(stderr=True).status("reading the model") as status:  # shown on a terminal only
        network, notes = load(checkpoint)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        status.update(f"scoring {sum(p.numel() for p in network.parameters()):,} parameters")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            kept = score(network)
        for each in said:
            print(f"warning: {each.message}", file=sys.stderr)
        status.update("following what is left from the input to the output")
        warning = _dead(network, kept, shape)
        status.update("writing")
        report = write_masked(checkpoint, out, stored_masks(network, kept, checkpoint, where="prune"), where="prune")
        if masks is not None:
            kept.save(masks)
    print(warning, end="", file=sys.stderr)
    return kept, report


_Rows = Sequence[tuple[str, tuple[int, ...], int, int]]


def _as_text(report: "PrunedCheckpoint", rows: _Rows) -> str:
    from pruneproof.prune.masks.masks import summary_table

    lines = [] if report.roles is None else [report.roles.describe(), ""]
    lines.append(summary_table(rows))
    if report.copied:
        lines.append(f"copied as they are: {', '.join(report.copied)}")
    if report.left:
        lines.append(f"not copied, as they are hidden folders or hold the dense weights: {', '.join(report.left)}")
    return "\n".join([*lines, f"written to {report.path}"])


def _as_json(report: "PrunedCheckpoint", rows: _Rows) -> str:
    kept, total = sum(row[2] for row in rows), sum(row[3] for row in rows)
    layers = [{"name": name, "shape": shape, "kept": some, "total": every} for name, shape, some, every in rows]
    content: dict[str, object] = {
        "out": str(report.path),
        "kept": kept,
        "total": total,
        "density": kept / total,
        "layers": layers,
    }
    if report.roles is not None:
        content["left_out"] = report.roles.left_out
        content["identical"] = report.roles.identical
        content["tied"] = {copy.name: layer.tensor.name for layer in report.roles.layers for copy in layer.copies}
    return json_text.dumps(content | {"copied": report.copied, "not_copied": report.left})


def _check_model(method: str, factory: str | None, differences: bool) -> None:
    """Refuse a method that lacks its model, and options of a model that is not there."""
    if factory is None and method not in ("magnitude", "random"):
        raise InvalidValueError(
            f"--method {method} runs the model. Pass --factory package.module:function, or --method magnitude."
        )
    if factory is None and differences:
        raise InvalidValueError("--allow-missing and --allow-extra compare with a model. Pass its --factory.")


def _check_options(method: str, batch: Path | None, input_shape: tuple[int, ...], seed: int | None) -> None:
    """Refuse what the method would ignore."""
    scored = method in ("snip", "grasp", "grasp_abs", "wanda")
    ignored = {"--batch": batch and not scored, "--input-shape": input_shape and method != "synflow"}
    ignored["--seed"] = seed is not None and method != "random"
    for option, given in ignored.items():
        if given:
            raise InvalidValueError(f"--method {method} takes no {option}. Leave it out, or choose another --method.")
    if len(input_shape) == 1:
        raise InvalidValueError(f"--input-shape has no batch dimension. Pass --input-shape 1 {input_shape[0]}.")
    if seed is not None and not -(2**63) <= seed < 2**64:
        raise InvalidValueError(f"--seed must lie between -2^63 and 2^64 - 1, got {seed}.")


def _check_budget(density: float | None, scope: str) -> None:
    """Refuse a scope that is none, and a density that is missing or not the pattern's."""
    from pruneproof.prune.selection.pattern import read_pattern, require_pattern_budget

    pattern = read_pattern(scope, where="--scope")
    if pattern is not None:
        require_pattern_budget(density, None, *pattern, where="--density")
    elif scope not in ("global", "layer", "row", "erk"):
        raise InvalidValueError(f"--scope must be global, layer, row, erk or N:M such as 2:4, got {scope}.")
    elif density is None:
        raise InvalidValueError("--density, the kept fraction, is missing. Pass e.g. --density 0.1, or --scope 2:4.")


def _check_paths(paths: dict[str, Path | None]) -> None:
    """Refuse, before any work, to write over a file that is read or written under another name, or nowhere."""
    seen = dict[Path, str]()
    for name, path in paths.items():
        if path is None:
            continue
        if name in ("--out", "--masks") and not path.parent.is_dir():
            raise MissingFileError(f"{name}: the folder {path.parent} does not exist. Make it first.")
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise InvalidValueError(f"{name} and {other} both name {path}. Choose another path.")


def _check_new(masks: Path | None, force: bool) -> None:
    """Refuse to overwrite a file of masks unasked; `check_output` refuses to overwrite the checkpoint."""
    if masks is not None:
        require_file_name(masks, "--masks")
    if masks is not None and masks.exists() and not force:
        raise InvalidValueError(f"--masks: the file {masks} exists. Choose another name, or replace it with --force.")


def _shape(batch: Path | None) -> tuple[int, ...]:
    """The shape of one example; empty if it is unknown or no array of numbers."""
    from pruneproof.prune.models.checkpoint import load_tensors

    inputs = None if batch is None else load_tensors(batch, where="--batch").get("inputs")
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
            raise InvalidValueError("--method synflow needs an input shape. Pass e.g. --input-shape 1 3 32 32.")
        iterations = 1 if ":" in scope else SYNFLOW_ITERATIONS  # a pattern has one density
        return prune.synflow(network, input_shape, density=density, scope=scope, iterations=iterations, **patterns)
    if method == "wanda":
        return prune.wanda(network, _batch(batch, method)[0], density=density, scope=scope, **patterns)
    score = {"snip": prune.snip, "grasp": prune.grasp, "grasp_abs": prune.grasp_abs}[method]
    examples = _batch(batch, method)
    return score(network, torch.nn.functional.cross_entropy, examples, density=density, scope=scope, **patterns)


def _batch(batch: Path | None, method: str) -> "tuple[Tensor, Tensor]":
    """Inputs and targets of the file; where the method looks at no targets, the inputs stand for them too."""
    from pruneproof.prune.models.checkpoint import load_tensors

    names = ["inputs"] if method == "wanda" else ["inputs", "targets"]
    remedy = f"Pass --batch FILE with the tensor{'s' * (len(names) > 1)} {' and '.join(names)}."
    if batch is None:
        raise InvalidValueError(f"--method {method} needs a scoring batch, and none was given. {remedy}")
    found = load_tensors(batch, where="--batch")
    if not found.keys() >= set(names):
        raise InvalidValueError(f"--batch {batch} holds {sorted(found)}. {remedy}")
    targets = found[names[-1]]
    if method != "wanda" and (targets.is_floating_point() or targets.is_complex()):
        raise InvalidTypeError(
            f"--batch {batch}: the targets of --method {method} must be numbers of classes, whole ones, since the loss "
            f"is the cross-entropy, got {described(targets)}. For another loss call {method} in Python."
        )
    return found["inputs"], found[names[-1]]
