"""`top_k_masks` keeps exactly k entries, the largest, ties to the lowest index, for all values, dtypes and layouts."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pruneproof import PruneproofError
from pruneproof.kernels import top_k
from pruneproof.kernels.top_k import kth_by_bracket, top_k_masks

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# signed zeros, denormals, infinities and repeated values: what an order-preserving key can get wrong
AWKWARD = [0.0, -0.0, 1.0, -1.0, 2.0, 1e-40, -1e-40, 3.0e38, math.inf, -math.inf, 1.0000001, 0.1]


@pytest.fixture(autouse=True, scope="module", params=["array", "bracket", "radix"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every law holds for few entries, in one array, and for many, within a bracket or by radix."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "_SMALL", 1 << 20 if request.param == "array" else 0)
        patch.setattr(top_k, "_TINY", 8)
        if request.param == "radix":
            patch.setattr(top_k, "kth_by_bracket", lambda *_: None)
        yield


def by_sorting(tensors: list[Tensor], k: int) -> list[Tensor]:
    """The definition: a stable descending sort of everything in one list of Python floats."""
    values = [value for tensor in tensors for value in tensor.reshape(-1).tolist()]
    kept = set(sorted(range(len(values)), key=lambda index: -values[index])[:k])
    flags = torch.tensor([index in kept for index in range(len(values))])
    parts = flags.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Tensor], int]:
    dtype = draw(st.sampled_from(DTYPES))
    values = st.sampled_from(AWKWARD) | st.floats(allow_nan=False, width=32)
    lists = draw(st.lists(st.lists(values, max_size=9), min_size=1, max_size=4))
    tensors = [torch.tensor(each, dtype=torch.float64).to(dtype) for each in lists]
    return tensors, draw(st.integers(0, sum(map(len, lists))))


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(map(torch.equal, left, right))


@given(problems())
def test_equals_a_stable_sort(problem: tuple[list[Tensor], int]) -> None:
    tensors, k = problem
    assert same(top_k_masks(tensors, k), by_sorting(tensors, k))


@given(problems())
def test_chunks_do_not_show(problem: tuple[list[Tensor], int]) -> None:
    tensors, k = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "_CHUNK", 2)
        assert same(top_k_masks(tensors, k), by_sorting(tensors, k))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_counts(dtype: torch.dtype) -> None:
    """Neighbouring floats differ in the lowest bit, which only the last pass sees."""
    one = torch.ones(1, dtype=dtype)
    above = torch.nextafter(one, one + 1)
    masks = top_k_masks([torch.cat([one, above, one, above, -above, -one])], 2)
    assert masks[0].tolist() == [False, True, False, True, False, False]
    negative = top_k_masks([torch.cat([-above, -one])], 1)
    assert negative[0].tolist() == [False, True]


@given(st.lists(st.lists(st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]), min_size=3), min_size=1), st.data())
def test_digits_of_all_zeros_or_ones_count_like_others(parts: list[list[int]], data: st.DataObject) -> None:
    """The histograms' first and last counters, in every digit but the leading one."""
    halves = [[0x3FF0, *part[:3]] for part in parts]
    scores = torch.tensor([sum(half << (48 - 16 * i) for i, half in enumerate(four)) for four in halves])
    tensors = [scores.view(torch.float64)]
    k = data.draw(st.integers(0, len(parts)))
    assert same(top_k_masks(tensors, k), by_sorting(tensors, k))


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_scores_equal_numpy_partition(dtype: torch.dtype) -> None:
    """Many more entries than counters, on all sixteen-bit digits: the k-th largest agrees with another algorithm."""
    scores = torch.randn(70_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    for k in (1, 2, 31_234, 69_999):
        mask = top_k_masks([scores[:1000], scores[1000:]], k)
        assert sum(int(part.sum()) for part in mask) == k
        kth = np.partition(scores.double().numpy(), 70_000 - k)[70_000 - k]
        assert scores[torch.cat(mask)].min().item() == kth
        assert scores[~torch.cat(mask)].max().item() <= kth


def test_constant_scores_keep_the_first() -> None:
    masks = top_k_masks([torch.ones(3, 2), torch.ones(5)], 7)
    assert masks[0].all() and masks[1].tolist() == [True, False, False, False, False]


def test_ties_cross_chunks_and_tensors() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "_CHUNK", 3)
        masks = top_k_masks([torch.tensor([5.0, 1, 1, 1, 1, 1, 1]), torch.tensor([1.0, 7, 1])], 7)
    assert torch.cat(masks).tolist() == [True, True, True, True, True, True, False, False, True, False]


def test_minus_zero_equals_zero() -> None:
    assert top_k_masks([torch.tensor([-0.0, 0.0, -0.0])], 2)[0].tolist() == [True, True, False]


def test_mixed_dtypes_compare_in_the_wider_one() -> None:
    """Rounded to half precision the three would tie, and the lowest index would win."""
    half, single = torch.tensor([1.0], dtype=torch.float16), torch.tensor([1.0001, 0.9999])
    assert [mask.tolist() for mask in top_k_masks([half, single], 1)] == [[False], [True, False]]
    assert [mask.tolist() for mask in top_k_masks([half, single], 2)] == [[True], [True, False]]
    assert [mask.tolist() for mask in top_k_masks([single.flip(0), half], 1)] == [[False, True], [False]]


