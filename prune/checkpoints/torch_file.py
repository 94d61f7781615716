"""Files of `torch.save`: state dicts, read without executing anything, held in memory."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pruneproof.errors import FileFormatError

from .safetensors_file import KINDS, SafetensorsFile, StoredTensor

_KEYS = ("state_dict", "model_state_dict", "model")


def read_torch_file(path: Path, *, where: str) -> tuple[SafetensorsFile, object]:
    """Read a file of `torch.save` with `weights_only=True`.

    Args:
        path: The file: a state dict, or a dict that holds one as `"state_dict"`, `"model_state_dict"` or `"model"`.
        where: The function or command that the user called, for error messages.

    Returns:
        Its tensors in the order of the state dict, and the whole saved object. They share memory: what is written
        into the tensors' contents can be saved by saving the object.

    Raises:
        FileFormatError: The file is damaged, needs code to be read, or holds no state dict.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a garbled pickle may raise anything
        reason = " ".join(str(error).split())[:150]
        raise FileFormatError(
            f"{where}: {path} is a file of torch.save that cannot be read with weights_only=True ({reason}). It is "
            "damaged, or holds more than tensors, and unpickling that would run its code. Save model.state_dict() "
            "from where you trust it, best in safetensors."
        ) from None
    candidates = [saved, *(saved.get(key) for key in _KEYS)] if isinstance(saved, dict) else []
    states = [state for state in candidates if isinstance(state, dict) and _holds_tensors(state)]
    if not states:
        names = ", ".join(str(name) for name in saved) if isinstance(saved, dict) else ""
        kind = f"a dict with {names[:80] or 'nothing in it'}" if isinstance(saved, dict) else type(saved).__name__
        raise FileFormatError(
            f"{where}: {path} is a file of torch.save that holds {kind}, and no state dict at the top or under "
            f"{', '.join(_KEYS)}. Save model.state_dict()."
        )
    tensors = tuple(_stored(path, states[0]))
    return SafetensorsFile(path, b"", {}, tensors, sum(each.nbytes for each in tensors if each.tied_to is None)), saved


def _holds_tensors(state: Mapping[Any, object]) -> bool:
    return any(isinstance(value, Tensor) for value in state.values())


def _stored(path: Path, state: dict[Any, object]) -> list[StoredTensor]:
    names = {dtype: kind for kind, dtype in KINDS.items()}
    tensors: list[StoredTensor] = []
    known = dict[object, tuple[str, Tensor]]()  # place in memory → name and contiguous values
    for name, value in state.items():
        if not isinstance(value, Tensor):
            continue
        kind, content, tied_to = names.get(value.dtype, str(value.dtype)), None, None
        if value.dtype in names and value.layout == torch.strided:
            place = value.data_ptr(), value.dtype, value.shape, value.stride()
            first, dense = known.setdefault(place, (str(name), value.contiguous()))
            if not value.is_contiguous():
                state[name] = dense
            content = dense.detach().view(-1).view(torch.uint8)
            tied_to = first if first != str(name) and value.numel() else None
        nbytes = math.prod(value.shape) * value.element_size()
        tensors.append(StoredTensor(str(name), kind, tuple(value.shape), path, 0, nbytes, content, tied_to))
    return tensors
