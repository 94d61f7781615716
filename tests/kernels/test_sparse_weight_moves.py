"""A `SparseWeight` is cast, moved, pickled and saved like a tensor: the values survive."""

import copy
import io
import pickle

import pytest
import torch

from pruneproof.errors import InvalidValueError
from pruneproof.kernels import BitMask, SparseWeight, sparse_linear

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(64, 512, generator=GENERATOR)
MASK = torch.rand(64, 512, generator=GENERATOR) < 0.3
FORMATS = ("dense", "csr16", "bsr64", "bsr128")


def sparse(format: str) -> SparseWeight:
    return SparseWeight.from_dense(WEIGHT, MASK, format=format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_cast_converts_the_values_only(format: str, dtype: torch.dtype) -> None:
    for cast in (sparse(format).to(dtype), sparse(format).to("cpu", dtype), sparse(format).to(dtype=dtype)):
        assert torch.equal(cast.to_dense(), (WEIGHT * MASK).to(dtype))


def test_a_cast_to_what_no_operation_takes_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="float8"):
        sparse("csr16").to(torch.float8_e4m3fn)


@pytest.mark.parametrize("format", FORMATS)
def test_copies_by_pickle_deepcopy_and_safe_loading_are_the_same_weight(format: str) -> None:
    original, file = sparse(format), io.BytesIO()
    torch.save(original, file)
    file.seek(0)
    copies = [pickle.loads(pickle.dumps(original)), copy.deepcopy(original), torch.load(file, weights_only=True)]
    for again in copies:
        assert torch.equal(again.to_dense(), original.to_dense())
        assert [part.dtype for part in again.parts] == [part.dtype for part in original.parts]


def test_a_weight_saved_in_a_format_that_is_gone_is_read() -> None:
    """A dense weight beside the words of its mask, "bits", as 0.2.0 saved it."""
    kept, file = WEIGHT * MASK, io.BytesIO()
    torch.save(SparseWeight("bits", (64, 512), (kept, BitMask.pack(MASK).words), "asked for"), file)
    file.seek(0)
    again = torch.load(file, weights_only=True)
    assert again.format == "dense" and torch.equal(again.to_dense(), kept)
    assert torch.equal(pickle.loads(pickle.dumps(again)).to_dense(), kept)


def test_a_changed_value_is_seen_by_the_next_product() -> None:
    """What a product keeps beside the weight must not outlive the values."""
    weight, x = sparse("csr16"), torch.randn(2, 512, generator=GENERATOR)
    before = sparse_linear(x, weight)
    weight.parts[0].mul_(2)
    torch.testing.assert_close(sparse_linear(x, weight), 2 * before)
