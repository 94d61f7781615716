"""Masks equal those of `torch.nn.utils.prune` given our scores, and travel to and from it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune as torch_prune

from pruneproof.errors import PruneproofError
from pruneproof.prune import (
    Masks,
    from_torch_prune,
    magnitude,
    make_permanent,
    prunable,
    scores,
    select,
    to_torch_prune,
)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(54, 10), nn.ReLU(), nn.Linear(10, 4)
    )


def batch(seed: int) -> tuple[Tensor, Tensor]:
    return torch.randn(20, 2, 5, 5, generator=torch.Generator().manual_seed(seed)), torch.arange(20) % 4


SCORES = {
    "snip": lambda net: scores.snip(net, cross_entropy, batch(0)),
    "grasp_abs": lambda net: scores.grasp_abs(net, cross_entropy, batch(0)),
    "synflow": lambda net: scores.synflow(net, (1, 2, 5, 5)),
    "magnitude": scores.magnitude,
}


@pytest.mark.parametrize("name", SCORES)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000), count=st.integers(1, 683))
def test_global_selection_with_our_scores_is_the_same(name: str, seed: int, count: int) -> None:
    """The field's own function prunes the smallest importances of all layers: 688 weights, no ties among them."""
    net = network(seed)
    found = SCORES[name](net)
    values = torch.cat([score.flatten() for score in found.values()])
    ours = select(found, count=count)
    kept = torch.cat([mask.flatten() for mask in ours.values()])
    if not float(values[kept].min()) > float(values[~kept].max()):
        return  # a tie at the threshold: torch leaves it to chance
    layers = [(net.get_submodule(name.removesuffix(".weight")), "weight") for name in found]
    importances = {layer: score for layer, score in zip(layers, found.values(), strict=True)}
    torch_prune.global_unstructured(
        layers, torch_prune.L1Unstructured, importance_scores=importances, amount=len(values) - count
    )
    assert from_torch_prune(net) == ours


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_layerwise_magnitude_is_the_same(density: float) -> None:
    net, twin = network(0), network(0)
    ours = select(scores.magnitude(net), density=density, scope="layer")
    for name, weight in prunable(twin).items():
        layer = twin.get_submodule(name.removesuffix(".weight"))
        torch_prune.l1_unstructured(layer, "weight", amount=weight.numel() - ours.counts[name])
    assert from_torch_prune(twin) == ours


def test_masks_travel_there_and_back() -> None:
    net, x = network(1), batch(1)[0]
    masks = select(scores.magnitude(net), density=0.2)
    expected = masks.apply_(network(1)).eval()(x)
    installed = to_torch_prune(net, masks)
    assert installed is net and torch_prune.is_pruned(net)
    assert from_torch_prune(net) == masks
    assert torch.equal(net.eval()(x), expected)
    permanent = make_permanent(net)
    assert not torch_prune.is_pruned(permanent) and torch_prune.is_pruned(net)
    assert torch.equal(permanent.eval()(x), expected)
    assert sorted(permanent.state_dict()) == sorted(network(1).state_dict())


def test_refusals_leave_the_model_alone() -> None:
    net = network(0)
    names = list(net.state_dict())
    good, bad = torch.ones(6, 2, 3, 3, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    for masks, message in (
        (Masks({"0.weight": good, "9.weight": bad}), "no parameter '9.weight'"),
        (Masks({"0.weight": good, "4.weight": bad}), r"the parameter has \(10, 54\)"),
    ):
        with pytest.raises(PruneproofError, match=message):
            to_torch_prune(net, masks)
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(PruneproofError, match=r"0\.weight is the weight of several layers"):
        to_torch_prune(tied, Masks({"0.weight": torch.eye(3) > 0}))
    with pytest.raises(PruneproofError, match="has left no mask"):
        from_torch_prune(net)
    assert list(net.state_dict()) == names and not torch_prune.is_pruned(net)


class Attentive(nn.Module):
    """Attention reads its output projection without calling that layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attention(x, x, x)[0])


def test_an_attention_layer_is_refused_for_its_output_projection_alone() -> None:
    """The hook of torch's module would not run there; the other projections can be handed over and trained."""
    torch.manual_seed(0)
    model = Attentive()
    masks = magnitude(model, density=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(NotImplementedError, match=r"attention\.out_proj\.weight"):
        to_torch_prune(model, masks)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    rest = Masks({name: mask for name, mask in masks.items() if "out_proj" not in name})
    to_torch_prune(model, rest)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(2, 5, 8)).square().sum().backward()
        optimizer.step()
    model(torch.randn(2, 5, 8))
    assert not model.attention.in_proj_weight[~masks["attention.in_proj_weight"]].any()
