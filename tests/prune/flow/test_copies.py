# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false
"""In the positive linear copy a layer still answers what `forward` asks of it, and gives what `forward` expects."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruneproof.prune import Masks, connectivity, prunable, scores, synflow


def full(model: nn.Module) -> Masks:
    return Masks({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})


class ReadsSettings(nn.Module):
    """Calls functions with the settings of its own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.activation, self.head = nn.LayerNorm(8), nn.LeakyReLU(0.1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x, self.norm.normalized_shape, self.norm.weight, self.norm.bias, self.norm.eps)
        return self.head(F.leaky_relu(x, self.activation.negative_slope))


def test_a_transformer_is_scored_by_its_flow() -> None:
    """A user scores an encoder layer of torch by SynFlow: half of its weights are kept."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3))
    masks = synflow(model, (1, 5, 8), density=0.5, iterations=2)
    assert (masks.total, masks.count) == (536, 268)


def test_a_dense_transformer_is_connected() -> None:
    """A user asks for the paths through an encoder of which nothing is pruned: input and output are connected."""
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False)
    assert connectivity(model, full(model), (1, 5, 8)).connected


def test_a_forward_that_reads_the_settings_of_its_layers() -> None:
    """A user's `forward` reads the slope and the shape that its layers were made with: they are still there."""
    model = ReadsSettings()
    assert synflow(model, (1, 8), density=0.5, iterations=2).count == 12


def test_a_gate_halves_the_channels() -> None:
    """A user scores a network with a gated linear unit: the copy keeps the shapes, and nothing is cut."""
    model = nn.Sequential(nn.Linear(8, 16), nn.GLU(), nn.Linear(8, 3))
    path = connectivity(model, full(model), (1, 8))
    assert path.connected and path.cut == ()


class CallsNorm(nn.Module):
    """Normalises by a function between two layers."""

    def __init__(self, norm: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Linear(8, 8), nn.Linear(8, 3), norm

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.norm(self.first(x)))


NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "layer_norm": lambda z: F.layer_norm(z, (8,)),
    "rms_norm": lambda z: F.rms_norm(z, (8,), torch.full((8,), 0.5, dtype=z.dtype)),
    "group_norm": lambda z: F.group_norm(z, 2),
    "normalize": lambda z: F.normalize(z, dim=1),
    "glu": lambda z: torch.cat([F.glu(z), F.glu(z)], 1),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_normaliser_called_as_a_function_cuts_nothing(name: str) -> None:
    """A constant signal less its mean is zero, which would look like a cut."""
    model = CallsNorm(NORMS[name])
    path = connectivity(model, full(model), (1, 8))
    assert path.connected and path.cut == ()


@pytest.mark.parametrize("image", [torch.randn(2, 3, 8, 8), torch.randn(1, 3, 8, 8).to(torch.bfloat16)])
def test_of_an_image_only_the_shape_counts(image: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    given, ones = scores.synflow(model, image), scores.synflow(model, tuple(image.shape))
    assert all(torch.equal(given[name], ones[name]) for name in ones)
    assert connectivity(model, full(model), image).connected


def test_a_transformer_in_which_no_flow_reaches_the_output_scores_zero() -> None:
    """Under no_grad, torch would take another route through these layers."""
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, bias=False), nn.Linear(8, 3))
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.zero_()
    assert not any(bool(score.any()) for score in scores.synflow(model, (1, 5, 8)).values())
