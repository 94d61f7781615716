"""Scores equal closed forms derived by hand, to 1e-12 in float64, on convolution + BatchNorm + linear networks."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, unfold

from pruneproof.prune import scores

F64 = torch.float64


def close(actual: Tensor, expected: Tensor) -> bool:
    """Within 1e-12 of the largest entry: sums of at most 10³ terms, each rounded by 2⁻⁵³, in either order."""
    return bool((actual - expected).abs().max() <= 1e-12 * expected.abs().max())


def all_close(actual: Iterable[Tensor], expected: Iterable[Tensor]) -> bool:
    return all(close(a, e) for a, e in zip(actual, expected, strict=True))


def image_network(seed: int, groups: int = 1) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=groups, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3)
    ).double()
    with torch.no_grad():
        for name in ("1.weight", "1.bias"):
            net.get_parameter(name).normal_()
        net.get_buffer("1.running_mean").normal_()
        net.get_buffer("1.running_var").uniform_(0.5, 2.0)
    return net


def normalisation(net: nn.Module) -> list[Tensor]:
    """Gain, shift, running mean and running variance of the layer called 1."""
    buffers = [net.get_buffer(name) for name in ("1.running_mean", "1.running_var")]
    return [*(net.get_parameter(name) for name in ("1.weight", "1.bias")), *buffers]


def batch(seed: int) -> tuple[Tensor, Tensor]:
    return torch.randn(12, 2, 4, 4, dtype=F64, generator=torch.Generator().manual_seed(seed)), torch.arange(12) % 3


def hand_backpropagated(net: nn.Sequential, x: Tensor, y: Tensor, mode: str, temperature: float) -> list[Tensor]:
    """abs(θ·g) of convolution and linear weight by the chain rule, with im2col and the BatchNorm formulas."""
    conv, weight, bias = (net.get_parameter(name) for name in ("0.weight", "3.weight", "3.bias"))
    gain, shift, mean, variance = normalisation(net)
    patches = unfold(x, 3, padding=1)  # (N, 18, 16)
    z = torch.einsum("ok,nkp->nop", conv.reshape(4, 18), patches)  # (N, 4, 16)
    pooled = mode == "batch"
    mean, variance = (z.mean((0, 2)), z.var((0, 2), unbiased=False)) if pooled else (mean, variance)
    inverse = 1 / torch.sqrt(variance + 1e-5)
    unit = (z - mean[:, None]) * inverse[:, None]
    h = (gain[:, None] * unit + shift[:, None]).reshape(len(x), 64)
    logits = (h @ weight.T + bias) / temperature
    error = (torch.softmax(logits, 1) - torch.eye(3, dtype=F64)[y]) / len(x) / temperature
    back = (error @ weight).reshape(len(x), 4, 16) * gain[:, None]
    if pooled:
        back = back - back.mean((0, 2))[:, None] - unit * (back * unit).mean((0, 2))[:, None]
    conv_gradient = torch.einsum("nop,nkp->ok", back * inverse[:, None], patches).reshape(conv.shape)
    return [(conv * conv_gradient).abs(), (weight * (error.T @ h)).abs()]


@pytest.mark.parametrize("mode", ["batch", "running"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_snip(mode: Literal["batch", "running"], temperature: float) -> None:
    net, (x, y) = image_network(0), batch(1)
    result = scores.snip(net, cross_entropy, (x, y), batch_norm=mode, temperature=temperature)
    with torch.no_grad():
        expected = hand_backpropagated(net, x, y, mode, temperature)
        twin = hand_backpropagated(net, x, y, "running" if mode == "batch" else "batch", temperature)
    assert all_close(result.values(), expected)
    assert not all_close(result.values(), twin)  # the other mode is another score


def hand_differentiated_twice(net: nn.Sequential, x: Tensor, y: Tensor, temperature: float) -> list[Tensor]:
    """θ⊙Hg for E = W₂(D W₁x + c)/T − y, L = ‖E‖²/(3N): the differential of the two gradients in direction g."""
    w1, w2 = net.get_parameter("0.weight").reshape(4, 18), net.get_parameter("3.weight") / temperature
    gain, shift, mean, variance = normalisation(net)
    scale = gain / torch.sqrt(variance + 1e-5)
    shift = shift - scale * mean
    x, factor = x.reshape(len(x), 18).T, 2 / (3 * len(x))
    h = scale[:, None] * (w1 @ x) + shift[:, None]
    error = w2 @ h + net.get_parameter("3.bias")[:, None] / temperature - y.T
    g1, g2 = factor * (scale[:, None] * (w2.T @ error)) @ x.T, factor * error @ h.T / temperature
    dh, dw2 = scale[:, None] * (g1 @ x), g2 / temperature
    d_error = dw2 @ h + w2 @ dh
    h1 = factor * (scale[:, None] * (dw2.T @ error + w2.T @ d_error)) @ x.T
    h2 = factor * (d_error @ h.T + error @ dh.T) / temperature
    return [
        net.get_parameter("0.weight") * h1.reshape(net.get_parameter("0.weight").shape),
        net.get_parameter("3.weight") * h2,
    ]


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_and_its_magnitude(temperature: float) -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3)).double()
    with torch.no_grad():
        net.get_parameter("1.weight").normal_()
        net.get_buffer("1.running_mean").normal_()
        net.get_buffer("1.running_var").uniform_(0.5, 2.0)
    x, y = torch.randn(12, 2, 3, 3, dtype=F64), torch.randn(12, 3, dtype=F64)
    signed = scores.grasp(net, mse_loss, (x, y), temperature=temperature, batch_norm="running")
    absolute = scores.grasp_abs(net, mse_loss, (x, y), temperature=temperature, batch_norm="running")
    with torch.no_grad():
        expected = hand_differentiated_twice(net, x, y, temperature)
    assert all_close(signed.values(), expected)
    assert all_close(absolute.values(), [value.abs() for value in expected])
    assert not close(signed["0.weight"], -expected[0])  # the paper's S has the other sign


def test_grasp_of_softmax_regression() -> None:
    """Hv = mean over examples of (diag p − ppᵀ)·Vx·xᵀ."""
    torch.manual_seed(0)
    net = nn.Linear(6, 4, bias=False).double()
    x, y = torch.randn(20, 6, dtype=F64), torch.arange(20) % 4
    with torch.no_grad():
        p = torch.softmax(net(x), 1)
        g = (p - torch.eye(4, dtype=F64)[y]).T @ x / 20
        v = x @ g.T
        expected = net.weight * ((p * v - p * (p * v).sum(1, keepdim=True)).T @ x / 20)
    assert close(scores.grasp(net, cross_entropy, (x, y), temperature=1.0)["weight"], expected)


def test_synflow_is_the_flow_that_a_weight_carries() -> None:
    """R is affine in each weight, so abs(θ·∂R/∂θ) = R(θ) − R(θ without it): exact on integers, by fractions."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 2, 2, bias=False), nn.BatchNorm2d(2, eps=0.0), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(2, 4, 1, groups=2, bias=False), nn.Flatten(), nn.Linear(4, 3, bias=False),
    )  # fmt: skip
    layers = [net.get_parameter(name) for name in ("0.weight", "4.weight", "6.weight")]
    with torch.no_grad():
        net.get_buffer("1.running_var").copy_(torch.tensor([0.25, 4.0]))
        net.get_buffer("1.running_mean").fill_(7.0)
        net.get_parameter("1.weight").copy_(torch.tensor([-2.0, 1.0]))
        for weight in layers:
            weight.copy_(torch.randint(-3, 4, weight.shape))
    weights = [weight.detach().abs() for weight in layers]
    result = scores.synflow(net, (1, 2, 3, 3))
    for layer, score in enumerate(result.values()):
        for index in range(score.numel()):
            without = [weight.clone() for weight in weights]
            without[layer].view(-1)[index] = 0
            assert Fraction(score.view(-1)[index].item()) == integer_flow(weights) - integer_flow(without)


