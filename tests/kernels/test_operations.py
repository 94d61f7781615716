"""Every row of the registry is an operation of torch: its fake agrees with it, and it compiles into a single graph."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pruneproof.errors import PruneproofError
from pruneproof.kernels import Gram, SparseWeight, greedy_select, greedy_select_many, sensitivities, sparse_linear
from pruneproof.kernels.greedy.op import select_from_features, select_from_grams
from pruneproof.kernels.registry import Op, operations
from pruneproof.kernels.sensitivity.op import sensitivity_matrix
from pruneproof.kernels.top_k import select_top_k, top_k_masks
from tests.kernels.cases import CASES


def name(op: Op) -> str:
    return op.name


def tensors(result: Any) -> list[torch.Tensor]:
    """A tensor, a list of them, or a selection, as a list."""
    if isinstance(result, torch.Tensor):
        return [result]
    return result if isinstance(result, list) else [result.indices, result.losses, result.weights]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("op", operations(), ids=name)
def test_compiles_as_one_graph(op: Op) -> None:
    args = CASES[op.name].samples(torch.Generator().manual_seed(0), "cpu", torch.float32)[1]
    function = compiled(op.call)
    for _ in range(2):  # the second call runs the graph that the first one built
        for found, expected in zip(tensors(function(*args)), tensors(op.call(*args)), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("rule", ["average", "line_search", "corrective"])
def test_selection_from_grams_compiles_as_one_graph(rule: str) -> None:
    grams = [Gram.from_features(drawn(7, 9).relu(), drawn(9) + shift) for shift in (0, 1)]
    one = compiled(lambda gram: greedy_select(gram, 3, rule=rule))(grams[0])
    many = compiled(lambda *grams: greedy_select_many(grams, 3, rule=rule))(*grams)
    for found, gram in zip([one, *many], [grams[0], *grams], strict=True):
        expected = greedy_select(gram, 3, rule=rule)
        assert all(map(torch.equal, tensors(found), tensors(expected)))


def test_opcheck() -> None:
    features, target = drawn(7, 9).relu(), drawn(9)
    gram = Gram.from_features(features, target)
    torch.library.opcheck(sensitivity_matrix, (drawn(3, 5), drawn(4, 5)))
    torch.library.opcheck(select_top_k, ([drawn(3, 2), drawn(0), drawn(5)], 4))
    for method in ("gram", "stream", "naive"):
        torch.library.opcheck(select_from_features, (features, target, 3, "average", True, method))
    lists = [gram.matrix] * 2, [gram.correlation, -gram.correlation], [gram.energy] * 2
    for rule in ("average", "line_search", "corrective"):
        torch.library.opcheck(select_from_grams, (*lists, 3, rule, False))


def test_opcheck_refuses_a_fake_of_another_shape() -> None:
    """The false twin."""

    @torch.library.custom_op("pruneproof_test::doubled", mutates_args=())
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @doubled.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:  # pyright: ignore[reportUnusedFunction]
        return x.new_empty(x.shape[0] + 1)

    with pytest.raises(Exception, match="test_faketensor"):
        torch.library.opcheck(doubled, (drawn(3),))


def test_bad_values_are_refused_inside_a_compiled_graph() -> None:
    bad = torch.tensor([[1.0, torch.nan]])
    with pytest.raises(PruneproofError, match="inputs must be finite"):
        compiled(sensitivities)(torch.ones(1, 2), bad)
    with pytest.raises(PruneproofError, match="ordered"):
        compiled(lambda scores: top_k_masks([scores], 1))(bad)
    with pytest.raises(PruneproofError, match="must be finite"):
        compiled(lambda features: greedy_select((features, torch.ones(2)), 1))(bad)


def test_nothing_that_selects_asks_for_a_gradient() -> None:
    weight, inputs = drawn(3, 5).requires_grad_(), drawn(4, 5).requires_grad_()
    selection = greedy_select((weight, inputs[0]), 2)
    results = [sensitivities(weight, inputs), *top_k_masks([weight], 3), *tensors(selection)]
    assert not any(result.requires_grad for result in results)


def test_vmap_of_a_sparse_product() -> None:
    sparse, x, bias = SparseWeight.from_dense(drawn(3, 5), format="csr16"), drawn(4, 6, 5), drawn(6, 3)
    found = torch.func.vmap(lambda a: sparse_linear(a, sparse, bias[0]), in_dims=1)(x)
    torch.testing.assert_close(found, torch.stack([sparse_linear(a, sparse, bias[0]) for a in x.unbind(1)]))
    found = torch.func.vmap(lambda b: sparse_linear(x[:, 0], sparse, b))(bias)
    torch.testing.assert_close(found, torch.stack([sparse_linear(x[:, 0], sparse, b) for b in bias]))


def test_vmap_of_what_runs_slice_by_slice() -> None:
    weights, inputs, target = drawn(3, 2, 5), drawn(4, 5), drawn(5)
    found = torch.func.vmap(sensitivities, in_dims=(1, None))(weights, inputs)
    assert torch.equal(found, torch.stack([sensitivities(w, inputs) for w in weights.unbind(1)]))
    masks = torch.func.vmap(lambda scores: torch.cat(top_k_masks([scores, target], 3)))(inputs)
    assert torch.equal(masks, torch.stack([torch.cat(top_k_masks([row, target], 3)) for row in inputs]))
    paths = torch.func.vmap(lambda features: tensors(greedy_select((features, target), 2)))(weights)
    alone = zip(*(tensors(greedy_select((features, target), 2)) for features in weights), strict=True)
    assert all(map(torch.equal, paths, map(torch.stack, alone)))
