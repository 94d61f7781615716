"""Where the data decide which layers run, paths are not certified on made-up data."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, connectivity, prunable, scores, synflow


class Mixture(nn.Module):
    """Two of four experts for each example, chosen by a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 4), nn.ModuleList(nn.Linear(8, 3) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        shares, chosen = self.gate(x).softmax(1).topk(2)
        every = torch.stack([expert(x) for expert in self.experts], 1)
        return (shares[..., None] * every.gather(1, chosen[..., None].expand(-1, -1, 3))).sum(1)


def test_no_expert_of_a_dense_mixture_is_cut() -> None:
    """A user asks for the paths of a mixture of which nothing is pruned: no expert is cut, or the routing is named."""
    torch.manual_seed(0)
    model = Mixture()
    full = Masks({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            cut = connectivity(model, full, (1, 8)).cut
        except PruneproofError as error:
            assert "topk" in str(error) or "rout" in str(error)
            return
    assert not [name for name in cut if name.startswith("experts")] or caught


def test_no_expert_is_removed_for_the_example_of_ones() -> None:
    """A user scores a mixture by SynFlow: every expert that real data choose keeps weights, or the routing is named."""
    torch.manual_seed(0)
    model = Mixture()
    used = set(model.gate(torch.randn(50, 8)).topk(2).indices.flatten().tolist())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            counts = synflow(model, (1, 8), density=0.4, iterations=5).counts
        except PruneproofError as error:
            assert "topk" in str(error) or "rout" in str(error)
            return
    assert all(counts[f"experts.{index}.weight"] for index in used) or caught


class Switch(nn.Module):
    """One of two experts for each example, by argmax."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 2), nn.ModuleList(nn.Linear(8, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        chosen = self.gate(x).argmax(1)
        return torch.stack([self.experts[int(index)](row) for row, index in zip(x, chosen, strict=True)])


@pytest.mark.parametrize("model", [Mixture(), Switch()])
def test_the_routing_is_named(model: nn.Module) -> None:
    full = Masks({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})
    with pytest.raises(NotImplementedError, match=r"connectivity: the model calls (topk|argmax) .*routing"):
        connectivity(model, full, (1, 8))
    with pytest.raises(NotImplementedError, match=r"synflow: the model calls (topk|argmax) .*routing"):
        scores.synflow(model, (1, 8))


class LastToken(nn.Module):
    """Reads the output at the largest token: chosen by the input alone, whatever the weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 8), nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embedding(tokens)[torch.arange(len(tokens)), tokens.argmax(1)])


def test_a_choice_by_whole_numbers_of_the_input_is_no_routing() -> None:
    model = LastToken()
    full = Masks({"head.weight": torch.ones(3, 8, dtype=torch.bool)})
    assert connectivity(model, full, (torch.tensor([[1, 5, 2]]),)).connected
