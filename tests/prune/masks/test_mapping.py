"""`Masks` is an immutable mapping with exact counts and a Boolean algebra; `apply_` zeroes exactly or does nothing."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pruneproof import PruneproofError
from pruneproof.prune import Masks, prunable


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Masks, Masks]:
    shapes = draw(st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=3))
    return tuple(  # pyright: ignore[reportReturnType]
        Masks({f"w{i}": torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=torch.bool).view(s)
               for i, (s, n) in enumerate((s, math.prod(s)) for s in shapes)})
        for _ in range(2)
    )  # fmt: skip


@given(pairs())
def test_counts_are_those_of_the_tensors(pair: tuple[Masks, Masks]) -> None:
    masks, _ = pair
    listed = {name: sum(mask.reshape(-1).tolist()) for name, mask in masks.items()}
    assert masks.counts == listed and masks.count == sum(listed.values())
    assert masks.total == sum(mask.numel() for mask in masks.values())
    assert masks.density == masks.count / masks.total


@given(pairs())
def test_and_or_are_entry_by_entry(pair: tuple[Masks, Masks]) -> None:
    left, right = pair
    for name in left:
        assert torch.equal((left & right)[name], left[name] & right[name])
        assert torch.equal((left | right)[name], left[name] | right[name])
    assert (left & left) == left == (left | left)
    assert (left & right).count + (left | right).count == left.count + right.count


@given(pairs())
def test_equality_is_of_names_shapes_and_entries(pair: tuple[Masks, Masks]) -> None:
    left, right = pair
    assert (left == right) == all(torch.equal(left[name], right[name]) for name in left)
    assert left == Masks(dict(reversed(list(left.items()))))
    larger = Masks({**left, "more": torch.tensor([True])})
    assert left != larger and larger != left
    assert left != dict(left) and (left == 3) is False


def test_equality_sees_the_shape() -> None:
    assert Masks({"w": torch.ones(2, 3, dtype=torch.bool)}) != Masks({"w": torch.ones(3, 2, dtype=torch.bool)})


def test_nothing_handed_in_or_out_can_change_it() -> None:
    tensor = torch.tensor([True, False])
    masks = Masks({"w": tensor})
    tensor[0] = False
    masks["w"][0] = False
    next(iter(masks.values()))[0] = False
    assert masks.counts == {"w": 1}
    with pytest.raises(TypeError):
        masks["w"] = tensor  # pyright: ignore[reportIndexIssue]
    with pytest.raises(AttributeError):
        masks.anything = 1  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        hash(masks)
    assert isinstance(masks, Mapping) and list(masks) == ["w"] and len(masks) == 1


def test_copies_are_equal() -> None:
    masks = Masks({"w": torch.tensor([True, False])})
    assert copy.deepcopy(masks) == masks


def test_combining_masks_of_two_models_is_refused() -> None:
    masks = Masks({"w": torch.ones(2, dtype=torch.bool)})
    others = [{"v": torch.ones(2, dtype=torch.bool)}, {"w": torch.ones(2, 1, dtype=torch.bool)}]
    for other in map(Masks, others):
        with pytest.raises(PruneproofError, match="masks of other parameters"):
            _ = masks & other
        with pytest.raises(PruneproofError, match="masks of other parameters"):
            _ = masks | other


@pytest.mark.parametrize("bad", [torch.ones(2), torch.ones(2, dtype=torch.uint8), [True, False], None])
def test_refuses_what_is_not_bool(bad: object) -> None:
    with pytest.raises(PruneproofError, match="bool tensors by parameter name"):
        Masks({"w": bad})  # pyright: ignore[reportArgumentType]


def test_refuses_names_that_are_not_text_and_no_weights() -> None:
    with pytest.raises(PruneproofError, match="bool tensors by parameter name"):
        Masks({3: torch.tensor([True])})  # pyright: ignore[reportArgumentType]
    for nothing in ({}, {"w": torch.empty(0, dtype=torch.bool)}):
        with pytest.raises(PruneproofError, match="no weight to mask"):
            Masks(nothing)


def test_apply_zeroes_pruned_weights_alone() -> None:
    layer = nn.Linear(4, 1)
    special = torch.tensor([[math.nan, math.inf, 3.0, -math.inf]])
    layer.weight.data.copy_(special)
    assert Masks({"weight": torch.tensor([[False, False, True, True]])}).apply_(layer) is layer
    assert layer.weight.tolist() == [[0.0, 0.0, 3.0, -math.inf]]
    assert torch.signbit(layer.weight).tolist() == [[False, False, False, True]]
    assert layer.weight.requires_grad


def unchanged_after_refusal(model: nn.Module, masks: Masks, message: str) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for method in (masks.apply_, masks.enforce):
        with pytest.raises(PruneproofError, match=message):
            method(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model(torch.ones(1, 3)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.count_nonzero() for parameter in model.parameters())


def test_masks_of_another_model_are_refused_untouched() -> None:
    first = {"0.weight": torch.zeros(2, 3, dtype=torch.bool)}
    cases: list[tuple[dict[str, Tensor], str]] = [
        ({"1.weight": torch.zeros(2, 2, dtype=torch.bool)}, "no parameter '1.weight'. Did you mean 0.weight?"),
        (
            {"0.weight": torch.zeros(3, 2, dtype=torch.bool)},
            r"mask of 0.weight has shape \(3, 2\), but the parameter has \(2, 3\)",
        ),
        ({"0": torch.zeros(2, 3, dtype=torch.bool)}, "names look like 0.weight"),
    ]
    for wrong, message in cases:
        model = nn.Sequential(nn.Linear(3, 2))
        unchanged_after_refusal(model, Masks({**first, **wrong}), message)


def test_a_tied_weight_goes_by_one_name() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    mask = torch.eye(3, dtype=torch.bool)
    unchanged_after_refusal(model, Masks({"0.weight": mask, "1.weight": mask}), "mean the same tied weight")
    Masks({"1.weight": mask}).apply_(model)
    assert torch.equal(first.weight != 0, mask)


def test_summary_has_a_line_per_parameter() -> None:
    lines = Masks({"a": torch.tensor([[True, False]]), "b": torch.empty(0, 2, dtype=torch.bool)}).summary().splitlines()
    assert lines[1].split() == ["a", "(1,", "2)", "1", "2", "50.00%"]
    assert lines[2].split() == ["b", "(0,", "2)", "0", "0", "-"]
    assert lines[3].split() == ["all", "1", "2", "50.00%"]
    assert len({len(line) for line in lines}) == 1


class TestPrunable:
    def test_layers_by_kind(self) -> None:
        model = nn.ModuleDict({
            "conv": nn.Conv2d(2, 4, 3, groups=2), "transposed": nn.ConvTranspose1d(2, 2, 3), "norm": nn.BatchNorm2d(4),
            "embedding": nn.Embedding(5, 4), "layer_norm": nn.LayerNorm(4), "attention": nn.MultiheadAttention(4, 2),
            "unequal": nn.MultiheadAttention(4, 2, kdim=3, vdim=5), "linear": nn.Linear(4, 2), "prelu": nn.PReLU(),
        })  # fmt: skip
        assert list(prunable(model)) == [
            "conv.weight", "transposed.weight", "attention.in_proj_weight", "attention.out_proj.weight",
            "unequal.q_proj_weight", "unequal.k_proj_weight", "unequal.v_proj_weight", "unequal.out_proj.weight",
            "linear.weight",
        ]  # fmt: skip
        assert prunable(model)["linear.weight"] is model["linear"].weight

    def test_subclasses_and_the_other_name_of_a_linear_layer(self) -> None:
        class Scaled(nn.Linear):
            pass

        class Conv1D(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.ones(2, 3))
                self.bias = nn.Parameter(torch.ones(3))

        class Other(Conv1D):
            pass

        assert list(prunable(nn.Sequential(Scaled(2, 2), Conv1D(), Other()))) == ["0.weight", "1.weight"]

    def test_shared_weights_once_and_embeddings_never(self) -> None:
        model = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.Embedding(5, 3), nn.Linear(3, 5)])
        model[1].weight, model[3].weight = model[0].weight, model[2].weight
        assert list(prunable(model)) == ["0.weight"]

    def test_the_wrappers_do_not_show(self) -> None:
        model = nn.Sequential(layer := nn.Linear(2, 2))
        wrapped = nn.DataParallel(torch.compile(model, backend="eager"))  # pyright: ignore[reportArgumentType]
        assert list(prunable(wrapped)) == ["0.weight"]
        assert Masks({"0.weight": torch.eye(2, dtype=torch.bool)}).apply_(wrapped) is wrapped
        assert layer.weight[0, 1] == 0

    @pytest.mark.parametrize("model", [nn.Identity(), nn.BatchNorm1d(3), nn.Sequential(nn.Embedding(2, 2))])
    def test_refuses_a_model_without_prunable_weights(self, model: nn.Module) -> None:
        with pytest.raises(PruneproofError, match=f"prunable: {type(model).__name__} has no weight"):
            prunable(model)

    def test_refuses_a_lazy_layer(self) -> None:
        with pytest.raises(PruneproofError, match="weight has no shape yet"):
            prunable(nn.LazyLinear(3))

    def test_a_computed_weight_is_no_parameter(self) -> None:
        model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.Linear(2, 2))
        with pytest.raises(NotImplementedError, match=r"0\.weight is computed by the parametrization WeightNorm"):
            prunable(model)
        assert list(prunable(model, exclude="0")) == ["1.weight"]


MASKS = Masks({"weight": torch.tensor([True, False])})


@pytest.mark.parametrize("refused", [Masks, MASKS.__or__, MASKS.__and__, MASKS.enforce, MASKS.apply_])
def test_a_wrong_type_is_named(refused: Callable[[Any], object]) -> None:
    with pytest.raises(PruneproofError, match="got 3\\."):
        refused(3)
