"""SynFlow's conservation law, its range in deep networks, and what its linearisation does to modules."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import scores, synflow
from pruneproof.prune.flow.linearised import linearised


def layer_sums(result: dict[str, Tensor]) -> list[float]:
    return [float(score.sum()) for score in result.values()]


def equal_sums(result: dict[str, Tensor]) -> bool:
    sums = layer_sums(result)
    return max(sums) - min(sums) <= 1e-9 * max(sums)


def convolutional(seed: int, bias: bool = False) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=4, padding=1, bias=bias), nn.GELU(), nn.AvgPool2d(2),
        nn.ConvTranspose2d(8, 4, 2, stride=2, bias=bias), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 5, bias=bias),
    )  # fmt: skip


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31))
def test_layer_sums_are_equal_without_biases(seed: int) -> None:
    assert equal_sums(scores.synflow(convolutional(seed), (1, 3, 8, 8)))


@pytest.mark.parametrize("shared", [nn.Sigmoid(), nn.BatchNorm1d(3), nn.Dropout(0.5)])
def test_a_module_that_is_used_twice_is_linear_both_times(shared: nn.Module) -> None:
    torch.manual_seed(0)
    first, second, third = (nn.Linear(3, 3, bias=False) for _ in range(3))
    shared(5 + torch.randn(20, 3))  # batch statistics that are not those of the ones
    assert equal_sums(scores.synflow(nn.Sequential(first, shared, second, shared, third), (1, 3)))


def test_biases_break_the_law() -> None:
    assert not equal_sums(scores.synflow(convolutional(0, bias=True), (1, 3, 8, 8)))


def test_the_layer_sum_is_the_flow() -> None:
    net = convolutional(1)
    flow = linearised(net)(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum().item()
    assert all(math.isclose(total, flow, rel_tol=1e-9) for total in layer_sums(scores.synflow(net, (1, 3, 8, 8))))


@pytest.mark.parametrize("gain", [1.0, 300.0, 2.0**-15])
def test_a_hundred_layers_stay_in_range(gain: float) -> None:
    """Width 64: the flow is near 51^100 ≈ 2^567 at gain 1, and leaves a double at gain 300 and at gain 2^-15."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(*(layer for _ in range(100) for layer in (nn.Linear(64, 64, bias=False), nn.ReLU())))
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(gain * torch.randn(64, 64, generator=generator))
    result = scores.synflow(net, (1, 64))
    assert all(bool(score.isfinite().all()) and bool((score > 0).all()) for score in result.values())
    assert equal_sums(result)


def chain(factor: float) -> nn.Module:
    """Forty layers whose weights carry a factor each, the first twenty with biases that grow as the signal does."""
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(16, 16, bias=depth < 20) for depth in range(40))).double()
    with torch.no_grad():
        for depth, layer in enumerate(net, start=1):
            for name, parameter in layer.named_parameters():
                parameter.mul_(factor if name == "weight" else factor**depth)
    return net


@pytest.mark.parametrize("exponent", [30, -30])
def test_the_scale_changes_no_ratio(exponent: int) -> None:
    """A factor 2^±30 in each of forty layers multiplies all scores alike, through overflow and underflow."""
    plain, moved = scores.synflow(chain(1.0), (1, 16)), scores.synflow(chain(2.0**exponent), (1, 16))
    reference, shifted = plain["0.weight"][0, 0], moved["0.weight"][0, 0]
    assert all(torch.equal(plain[name] / reference, moved[name] / shifted) for name in plain)


def test_a_hopeless_flow_is_refused() -> None:
    net = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(100)))
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(1e30)
    with pytest.raises(PruneproofError, match="Rescale the weights"):
        scores.synflow(net, (1, 1))


def test_a_disconnected_network_scores_zero() -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 2, bias=False))
    nn.init.zeros_(net.get_parameter("0.weight"))
    assert layer_sums(scores.synflow(net, (1, 3))) == [0.0, 0.0]


def test_statistics_and_normalisers_are_linear_in_the_copy() -> None:
    """Trained BatchNorm means and every normaliser leave a positively homogeneous function."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, 8, bias=False), nn.LayerNorm(8,
        bias=False), nn.Sigmoid(), nn.Linear(8, 4, bias=False), nn.GroupNorm(2, 4), nn.RMSNorm(4), nn.Softmax(1),
    )  # fmt: skip
    net(5 + torch.randn(50, 6))
    positive = linearised(net)
    ones = torch.ones(1, 6, dtype=torch.float64)
    assert torch.equal(positive(4 * ones), 4 * positive(ones))
    assert equal_sums(scores.synflow(net, (1, 6)))


def test_batch_norm_without_gain_divides_by_its_deviation() -> None:
    """Paths a·c/2 and b·d/4, whose layers and sums are exact in binary."""
    net = nn.Sequential(
        nn.Linear(1, 2, bias=False), nn.BatchNorm1d(2, eps=0.0, affine=False), nn.Linear(2, 1, bias=False)
    )
    net.get_parameter("0.weight").data.copy_(torch.tensor([[3.0], [-5.0]]))
    net.get_parameter("2.weight").data.copy_(torch.tensor([[-7.0, 9.0]]))
    net.get_buffer("1.running_var").copy_(torch.tensor([4.0, 16.0]))
    found = scores.synflow(net, (1, 1))
    assert [found[name].flatten().tolist() for name in ("0.weight", "2.weight")] == [[10.5, 11.25]] * 2


def test_the_method_runs_a_hundred_nested_iterations_and_differs_from_one() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 40, bias=False), nn.ReLU(), nn.Linear(40, 10, bias=False))
    many, one = synflow(net, (1, 20), density=0.05), synflow(net, (1, 20), density=0.05, iterations=1)
    assert many.count == one.count == 60
    assert many != one
