"""What does not depend on the layout of a tensor in memory: its extremes, and which entries are the largest."""

import math

import pytest
import torch

from pruneproof.kernels import top_k_masks
from pruneproof.kernels.memory_order import extremes, in_memory_order

NUMBERS = torch.randn(30, 40, 9, 9, generator=torch.Generator().manual_seed(0)).round(decimals=2)  # with many ties
LAYOUTS = {
    "contiguous": NUMBERS,
    "channels last": NUMBERS.contiguous(memory_format=torch.channels_last),
    "transposed": NUMBERS.permute(3, 1, 0, 2),
    "every other": NUMBERS[:, ::2, 1:],
    "expanded": NUMBERS[:, :1].expand(-1, 40, -1, -1),
    "one number": NUMBERS[0, 0, 0, 0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_extremes_and_choice_do_not_depend_on_the_layout(layout: str) -> None:
    tensor = LAYOUTS[layout]
    plain = tensor.contiguous().flatten()
    assert [float(value) for value in extremes(tensor)] == [plain.min(), plain.max()]
    k = len(plain) // 3
    (mask,), (expected,) = top_k_masks([tensor], k), top_k_masks([plain], k)
    assert torch.equal(mask.flatten(), expected) and mask.shape == tensor.shape and mask.is_contiguous()


def test_one_entry_that_is_not_a_number_makes_both_extremes_nan() -> None:
    tensor = NUMBERS.clone().contiguous(memory_format=torch.channels_last)
    tensor[1, 2, 3, 4] = math.nan
    assert all(value.isnan() for value in extremes(tensor))


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "transposed"])
def test_dense_entries_are_seen_without_a_copy(layout: str) -> None:
    ordered = in_memory_order(LAYOUTS[layout])
    assert ordered.is_contiguous() and ordered.reshape(-1).data_ptr() == LAYOUTS[layout].data_ptr()
