"""Where the data decide which layers run, paths are not certified on made-up data."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, connectivity, prunable, scores, synflow
from pruneproof.prune.flow import linearised


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


class Parts(nn.Module):
    """Two layers behind a gate, put together by a function of one's own."""

    def __init__(self, forward: Callable[["Parts", Tensor], Tensor]) -> None:
        super().__init__()
        self.gate, self.first, self.second = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(8, 4)
        self.own = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self, x)


def dense(model: nn.Module) -> Masks:
    return Masks({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})


@torch.no_grad()
def gate_without_derivatives(model: Parts, x: Tensor) -> Tensor:
    return model.gate(x)[:, :1] < 0


def by_boolean_index(model: Parts, x: Tensor) -> Tensor:
    chosen, out = model.gate(x)[:, 0] > 0, x.new_zeros(len(x), 4)
    out[chosen], out[~chosen] = model.first(x[chosen]), model.second(x[~chosen])
    return out


def by_nonzero(model: Parts, x: Tensor) -> Tensor:
    rows = functional.relu(model.gate(x)[:, 0] - 100).nonzero()[:, 0]
    return model.first(x).index_add(0, rows, model.second(x[rows]))


def by_positions_of_the_largest(model: Parts, x: Tensor) -> Tensor:
    best = model.gate(x).max(1).indices % 2
    return torch.stack([model.first(x), model.second(x)], 1)[torch.arange(len(x)), best]


CHOICES: dict[str, Callable[[Parts, Tensor], Tensor]] = {
    "topk": lambda m, x: m.first(x) * torch.topk(input=m.gate(x), k=1)[0],
    "argmax": lambda m, x: m.first(x) * functional.one_hot(m.gate(x).argmax(1), 4),
    "argmin": lambda m, x: m.first(x) * functional.one_hot(m.gate(x).argmin(1), 4),
    "sort": lambda m, x: m.first(x) * m.gate(x).sort(1)[0][:, :1],
    "argsort": lambda m, x: m.first(x).gather(1, m.gate(x).argsort(1)),
    "msort": lambda m, x: m.first(x) * torch.msort(m.gate(x))[:1],
    "kthvalue": lambda m, x: m.first(x) * m.gate(x).kthvalue(2, 1, True)[0],
    "multinomial": lambda m, x: m.first(x).gather(1, m.gate(x).softmax(1).multinomial(1)),
    "bernoulli": lambda m, x: m.first(x) * m.gate(x).sigmoid().bernoulli(),
    "gumbel_softmax": lambda m, x: m.first(x) * functional.gumbel_softmax(m.gate(x), hard=True),
    "gt": by_boolean_index,
    "nonzero": by_nonzero,
    "lt": lambda m, x: torch.where(gate_without_derivatives(m, x), m.first(x), m.second(x)),
    "le": lambda m, x: m.first(x) if m.gate(x).sum() <= 0 else m.second(x),
    "ge": lambda m, x: m.first(x) * (m.gate(x).detach() >= 100) + m.second(x),
    "item": lambda m, x: m.first(x) if m.gate(x).sum().item() < 0 else m.second(x),
    "int": lambda m, x: m.first(x) if int(m.gate(x).sum()) < 0 else m.second(x),
    "max": by_positions_of_the_largest,
}


@pytest.mark.parametrize("kind", CHOICES)
def test_whatever_chooses_by_what_was_computed_is_named(kind: str) -> None:
    """What one made-up example does not choose would count as dead."""
    model = Parts(CHOICES[kind])
    model(torch.randn(3, 8))
    with pytest.raises(NotImplementedError, match=rf"connectivity: the model calls {kind} .*routing"):
        connectivity(model, dense(model), (1, 8))
    with pytest.raises(NotImplementedError, match=rf"synflow: the model calls {kind} .*routing"):
        scores.synflow(model, (1, 8))


def test_every_function_of_the_list_of_choices_is_tested() -> None:
    assert linearised._ROUTERS <= CHOICES.keys()  # pyright: ignore[reportPrivateUsage]