def test_a_transposed_tensor_is_read_in_row_major_order() -> None:
    scores = torch.ones(2, 3).t()
    assert top_k_masks([scores], 3)[0].tolist() == [[True, True], [True, False], [False, False]]


def test_scores_are_not_changed_and_may_require_grad() -> None:
    scores = torch.tensor([2.0, -0.0, 1.0], requires_grad=True)
    bits = scores.detach().clone().view(torch.int32)
    (mask,) = top_k_masks([scores], 2)
    assert not mask.requires_grad and torch.equal(scores.detach().view(torch.int32), bits)


def test_empty_tensors_and_no_tensors() -> None:
    assert top_k_masks([], 0) == []
    masks = top_k_masks([torch.empty(0, 4), torch.tensor([1.0]), torch.empty(0)], 1)
    assert [tuple(mask.shape) for mask in masks] == [(0, 4), (1,), (0,)] and masks[1].item()


def test_none_kept_is_checked_like_any_other() -> None:
    assert top_k_masks([torch.ones(2, 2)], 0)[0].tolist() == [[False, False], [False, False]]
    with pytest.raises(PruneproofError, match="NaN"):
        top_k_masks([torch.tensor([math.nan])], 0)


@pytest.mark.parametrize("k", [-1, 4, 1.0, True, math.nan, "2"])
def test_refuses_a_k_out_of_range(k: object) -> None:
    with pytest.raises(PruneproofError, match="k must be a whole number from 0 to 3"):
        top_k_masks([torch.ones(3)], k)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("position", [0, 3, 6])
@pytest.mark.parametrize("dtype", DTYPES)
def test_refuses_nan_anywhere(dtype: torch.dtype, position: int) -> None:
    scores = torch.ones(7, dtype=dtype)
    scores[position] = -math.nan
    with pytest.raises(PruneproofError, match="NaN"):
        top_k_masks([torch.ones(2, dtype=dtype), scores], 3)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_refuses_other_dtypes(dtype: torch.dtype) -> None:
    with pytest.raises(PruneproofError, match="float16, bfloat16, float32, float64"):
        top_k_masks([torch.ones(2), torch.ones(2, dtype=dtype)], 1)


@given(problems(), st.sampled_from(DTYPES))
def test_mixed_dtypes_equal_a_stable_sort(problem: tuple[list[Tensor], int], dtype: torch.dtype) -> None:
    tensors, k = problem
    mixed = [tensors[0].to(dtype), *tensors[1:]]
    assert same(top_k_masks(mixed, k), by_sorting(mixed, k))


def test_masks_of_one_call_share_no_memory() -> None:
    """A view would be saved with all the others."""
    first, second = top_k_masks([torch.ones(2), torch.ones(3)], 4)
    assert first.untyped_storage().nbytes() == 2 and second.untyped_storage().nbytes() == 3


def drawn(kind: str, entries: int) -> Tensor:
    scores = torch.randn(entries, generator=torch.Generator().manual_seed(0))
    return {"normal": scores, "sorted": scores.sort().values, "few values": scores.round(), "zeros": scores.relu(),
            "periodic": scores[:97].repeat(entries // 97 + 1)[:entries], "heavy": scores.tan(),
            "constant": torch.ones(entries)}[kind]  # fmt: skip


KINDS = ("normal", "sorted", "few values", "zeros", "periodic", "heavy", "constant")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.5, 0.97, 1.0])
def test_a_bracket_gives_the_threshold_or_nothing(kind: str, fraction: float) -> None:
    scores = drawn(kind, 50_021)
    k = max(1, round(fraction * 50_021))
    found = kth_by_bracket(scores.split(20_000), k, 50_021, torch.float32)
    assert found is None or found == top_k.kth_by_radix([scores], k, torch.float32)


def test_a_bracket_holds_the_threshold_of_scores_in_random_order() -> None:
    """If it always gave up, nothing would be wrong but the time."""
    for kind in ("normal", "heavy", "zeros"):
        for k in (100, 5000, 20_000, 35_000):  # of "zeros" the last is equal to half of all scores
            assert kth_by_bracket([drawn(kind, 50_021)], k, 50_021, torch.float32) is not None


def test_a_bracket_that_misses_is_noticed() -> None:
    """A sample that sees only small scores puts the bracket below the threshold."""
    scores = torch.ones(64_000).index_fill_(0, torch.arange(0, 64_000, 40), 0.0)  # every 40th, as the sample takes
    scores = scores * torch.linspace(1, 2, 64_000)
    assert kth_by_bracket([scores], 6400, 64_000, torch.float32) is None
    assert int(top_k_masks([scores], 6400)[0].sum()) == 6400


def test_few_scores_need_no_bracket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_k, "_SMALL", 8)
    monkeypatch.setattr(top_k, "_within_bracket", None)
    assert top_k_masks([torch.tensor([1.0, 2.0])], 1)[0].tolist() == [False, True]


def test_a_wrong_type_is_named() -> None:
    with pytest.raises(PruneproofError, match=r"a list of tensors, got None \(NoneType\)"):
        top_k_masks(None, 1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(PruneproofError, match=r"got '3' \(str\)"):
        top_k_masks([torch.ones(3)], "3")  # pyright: ignore[reportArgumentType]
