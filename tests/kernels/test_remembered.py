"""What was made from tensors is forgotten when one of them changes, and does not outlive the first."""

import gc
from weakref import ref

import pytest
import torch
from torch import Tensor

from pruneproof.kernels.remembered import Remembered


@pytest.mark.parametrize("written", [0, 1])
def test_a_write_into_any_of_the_tensors_is_seen(written: int) -> None:
    memory, tensors = Remembered(), [torch.ones(2), torch.ones(2)]
    memory.put(tensors, "made")
    assert memory.get(tensors) == "made"
    tensors[written].add_(1)
    assert memory.get(tensors) is None


@pytest.mark.parametrize("replaced", [0, 1])
def test_another_tensor_in_the_place_of_one_is_seen(replaced: int) -> None:
    memory, tensors = Remembered(), [torch.ones(2), torch.ones(2)]
    memory.put(tensors, "made")
    assert memory.get([tensor.clone() if i == replaced else tensor for i, tensor in enumerate(tensors)]) is None


def test_what_was_made_dies_with_the_tensor() -> None:
    memory, tensor, made = Remembered(), torch.ones(2), torch.zeros(2)
    memory.put([tensor], made)
    value = ref(made)
    del made
    gc.collect()
    assert value() is memory.get([tensor])
    del tensor
    gc.collect()
    assert value() is None


def test_a_later_tensor_at_the_same_address_is_another_one() -> None:
    memory = Remembered()
    for made in range(100):  # CPython uses the address of the last one again
        tensor = torch.ones(2)
        assert memory.get([tensor]) is None
        memory.put([tensor], made)


class _Counting(Tensor):
    """A tensor of another class."""


@pytest.mark.parametrize("position", [0, 1])
def test_tensors_whose_writes_may_not_be_counted_are_not_remembered(position: int) -> None:
    with torch.inference_mode():
        uncounted = torch.ones(2)
    for odd in (uncounted, torch.ones(2).as_subclass(_Counting)):
        tensors = [torch.ones(2), torch.ones(2)]
        tensors[position] = odd
        memory = Remembered()
        memory.put(tensors, "made")
        assert memory.get(tensors) is None
