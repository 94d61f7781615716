"""Every operation on a GPU: within its bound of float64, exact on whole numbers, repeatable, bad input refused.

The selection for `compute-sanitizer --tool memcheck|racecheck python -m pytest -m gpu tests/test_kernels_gpu.py`, with
PYTORCH_NO_CUDA_MEMORY_CACHING=1 so that overruns are not hidden by the allocator.
"""

from typing import Any

import pytest
import torch

from pruneproof.errors import PruneproofError
from pruneproof.kernels import BitMask, Gram, greedy_select, greedy_select_many, masked_linear
from pruneproof.kernels.registry import Op, operations
from tests.kernels import cases
from tests.kernels.cases import CASES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the interpreter tests the bodies"),
]
PAIRS = [(op, dtype) for op in operations() for dtype in op.dtypes]


def name(value: object) -> str:
    """A test id: the operation's name, or the dtype."""
    return value.name if isinstance(value, Op) else str(value).removeprefix("torch.")


def run(op: Op, args: tuple[Any, ...]) -> torch.Tensor:
    result = op.call(*args)
    if isinstance(result, list):
        return torch.cat([part.flatten() for part in result])
    return result if isinstance(result, torch.Tensor) else result.indices


@pytest.mark.parametrize(("op", "dtype"), PAIRS, ids=name)
def test_within_the_bound_of_float64_and_repeatable(op: Op, dtype: torch.dtype) -> None:
    for args in CASES[op.name].samples(torch.Generator().manual_seed(0), "cuda", dtype):
        expected = CASES[op.name].reference(*args).double()
        found = run(op, args)
        assert torch.all((found.double() - expected).abs() <= CASES[op.name].bound(args, expected, dtype))
        assert torch.equal(found, run(op, args))


@pytest.mark.parametrize(("op", "dtype"), [case for case in PAIRS if "linear" in case[0].name], ids=name)
def test_whole_numbers_come_out_exactly(op: Op, dtype: torch.dtype) -> None:
    for args in CASES[op.name].samples(torch.Generator().manual_seed(1), "cuda", dtype, True):
        assert torch.equal(run(op, args), CASES[op.name].reference(*args).to(dtype))


@pytest.mark.parametrize("op", operations(), ids=name)
def test_bad_input_is_refused(op: Op) -> None:
    for args, message in CASES[op.name].refusals("cuda"):
        with pytest.raises(PruneproofError, match=message):
            op.call(*args)


@pytest.mark.parametrize("tokens", [3, 70, 330])
def test_gradients_of_whole_numbers_are_exact(tokens: int) -> None:
    generator = torch.Generator().manual_seed(2)
    x, weight, dy = (cases.numbers(generator, *s, integers=True) for s in ((tokens, 200), (130, 200), (tokens, 130)))
    mask = (torch.rand(130, 200, generator=generator) < 0.05).cuda()
    x, weight, dy = (t.cuda().half() for t in (x, weight, dy))
    y = masked_linear(x.requires_grad_(), weight.requires_grad_(), BitMask.pack(mask))
    dx, dw = torch.autograd.grad(y, (x, weight), dy)
    clean = torch.where(mask, weight, 0).detach().double()
    assert torch.equal(dx, (dy.double() @ clean).half())
    assert torch.equal(dw, torch.where(mask, dy.double().T @ x.detach().double(), 0).half())


@pytest.mark.parametrize("method", ["gram", "stream"])
@pytest.mark.parametrize("replacement", [True, False])
def test_greedy_takes_the_path_of_the_cpu(method: str, replacement: bool) -> None:
    """Many programs wait for each other here, which the interpreter cannot show."""
    generator = torch.Generator().manual_seed(3)
    features, target = torch.randn(3000, 700, generator=generator).relu().double(), torch.rand(700, generator=generator)
    expected = greedy_select((features, target.double()), 50, replacement=replacement, method="gram")
    pair = (features.cuda(), target.double().cuda())
    found = greedy_select(pair, 50, replacement=replacement, method=method)
    assert found.indices.tolist() == expected.indices.tolist()


@pytest.mark.parametrize("problems", [3, 300])  # several programs a problem; more problems than multiprocessors
def test_many_problems_in_one_launch_take_the_paths_of_the_cpu(problems: int) -> None:
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(600, 50, generator=generator).relu().double()
    targets = torch.rand(problems, 50, generator=generator).double()
    first = Gram.from_features(features, targets[0])
    grams = [Gram(first.matrix, features @ y, float(y @ y), 50) for y in targets]
    matrix = first.matrix.cuda()
    moved = [Gram(matrix, gram.correlation.cuda(), gram.energy, 50) for gram in grams]
    for found, expected in zip(greedy_select_many(moved, 9), greedy_select_many(grams, 9), strict=True):
        assert found.indices.tolist() == expected.indices.tolist()
        assert found.losses.tolist() == expected.losses.tolist()
