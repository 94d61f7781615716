"""Scores accumulated over chunks are those of the pooled batch."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from pruneproof.errors import PruneproofError
from pruneproof.prune import scores

F64 = torch.float64
SCORES = {"snip": scores.snip, "grasp": scores.grasp, "grasp_abs": scores.grasp_abs}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("chunk", [1, 4, 8, 16])
def test_exactly_equal_where_sums_are_exact(name: str, chunk: int) -> None:
    """Small integers and power-of-two batches: no operation rounds, so the order of summation cannot matter."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False)).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randint(-3, 4, weight.shape, generator=generator))
    x, y = (torch.randint(-4, 5, (16, width), generator=generator).double() for width in (3, 2))
    pooled = SCORES[name](net, mse_loss, (x, y), temperature=1.0)
    accumulated = SCORES[name](net, mse_loss, (x, y), temperature=1.0, chunk=chunk)
    assert all(torch.equal(pooled[key], accumulated[key]) for key in pooled)
    assert any(bool(score.abs().sum() > 0) for score in pooled.values())


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_equal_to_rounding_on_any_network(name: str, chunk: int) -> None:
    """50 terms summed in another order: within 50·2⁻⁵³ of the sum of their magnitudes, below 1e-11 of the largest."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 5)).double()
    batch = torch.randn(50, 1, 4, 4, dtype=F64), torch.arange(50) % 5
    pooled = SCORES[name](net, cross_entropy, batch, batch_norm="running")
    accumulated = SCORES[name](net, cross_entropy, batch, batch_norm="running", chunk=chunk)
    assert all(close(accumulated[key], pooled[key]) for key in pooled)


def test_averaging_the_scores_of_batches_is_another_score() -> None:
    """The absolute value is taken of the pooled gradient, not of the gradient of each batch."""
    torch.manual_seed(0)
    net = nn.Linear(6, 3).double()
    x, y = torch.randn(30, 6, dtype=F64), torch.arange(30) % 3
    pooled = scores.snip(net, cross_entropy, (x, y))["weight"]
    parts = [scores.snip(net, cross_entropy, (x[i : i + 6], y[i : i + 6]))["weight"] for i in range(0, 30, 6)]
    assert not close(torch.stack(parts).mean(0), pooled)


def test_chunks_see_named_and_several_inputs() -> None:
    net = TwoInputs().double()
    x, z, y = torch.randn(12, 3, dtype=F64), torch.randn(12, 3, dtype=F64), torch.arange(12) % 2
    pooled = scores.snip(net, cross_entropy, ((x, z), y))
    assert all(close(s, pooled[n]) for n, s in scores.snip(net, cross_entropy, ((x, z), y), chunk=5).items())
    named = scores.snip(net, cross_entropy, ({"z": z, "x": x}, y), chunk=5)
    assert all(close(score, pooled[name]) for name, score in named.items())


class Flagged(nn.Module):
    """Takes more than tensors with a row for each example."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2).double()

    def forward(self, flag: bool, x: Tensor, mask: Tensor | None, scale: Tensor) -> Tensor:
        """(n, 3) → (n, 2)."""
        assert flag is False and mask is None
        return scale * self.layer(x)


def test_flags_numbers_and_nothing_go_to_every_chunk() -> None:
    torch.manual_seed(0)
    net, x, y = Flagged(), torch.randn(12, 3, dtype=F64), torch.arange(12) % 2
    scale = torch.tensor(2.0, dtype=F64)
    lengths = list[int]()
    net.layer.register_forward_pre_hook(lambda layer, inputs: lengths.append(len(inputs[0])))
    for inputs in ({"flag": False, "x": x, "mask": None, "scale": scale}, (False, x, None, scale)):
        pooled = scores.snip(net, cross_entropy, (inputs, y))["layer.weight"]
        assert close(scores.snip(net, cross_entropy, (inputs, y), chunk=5)["layer.weight"], pooled)
    assert lengths == [12, 5, 5, 2] * 2


def test_the_list_that_a_data_loader_gives_is_a_pair() -> None:
    torch.manual_seed(0)
    net, data = nn.Linear(3, 2), [(torch.randn(3), label) for label in (0, 1, 0, 1)]
    batch = next(iter(torch.utils.data.DataLoader(data, batch_size=4)))  # pyright: ignore[reportArgumentType]
    assert isinstance(batch, list)
    for score in SCORES.values():
        listed, paired = score(net, cross_entropy, batch), score(net, cross_entropy, (batch[0], batch[1]))
        assert torch.equal(listed["weight"], paired["weight"])


def test_chunks_without_targets_or_with_named_ones() -> None:
    net, x = nn.Linear(5, 2).double(), torch.randn(12, 5, dtype=F64)

    def energy(output: Tensor, targets: None) -> Tensor:
        return (output**4).mean()

    def weighted(output: Tensor, targets: dict[str, Tensor]) -> Tensor:
        return (output * targets["t"]).pow(2).mean()

    named = {"t": torch.randn(12, 2, dtype=F64)}
    seen = list[int]()
    net.register_forward_pre_hook(lambda layer, inputs: seen.append(len(inputs[0])))
    for loss, targets in ((energy, None), (weighted, named)):
        pooled = scores.grasp(net, loss, (x, targets), temperature=1.0)["weight"]
        assert close(scores.grasp(net, loss, (x, targets), temperature=1.0, chunk=5)["weight"], pooled)
    assert seen == [12, *[5, 5, 2] * 2] * 2  # gradient, then curvature


@pytest.mark.parametrize("loss", [lambda o, y: cross_entropy(o, y, reduction="sum"), lambda o, y: (o**2).mean() ** 2])
def test_a_loss_that_is_not_a_mean_is_refused(loss) -> None:  # pyright: ignore[reportMissingParameterType]
    net, batch = nn.Linear(4, 3), (torch.randn(12, 4), torch.arange(12) % 3)
    scores.snip(net, loss, batch)
    with pytest.raises(PruneproofError, match="mean over examples"):
        scores.snip(net, loss, batch, chunk=5)


def test_batch_statistics_cannot_be_accumulated() -> None:
    net, batch = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (torch.randn(12, 4), torch.arange(12) % 3)
    with pytest.raises(PruneproofError, match=r"batch_norm='running'"):
        scores.snip(net, cross_entropy, batch, chunk=5)
    scores.snip(net, cross_entropy, batch, chunk=5, batch_norm="running")
    with pytest.raises(PruneproofError, match="do not see each other"):
        bare = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
        scores.snip(bare, cross_entropy, batch, chunk=5, batch_norm="running")


class TwoInputs(nn.Module):
    """Logits of x and z."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(n, 3), (n, 3) → (n, 2)."""
        return torch.tanh(self.first(x)) + self.second(z)


def close(actual: Tensor, expected: Tensor) -> bool:
    return bool((actual - expected).abs().max() <= 1e-11 * expected.abs().max())