BY_TOKENS: dict[str, Callable[[Tensor], Tensor]] = {
    "topk": lambda tokens: tokens.topk(1).indices[:, 0],
    "argmax": lambda tokens: tokens.argmax(1),
    "argmin": lambda tokens: tokens.argmin(1),
    "sort": lambda tokens: tokens.sort(1).indices[:, -1],
    "argsort": lambda tokens: tokens.argsort(1)[:, -1],
    "msort": lambda tokens: torch.msort(tokens)[:, 0] % 3,
    "kthvalue": lambda tokens: tokens.kthvalue(2, 1).indices,
    "multinomial": lambda tokens: (tokens / 9).multinomial(1)[:, 0],
    "bernoulli": lambda tokens: (tokens / 9).bernoulli()[:, 0].long(),
    "gt": lambda tokens: (tokens > 1).sum(1) - 1,
    "nonzero": lambda tokens: tokens.nonzero()[-1:, 1],
    "item": lambda tokens: tokens.new_tensor([tokens.sum().item() % 3]),
    "max": lambda tokens: tokens.max(1).indices,
    "neg": lambda tokens: functional.one_hot(-torch.minimum(-tokens[:, 2], tokens[:, 0] * 0), 3).argmax(1),
}


class ReadAt(LastToken):
    """Reads the output at a place that a function of the tokens names."""

    def __init__(self, place: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.place = place

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embedding(tokens)
        padded = torch.where((tokens != 0)[..., None], hidden, torch.zeros_like(hidden))
        return self.head(padded[torch.arange(len(tokens)), self.place(tokens)])


@pytest.mark.parametrize("kind", BY_TOKENS)
def test_the_same_functions_of_tokens_choose_nothing_by_weights(kind: str) -> None:
    model, tokens = ReadAt(BY_TOKENS[kind]), torch.tensor([[1, 5, 2]])
    assert connectivity(model, dense(model), (tokens,)).live.count == 24
    assert bool(scores.synflow(model, (tokens,))["head.weight"].any())


class Sign(torch.autograd.Function):
    """The sign, with the derivative of the identity."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return gradients[0]


def checked(model: Parts, x: Tensor) -> Tensor:
    out = model.first(x) + model.second(x)
    if torch.isnan(out).any():
        raise ValueError
    return out + functional.pad(model.gate(x), (0, 0))


NO_CHOICES: dict[str, Callable[[Parts, Tensor], Tensor]] = {
    "a check for NaN": checked,
    "an operation with its own derivative": lambda m, x: Sign.apply(m.first(x)) + m.second(x) + m.gate(x),
    "the largest of three": lambda m, x: torch.stack([m.gate(x), m.first(x), m.second(x)]).max(0)[0],
    "the least of three": lambda m, x: torch.stack([m.gate(x), m.first(x) + m.second(x), m.second(x)]).amin(0),
    "the larger of two": lambda m, x: torch.maximum(m.gate(x), torch.max(m.first(x) + m.gate(x), m.second(x))),
    "a difference": lambda m, x: 1 - (m.first(x) - m.second(x)).sub_(m.gate(x)),
    "negative factors": lambda m, x: (
        -2.0 * m.first(x) + m.second(-m.gate(functional.pad(x, (0, 0)) / -3)[:, [0, 1] * 4])
    ),
    "a limit": lambda m, x: (m.first(x) + m.second(x) + m.gate(x)).clamp(-1, 1),
    "rounding": lambda m, x: m.first(x).round() + torch.sign(m.second(x)) + m.gate(x).floor(),
    "a threshold": lambda m, x: functional.threshold(m.first(x) + m.second(x) + m.gate(x), 20, 0),
}


@pytest.mark.parametrize("kind", NO_CHOICES)
def test_paths_through_what_chooses_nothing_are_followed(kind: str) -> None:
    """The functions' own derivatives may be zero, negative or of one input; every part is on a path all the same."""
    model, masks = Parts(NO_CHOICES[kind]), dense(Parts(checked))
    live = 80 if kind == "negative factors" else 96  # two of the gate's four outputs are not read
    assert connectivity(model, masks, (1, 8)).live.count == live
    without = Masks({name: mask & (name != "first.weight") for name, mask in masks.items()})
    assert connectivity(model, without, (1, 8)).cut == ("first.weight",)
    scores.synflow(model, (1, 8))