def integer_flow(weights: list[Tensor]) -> Fraction:
    """R of the network above in fractions: four 2×2 patches, scales 2/0.5 and 1/2, mean of four, two groups of two."""
    first, second, last = weights
    scale = (Fraction(4), Fraction(1, 2))
    channel = [scale[c] * int(first[c].sum()) for c in range(2)]  # every patch sees ones; their mean is the same
    hidden = [channel[unit // 2] * int(second[unit, 0, 0, 0]) for unit in range(4)]
    return sum((hidden[unit] * int(last[:, unit].sum()) for unit in range(4)), Fraction(0))


@pytest.mark.parametrize("groups", [1, 2])
def test_wanda_is_magnitude_times_the_norm_of_the_patch_entry(groups: int) -> None:
    net, (x, _) = image_network(2, groups), batch(3)
    result = scores.wanda(net, x)
    norms = unfold(x, 3, padding=1).pow(2).sum((0, 2)).sqrt().reshape(2, 3, 3)
    weight = net.get_parameter("0.weight").detach().abs()
    read = norms.expand(4, 2, 3, 3) if groups == 1 else norms[[0, 0, 1, 1]][:, None]
    assert close(result["0.weight"], weight * read)
    features = net[:3].eval()(x).detach()
    assert close(result["3.weight"], net.get_parameter("3.weight").detach().abs() * features.pow(2).sum(0).sqrt())


def test_tied_weights_receive_the_sum_over_their_uses() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    net[1].weight = net.get_parameter("0.weight")
    x, y = torch.randn(9, 3, dtype=F64), torch.randn(9, 3, dtype=F64)
    w = net.get_parameter("0.weight").detach()
    error = 2 / 27 * (x @ w.T @ w.T - y)
    gradient = error.T @ (x @ w.T) + (error @ w).T @ x
    result = scores.snip(net, mse_loss, (x, y))
    assert list(result) == ["0.weight"] and close(result["0.weight"], (w * gradient).abs())
    column, row = w.abs().sum(1), w.abs().sum(0)
    flow = w.abs() * (row[:, None] + column)  # as first layer: reads ones, is read by row sums; as second: the reverse
    assert close(scores.synflow(net, (1, 3))["0.weight"], flow)
    assert close(scores.wanda(net, x)["0.weight"], w.abs() * (x.pow(2).sum(0) + (x @ w.T).pow(2).sum(0)).sqrt())
