"""Scores equal closed forms derived by hand, to 1e-12 in float64, on convolution + BatchNorm + linear networks."""

from collections.abc import Iterable
from fractions import Fraction

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
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2.0)
    return net


def batch(seed: int) -> tuple[Tensor, Tensor]:
    return torch.randn(12, 2, 4, 4, dtype=F64, generator=torch.Generator().manual_seed(seed)), torch.arange(12) % 3


def hand_backpropagated(net: nn.Sequential, x: Tensor, y: Tensor, mode: str, temperature: float) -> list[Tensor]:
    """abs(θ·g) of convolution and linear weight by the chain rule, with im2col and the BatchNorm formulas."""
    conv, norm, linear = net[0].weight, net[1], net[3]
    patches = unfold(x, 3, padding=1)  # (N, 18, 16)
    z = torch.einsum("ok,nkp->nop", conv.reshape(4, 18), patches)  # (N, 4, 16)
    pooled = mode == "batch"
    mean = z.mean((0, 2)) if pooled else norm.running_mean
    inverse = 1 / torch.sqrt((z.var((0, 2), unbiased=False) if pooled else norm.running_var) + norm.eps)
    unit = (z - mean[:, None]) * inverse[:, None]
    h = (norm.weight[:, None] * unit + norm.bias[:, None]).reshape(len(x), 64)
    logits = (h @ linear.weight.T + linear.bias) / temperature
    error = (torch.softmax(logits, 1) - torch.eye(3, dtype=F64)[y]) / len(x) / temperature
    back = (error @ linear.weight).reshape(len(x), 4, 16) * norm.weight[:, None]
    if pooled:
        back = back - back.mean((0, 2))[:, None] - unit * (back * unit).mean((0, 2))[:, None]
    conv_gradient = torch.einsum("nop,nkp->ok", back * inverse[:, None], patches).reshape(conv.shape)
    return [(conv * conv_gradient).abs(), (linear.weight * (error.T @ h)).abs()]


@pytest.mark.parametrize("mode", ["batch", "running"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_snip(mode: str, temperature: float) -> None:
    net, (x, y) = image_network(0), batch(1)
    result = scores.snip(net, cross_entropy, (x, y), batch_norm=mode, temperature=temperature)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        expected = hand_backpropagated(net, x, y, mode, temperature)
        twin = hand_backpropagated(net, x, y, "running" if mode == "batch" else "batch", temperature)
    assert all_close(result.values(), expected)
    assert not all_close(result.values(), twin)  # the other mode is another score


def hand_differentiated_twice(net: nn.Sequential, x: Tensor, y: Tensor, temperature: float) -> list[Tensor]:
    """θ⊙Hg for E = W₂(D W₁x + c)/T − y, L = ‖E‖²/(3N): the differential of the two gradients in direction g."""
    norm, w1, w2 = net[1], net[0].weight.reshape(4, 18), net[3].weight / temperature
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - scale * norm.running_mean
    x, factor = x.reshape(len(x), 18).T, 2 / (3 * len(x))
    h = scale[:, None] * (w1 @ x) + shift[:, None]
    error = w2 @ h + net[3].bias[:, None] / temperature - y.T
    g1, g2 = factor * (scale[:, None] * (w2.T @ error)) @ x.T, factor * error @ h.T / temperature
    dh, dw2 = scale[:, None] * (g1 @ x), g2 / temperature
    d_error = dw2 @ h + w2 @ dh
    h1 = factor * (scale[:, None] * (dw2.T @ error + w2.T @ d_error)) @ x.T
    h2 = factor * (d_error @ h.T + error @ dh.T) / temperature
    return [net[0].weight * h1.reshape(net[0].weight.shape), net[3].weight * h2]


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_and_its_magnitude(temperature: float) -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3)).double()
    nn.init.normal_(net[1].weight), net[1].running_mean.normal_(), net[1].running_var.uniform_(0.5, 2.0)
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
    norm = net[1]
    norm.running_var.copy_(torch.tensor([0.25, 4.0])), norm.running_mean.fill_(7.0)
    with torch.no_grad():
        for layer in (net[0], net[4], net[6]):
            layer.weight.copy_(torch.randint(-3, 4, layer.weight.shape))
        norm.weight.copy_(torch.tensor([-2.0, 1.0]))
    weights = [layer.weight.detach().abs() for layer in (net[0], net[4], net[6])]
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
    weight = net[0].weight.detach().abs()
    read = norms.expand(4, 2, 3, 3) if groups == 1 else norms[[0, 0, 1, 1]][:, None]
    assert close(result["0.weight"], weight * read)
    features = net[:3].eval()(x).detach()
    assert close(result["3.weight"], net[3].weight.detach().abs() * features.pow(2).sum(0).sqrt())


def test_tied_weights_receive_the_sum_over_their_uses() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    net[1].weight = net[0].weight
    x, y = torch.randn(9, 3, dtype=F64), torch.randn(9, 3, dtype=F64)
    w = net[0].weight.detach()
    error = 2 / 27 * (x @ w.T @ w.T - y)
    gradient = error.T @ (x @ w.T) + (error @ w).T @ x
    result = scores.snip(net, mse_loss, (x, y))
    assert list(result) == ["0.weight"] and close(result["0.weight"], (w * gradient).abs())
    column, row = w.abs().sum(1), w.abs().sum(0)
    flow = w.abs() * (row[:, None] + column)  # as first layer: reads ones, is read by row sums; as second: the reverse
    assert close(scores.synflow(net, (1, 3))["0.weight"], flow)
    assert close(scores.wanda(net, x)["0.weight"], w.abs() * (x.pow(2).sum(0) + (x @ w.T).pow(2).sum(0)).sqrt())
