"""A checkpoint and the model that it belongs to: loading one into the other, and the names under which they meet."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pruneproof.errors import FileFormatError, UnsupportedError
from pruneproof.prune.models.evaluation import brief

from .checkpoint import Checkpoint

_COMPUTED = ("inv_freq", "masked_bias")  # buffers that models used to save, and compute today


def load_model_state(
    model: nn.Module, checkpoint: Checkpoint, *, allow_missing: bool = False, allow_extra: bool = False, where: str
) -> list[str]:
    """Load a checkpoint into a model, whose numbers are converted to the model's dtype.

    A tied weight may be stored under one or all of its names. What the file has beyond the model is harmless where it
    is a buffer (a tensor of integers, one that the model computes itself), and so is an integer buffer that it lacks.

    Args:
        model: The model, which is changed.
        checkpoint: The checkpoint.
        allow_missing: Whether parameters may be missing, which then stay as the model has them.
        allow_extra: Whether the checkpoint may have tensors that the model has not.
        where: The function or command that the user called, for error messages.

    Returns:
        One sentence for each kind of difference that was accepted.

    Raises:
        FileFormatError: Names or shapes differ in another way, or the names of a tied weight hold different numbers.
            The model is as it was.
    """
    state = _read(checkpoint)
    own = {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    _check_shapes(own, state, checkpoint, where)
    _check_tied(own, state, checkpoint, where)
    present = {id(own[name]) for name in own.keys() & state.keys()}
    missing = [name for name, value in own.items() if name not in state and id(value) not in present]
    grave = [name for name in missing if isinstance(own[name], nn.Parameter) or own[name].is_floating_point()]
    harmless = [name for name in missing if name not in grave]
    if grave and not allow_missing:
        raise FileFormatError(
            f"{where}: {checkpoint.path} lacks {_listed(grave)} of the model. Pass the factory of this checkpoint, or "
            "--allow-missing to keep what the factory set."
        )
    computed = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    extra = [name for name in state if name not in own]
    buffers = [name for name in extra if name in computed or _is_buffer(name, state[name])]
    unknown = [name for name in extra if name not in buffers]
    if unknown and not allow_extra:
        raise FileFormatError(
            f"{where}: {checkpoint.path} holds {_listed(unknown)}, which the model has not. Pass the factory of the "
            "whole model, or --allow-extra to leave them as they are."
        )
    try:
        model.load_state_dict({name: value for name, value in state.items() if name in own}, strict=False)
    except RuntimeError as error:
        raise FileFormatError(f"{where}: {checkpoint.path} does not fit the model ({brief(error)}).") from None
    accepted = {
        "not in the file, and left as the factory set them": grave,
        "buffers that are not in the file": harmless,
        "in the file but not in the model, and left alone": unknown,
        "buffers in the file that the model has not": buffers,
    }
    return [f"{what}: {_listed(names)}" for what, names in accepted.items() if names]


def stored_masks(
    model: nn.Module, masks: Mapping[str, Tensor], checkpoint: Checkpoint, *, where: str
) -> dict[str, Tensor]:
    """Give masks the names that the weights have in the checkpoint: all of them where a weight is tied.

    Args:
        model: The model.
        masks: Name of a parameter → mask.
        checkpoint: Its checkpoint.
        where: The function or command that the user called, for error messages.

    Raises:
        UnsupportedError: A weight is not in the checkpoint.
    """
    own = model.state_dict(keep_vars=True)
    stored = {tensor.name for tensor in checkpoint.tensors}
    named = dict[str, Tensor]()
    for name, mask in masks.items():
        names = [other for other in own if own[other] is own.get(name) and other in stored]
        if not names:
            raise UnsupportedError(
                f"{where}: {checkpoint.path} does not hold the weight {name}, so it cannot be pruned there. Exclude "
                "it, or save the model again."
            )
        named |= dict.fromkeys(names, mask)
    return named


def _read(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """All tensors, those of safetensors files mapped from the disk."""
    if checkpoint.saved is None:
        return {name: tensor for file in checkpoint.files for name, tensor in load_file(file.path).items()}
    contents = [(tensor, tensor.content) for tensor in checkpoint.tensors]
    return {
        tensor.name: content.view(tensor.dtype).view(tensor.shape)
        for tensor, content in contents
        if content is not None and tensor.dtype is not None
    }


def _check_shapes(own: dict[str, Tensor], state: dict[str, Tensor], checkpoint: Checkpoint, where: str) -> None:
    differing = [
        f"{name} of shape {tuple(state[name].shape)} where the model has {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if differing:
        raise FileFormatError(
            f"{where}: {checkpoint.path} holds {_listed(differing)}. Pass the factory of this checkpoint."
        )


def _check_tied(own: dict[str, Tensor], state: dict[str, Tensor], checkpoint: Checkpoint, where: str) -> None:
    """Refuse if one weight of the model is stored twice with different numbers."""
    names = dict[int, str]()
    for name in own:
        first = names.setdefault(id(own[name]), name) if name in state else name
        if first != name and not torch.equal(state[first], state[name]):
            raise FileFormatError(
                f"{where}: {checkpoint.path} holds different numbers for {first} and {name}, which are one weight in "
                "the model. Pass the factory of a model that does not tie them."
            )


def _is_buffer(name: str, tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex()) or name.split(".")[-1] in _COMPUTED


def _listed(names: Sequence[str] | Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(every[:5])
    return f"{shown} and {len(every) - 5} more" if len(every) > 5 else shown
