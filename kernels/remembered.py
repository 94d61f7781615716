"""What was made from tensors, remembered for as long as they live and stay as they are.

A dictionary by identity: `torch.utils.weak.WeakTensorKeyDictionary` does the same and takes ten times
as long to look something up, which a small product on a CPU notices.
"""

from collections.abc import Sequence
from typing import Any
from weakref import ref

import torch
from torch import Tensor


class Remembered:
    """One value for each first tensor of a list, forgotten when it dies, or any of them is written to or another one.

    Tensors made under `torch.inference_mode` count no writes, and those of other classes may not either: for
    them nothing is remembered. Writes through `.data` or a NumPy view are not seen.

    Example:
        >>> memory, mask = Remembered(), torch.tensor([True])
        >>> memory.put([mask], 1)
        >>> memory.get([mask]), memory.get([mask.logical_not_()])
        (1, None)
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[list[ref[Tensor]], list[int], Any]] = {}

    def get(self, tensors: Sequence[Tensor]) -> Any:
        """What was put for these tensors, or None."""
        entry = self._entries.get(id(tensors[0]))
        if entry is None:
            return None
        known, versions, value = entry
        for tensor, same, version in zip(tensors, known, versions, strict=True):
            if same() is not tensor or tensor._version != version:
                return None
        return value

    def put(self, tensors: Sequence[Tensor], value: Any) -> None:
        """Remember a value that does not hold the first tensor; instead of an earlier one."""
        if all(type(tensor) in (Tensor, torch.nn.Parameter) and not tensor.is_inference() for tensor in tensors):
            key = id(tensors[0])
            first = ref(tensors[0], lambda _: self._entries.pop(key, None))
            versions = [tensor._version for tensor in tensors]
            self._entries[key] = ([first, *(ref(tensor) for tensor in tensors[1:])], versions, value)
