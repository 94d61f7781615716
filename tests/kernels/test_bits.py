"""Packed masks: exact round trips, the documented bit order, zero padding, and refusals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from pruneproof.errors import PruneproofError
from pruneproof.kernels import BitMask, masked_linear
from pruneproof.kernels.bits import block_list, live_blocks, live_fraction
from pruneproof.kernels.masked.op import skip_list


@given(st.lists(st.integers(0, 70), min_size=1, max_size=3), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_round_trip(shape: list[int], seed: int, density: float) -> None:
    shape = [*(min(size, 4) for size in shape[:-1]), shape[-1]]
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density
    packed = BitMask.pack(mask)
    assert torch.equal(packed.unpack(), mask) and packed.shape == tuple(shape)
    assert packed.count == int(mask.sum())
    assert torch.equal(BitMask.pack(mask.transpose(0, -1)).unpack(), mask.transpose(0, -1))


@pytest.mark.parametrize("column", [0, 1, 7, 8, 30, 31, 32, 63, 64])
def test_bit_order_and_zero_padding(column: int) -> None:
    mask = torch.zeros(1, 65, dtype=torch.bool)
    mask[0, column] = True
    words = BitMask.pack(mask).words[0].tolist()
    assert [word & 0xFFFFFFFF for word in words] == [1 << (column % 32) if column // 32 == i else 0 for i in range(3)]
    full = BitMask.pack(torch.ones(2, 65, dtype=torch.bool)).words
    assert full[:, 2].tolist() == [1, 1]  # bits past the last column are zero


def test_costs_a_sixteenth_of_sixteen_bit_weights() -> None:
    weight = torch.zeros(8, 4096, dtype=torch.bfloat16)
    assert BitMask.pack(weight == 0).nbytes * 16 == weight.nbytes


def test_refusals() -> None:
    for mask in (torch.ones(3), torch.tensor(True)):
        with pytest.raises(PruneproofError, match="bool tensor with at least one dimension"):
            BitMask.pack(mask)
    with pytest.raises(PruneproofError, match="int32 words of shape"):
        BitMask(torch.zeros(2, 1, dtype=torch.int32), (2, 33))


def test_skip_list_names_exactly_the_blocks_with_kept_weights() -> None:
    mask = torch.zeros(130, 200, dtype=torch.bool)
    mask[3, 70], mask[129, 199] = True, True
    live = live_blocks(BitMask.pack(mask).words, 64, 64)
    assert live.nonzero().tolist() == [[0, 1], [2, 3]]
    columns, starts = block_list(live)
    assert columns.tolist() == [1, 3] and starts.tolist() == [0, 1, 1, 2]
    assert live_fraction(mask, 64) == 2 / 12
    assert skip_list(BitMask.pack(mask)) is not None
    assert skip_list(BitMask.pack(torch.ones(130, 200, dtype=torch.bool))) is None


def test_a_mask_without_values_has_no_skip_list_and_a_shape() -> None:
    """Tracers other than `torch.compile` run a model on FakeTensors, whose blocks cannot be counted."""
    with FakeTensorMode():
        mask = BitMask.pack(torch.ones(130, 200, dtype=torch.bool))
        assert skip_list(mask) is None
        assert masked_linear(torch.ones(5, 200), torch.ones(130, 200), mask).shape == (5, 130)
