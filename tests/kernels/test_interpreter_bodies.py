"""Triton bodies beyond the registry's samples: offsets past 2³¹, greedy bodies, many problems in one launch."""

import mmap
from dataclasses import replace
from typing import Any

import pytest
import torch

from pruneproof.kernels import Gram, greedy_select, greedy_select_many
from pruneproof.kernels.greedy.rules import Path, average_path
from pruneproof.kernels.greedy.screening import FeatureProducts

pytestmark = pytest.mark.interpreter

FAR = 2**30  # a row stride; the third row then lies beyond 2³¹ elements
NORESERVE = 0x4000  # MAP_NORESERVE of Linux, which Python names from 3.13 on


def far_rows(dtype: torch.dtype, rows: torch.Tensor) -> torch.Tensor:
    """The same rows, 2³⁰ elements apart, in reserved address space of which only the pages touched exist."""
    size = (FAR * (len(rows) - 1) + rows.shape[1]) * dtype.itemsize
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE)
    far = torch.frombuffer(memory, dtype=dtype).as_strided(tuple(rows.shape), (FAR, 1))
    return far.copy_(rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_offsets_past_two_to_the_thirty_one(dtype: torch.dtype) -> None:
    from pruneproof.kernels.masked.launch import apply_mask, fused_forward, weight_gradient

    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(-2, 3, (3, 40), generator=generator).to(dtype)
    words = torch.full((3, 2), -1, dtype=torch.int32)
    words[:, 1] = 0xFF
    far = far_rows(dtype, rows)
    x = torch.randint(-2, 3, (2, 40), generator=generator).to(dtype)
    assert torch.equal(fused_forward(x, far, words, None, None, None, "ieee"), x @ rows.T)
    assert torch.equal(fused_forward(far, x, words[:2], None, None, None, "ieee"), rows @ x.T)
    assert torch.equal(apply_mask(far, words), rows)
    assert torch.equal(weight_gradient(rows[:, :2].contiguous(), far, words[:2], "ieee"), rows[:, :2].T @ rows)


@pytest.mark.parametrize("replacement", [True, False])
def test_screening_reads_past_two_to_the_thirty_one(replacement: bool) -> None:
    from pruneproof.kernels.greedy.launch import ScreenedSteps
    from pruneproof.kernels.greedy.screening import Screen, row_energies

    rows = torch.randint(-9, 10, (3, 70), generator=torch.Generator().manual_seed(1)).float()
    target = rows.mean(0).double()
    screen = Screen.of(rows)
    expected = average_path(FeatureProducts(rows.double(), target), 3, replacement)
    far = replace(screen, copy=far_rows(torch.int8, screen.copy))
    path = ScreenedSteps(far_rows(torch.float32, rows), far, row_energies(rows) / 2, target, 1e-9, 3, replacement)
    path.run()
    assert path.chosen.tolist() == expected.indices
    torch.testing.assert_close(path.losses, torch.tensor(expected.losses, dtype=torch.float64), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_problems_in_one_launch_take_the_paths_of_the_reference(dtype: torch.dtype, replacement: bool) -> None:
    from pruneproof.kernels.greedy.launch import persistent_paths

    generator = torch.Generator().manual_seed(2)
    features = torch.randn(3, 37, 29, generator=generator, dtype=dtype).relu()
    features[:, 20:] = features[:, :17]  # true ties
    grams = [Gram.from_features(f, torch.rand(29, generator=generator, dtype=dtype)) for f in features]
    for gram in grams:  # a difference of rounding only is a tie too, though the higher index now scores lower
        gram.correlation[20:] *= 1 + 4 * torch.finfo(torch.float64).eps
    for path, gram in zip(persistent_paths(grams, 9, replacement), grams, strict=True):
        expected = average_path(gram, 9, replacement)
        assert path.indices == expected.indices
        assert path.losses == expected.losses  # the same float64 operations, so the same bits
        assert torch.equal(path.weights, expected.weights)


def test_the_public_function_walks_grams_of_one_size_in_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers, targets that share a matrix, and a matrix stored by columns, in one list with another size."""
    from pruneproof.kernels.greedy import launch as greedy_persistent

    generator = torch.Generator().manual_seed(6)
    features, targets = torch.randn(2, 17, 33, generator=generator).relu(), torch.rand(3, 33, generator=generator)
    first, second = (Gram.from_features(f, y) for f, y in zip(features, targets, strict=False))
    shared = [Gram(first.matrix, features[0] @ y, float(y.double() @ y.double()), 33) for y in targets]
    by_columns = Gram(second.matrix.T, second.correlation, second.energy, 33)
    lists = ([first, second], shared, [by_columns], [first, Gram.from_features(features[0, :5], targets[0])])
    expected = [[greedy_select(gram, 4) for gram in grams] for grams in lists]
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "triton")
    launches: list[int] = []
    paths = greedy_persistent.persistent_paths

    def counting(grams: list[Gram], steps: int, replacement: bool) -> list[Path]:
        launches.append(len(grams))
        return paths(grams, steps, replacement)

    monkeypatch.setattr(greedy_persistent, "persistent_paths", counting)
    for grams, selections in zip(lists, expected, strict=True):
        for found, alone in zip(greedy_select_many(grams, 4), selections, strict=True):
            assert torch.equal(found.indices, alone.indices) and torch.equal(found.losses, alone.losses)
    assert launches == [2, 3, 1, 1, 1]


def nearly_tied(generator: torch.Generator) -> torch.Tensor:
    """Differences far below what a low-precision copy resolves, and some true ties."""
    plain = torch.randn(33, 65, generator=generator)
    features = plain[:1].relu() + 1e-5 * plain
    features[20:] = features[:13]
    return features


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("kind", ["int8", "bfloat16"])
@pytest.mark.parametrize("tied", [True, False])
def test_screening_bodies_take_the_path_of_float64(kind: str, replacement: bool, tied: bool) -> None:
    from pruneproof.kernels.greedy.launch import screened_path

    generator = torch.Generator().manual_seed(3)
    features = nearly_tied(generator) if tied else torch.randn(33, 65, generator=generator).relu()
    target = torch.rand(65, generator=generator)
    expected = average_path(FeatureProducts(features.double(), target.double()), 6, replacement)
    found = screened_path(FeatureProducts(features, target), target, 6, replacement, kind)
    assert found.indices == expected.indices
    torch.testing.assert_close(found.losses, expected.losses, rtol=1e-10, atol=1e-13)  # sums of 65 squares in float64


def test_screening_bodies_whose_intervals_are_points_take_another_path() -> None:
    """The negative control: without the widths of the bound, the winner among near ties is screened out."""
    from pruneproof.kernels.greedy.launch import ScreenedSteps
    from pruneproof.kernels.greedy.screening import Screen, row_energies

    generator = torch.Generator().manual_seed(1)
    plain = torch.randn(60, 65, generator=generator)
    features, target = plain[:1].relu() + 1e-5 * plain, torch.rand(65, generator=generator).double()
    screen, half = Screen.of(features), row_energies(features) / 2
    paths: list[list[int]] = []
    for screened in (screen, replace(screen, error=0 * screen.error, length=0 * screen.length)):
        path = ScreenedSteps(features, screened, half, target, 0.0, 8, True)
        path.run()
        paths.append(path.chosen.tolist())
    assert paths[0] == average_path(FeatureProducts(features.double(), target), 8, True).indices
    assert paths[1] != paths[0]


@pytest.mark.parametrize("method", ["gram", "stream"])
def test_the_public_function_reaches_the_bodies(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    generator = torch.Generator().manual_seed(4)
    problem = (torch.randn(17, 33, generator=generator).relu(), torch.rand(33, generator=generator))
    expected = greedy_select(problem, 4, method="naive")
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "triton")
    found = greedy_select(problem, 4, method=method)
    assert torch.equal(found.indices, expected.indices) and torch.equal(found.weights, expected.weights)


def test_keys_keep_the_order_of_floats() -> None:
    """−inf < −1 < −0 = 0 < 5e-324 < 1 < inf, as integers, through the kernel's own map."""
    import triton.language as tl

    from pruneproof.kernels.greedy import triton_kernels as greedy_triton

    @greedy_triton.jit
    def body(x_ptr: Any, out_ptr: Any, key: tl.constexpr) -> None:
        i = tl.arange(0, 8)
        tl.store(out_ptr + i, key(tl.load(x_ptr + i)))

    x = torch.tensor([-torch.inf, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, torch.inf], dtype=torch.float64)
    out = torch.empty(8, dtype=torch.int64)
    body[(1,)](x, out, greedy_triton.ordered_key)
    keys = out.tolist()
    assert keys[3] == keys[4] and keys[:4] + keys[5:] == sorted(set(keys))
