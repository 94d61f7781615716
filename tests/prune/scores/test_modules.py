"""Scores on every kind of module: grouped and transposed convolutions, tied weights, embeddings, transformers."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from pruneproof.prune import prunable, scores, select

Scores = Mapping[str, Tensor]


class Block(nn.Module):
    """Pre-norm attention with two heads and a GELU perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) → the same shape."""
        heads = self.qkv(self.norms[0](x)).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(heads[0], heads[1], heads[2])  # a fused kernel, also on the CPU
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norms[1](x))))


class Transformer(nn.Module):
    """Token classifier with a dictionary for an output, as language models have."""

    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, 11, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """(batch, length) int64 → {"logits": (batch, length, 11)}."""
        return {"logits": self.head(self.blocks(self.embedding(tokens)))}


TOKENS = torch.arange(24).view(4, 6) % 11


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, 1), targets.flatten())


def logits(output: Any) -> Tensor:
    return output["logits"]


TRANSFORMER_SCORES: dict[str, Callable[[nn.Module], Scores]] = {
    "grasp": lambda net: scores.grasp(net, token_loss, (TOKENS, TOKENS), readout=logits),
    "magnitude": scores.magnitude,
    "snip": lambda net: scores.snip(net, token_loss, (TOKENS, TOKENS), readout=logits),
    "snip, loss reads": lambda net: scores.snip(net, lambda o, t: token_loss(o["logits"], t), (TOKENS, TOKENS)),
    "snip, named inputs": lambda net: scores.snip(net, token_loss, ({"tokens": TOKENS}, TOKENS), readout=logits),
    "synflow": lambda net: scores.synflow(net, TOKENS, readout=logits),
    "wanda": lambda net: scores.wanda(net, TOKENS),
}


@pytest.mark.parametrize("name", TRANSFORMER_SCORES)
@pytest.mark.parametrize("tied", [False, True])
def test_a_transformer(name: str, tied: bool) -> None:
    torch.manual_seed(0)
    net = Transformer(tied=tied)
    result = TRANSFORMER_SCORES[name](net)
    assert list(result) == list(prunable(net)) and "embedding.weight" not in result
    assert ("head.weight" in result) != tied  # a weight shared with an embedding is an embedding
    assert all(score.shape == net.get_parameter(key).shape for key, score in result.items())
    assert all(bool(score.isfinite().all()) and bool(score.abs().sum() > 0) for score in result.values())
    assert select(result, density=0.3).density == pytest.approx(0.3, abs=1 / sum(s.numel() for s in result.values()))


def test_three_ways_to_reach_the_logits_agree() -> None:
    torch.manual_seed(0)
    net = Transformer()
    first, second, third = (TRANSFORMER_SCORES[n](net) for n in ("snip", "snip, loss reads", "snip, named inputs"))
    assert all(torch.equal(first[n], second[n]) and torch.equal(first[n], third[n]) for n in first)


MODULES: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "grouped": lambda: (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8)), torch.randn(6, 4, 5, 5)),
    "depthwise": lambda: (nn.Conv2d(4, 4, 3, groups=4), torch.randn(6, 4, 5, 5)),
    "transposed": lambda: (nn.ConvTranspose2d(4, 2, 3, groups=2), torch.randn(6, 4, 5, 5)),
    "one dimension": lambda: (nn.Conv1d(3, 4, 3), torch.randn(6, 3, 7)),
    "three dimensions": lambda: (nn.Conv3d(2, 3, 2), torch.randn(6, 2, 3, 3, 3)),
    "bilinear beside": lambda: (nn.Sequential(nn.Linear(5, 4), nn.PReLU(), nn.LayerNorm(4)), torch.randn(6, 5)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module(name: str) -> None:
    torch.manual_seed(0)
    net, x = MODULES[name]()

    def energy(output: Tensor, targets: None) -> Tensor:
        return (output**4).mean()

    for result in (
        scores.snip(net, energy, (x, None)),
        scores.grasp(net, energy, (x, None)),
        scores.synflow(net, (1, *x.shape[1:])),
        scores.wanda(net, x),
    ):
        assert list(result) == list(prunable(net))
        assert all(bool(score.isfinite().all()) and bool(score.abs().sum() > 0) for score in result.values())


def test_attention_of_torch_has_scores_but_no_module_inputs() -> None:
    """The projections of `nn.MultiheadAttention` are used by a function, so Wanda sees no inputs and says so."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x = torch.randn(5, 4, 8)
    result = scores.snip(layer, lambda o, t: (o**2).mean(), (x, None))
    assert {"self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight"} <= set(result)
    with pytest.raises(NotImplementedError, match=r"does not call the layers of self_attn\.in_proj_weight"):
        scores.wanda(layer, x)


def test_wrapped_models_are_scored_under_plain_names() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(6, 4)
    wrapped = nn.DataParallel(net)
    plain = scores.snip(net, cross_entropy, (x, torch.arange(6) % 3))
    assert torch.equal(scores.snip(wrapped, cross_entropy, (x, torch.arange(6) % 3))["0.weight"], plain["0.weight"])
    assert list(scores.synflow(wrapped, (1, 4))) == list(scores.wanda(wrapped, x)) == ["0.weight"]
