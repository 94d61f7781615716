"""A Gram does not know how it was filled: batches, one shot and the Hadamard form give the same inner products."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruneproof.kernels import Gram, greedy_select

DTYPES = (torch.float32, torch.float64)


def _integers(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Small integers: every sum is exact in float32 and float64, so equality may be demanded."""
    return torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _same(one: Gram, other: Gram) -> bool:
    return (
        one.matrix.equal(other.matrix.to(one.matrix.dtype))
        and one.correlation.equal(other.correlation.to(one.correlation.dtype))
        and (one.energy, one.points) == (other.energy, other.points)
    )


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 300), st.lists(st.integers(1, 9), min_size=1, max_size=5))
@pytest.mark.parametrize("dtype", DTYPES)
def test_streaming_is_one_shot(dtype: torch.dtype, seed: int, neurons: int, batches: list[int]) -> None:
    features, target = (
        _integers(seed, neurons, sum(batches), dtype=dtype),
        _integers(seed + 1, sum(batches), dtype=dtype),
    )
    streamed = Gram.empty(neurons)
    for part, goal in zip(features.split(batches, 1), target.split(batches), strict=True):
        streamed.update(part, goal)
    assert _same(streamed, Gram.from_features(features, target))
    assert streamed.matrix.equal((features @ features.T).double())
    assert streamed.correlation.equal((features @ target).double())


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 200), st.integers(1, 9), st.integers(1, 5))
@pytest.mark.parametrize("dtype", DTYPES)
def test_hadamard_form_is_the_explicit_one(
    dtype: torch.dtype, seed: int, neurons: int, points: int, outputs: int
) -> None:
    hidden, outgoing = _integers(seed, neurons, points, dtype=dtype), _integers(seed + 1, neurons, outputs, dtype=dtype)
    target = _integers(seed + 2, points, outputs, dtype=dtype)
    features = torch.einsum("np,no->npo", hidden, outgoing).flatten(1)
    explicit, factored = Gram.from_features(features, target.flatten()), Gram.from_rank_one(hidden, outgoing, target)
    explicit.points //= outputs  # a rank-one problem counts examples
    assert _same(factored, explicit)
    streamed = Gram.empty(neurons)
    for part, goal in zip(hidden.split(2, 1), target.split(2), strict=True):
        streamed.update_rank_one(part, outgoing, goal)
    assert _same(streamed, factored)


def test_the_matrix_is_exactly_symmetric() -> None:
    features = torch.randn(301, 17, generator=torch.Generator().manual_seed(0))
    matrix = Gram.from_features(features, features[0]).matrix
    assert matrix.equal(matrix.T)


def test_float32_batches_are_summed_in_float64() -> None:
    """10^8 + 1 − 10^8 needs more digits than float32 has; the float32 sum is the false twin."""
    batches = [torch.tensor([[1e4]]), torch.tensor([[1.0]])]
    exact, twin = Gram.empty(1), Gram.empty(1, dtype=torch.float32)
    for batch in batches:
        exact.update(batch, batch[0])
        twin.update(batch, batch[0])
    assert exact.matrix.item() == 1e8 + 1
    assert twin.matrix.item() != 1e8 + 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_summed_in_float32(dtype: torch.dtype) -> None:
    features = torch.full((2, 3000), 16.0, dtype=dtype)  # a square sum of 768000 is beyond float16
    gram = Gram.from_features(features, features[0])
    assert gram.matrix.dtype == torch.float32 and gram.matrix[0, 1].item() == 768_000
    assert greedy_select((features, features[0]), 3).losses.tolist() == [0.0, 0.0, 0.0]
