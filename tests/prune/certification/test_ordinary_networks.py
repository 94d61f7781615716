"""Networks are read as people write them: functional forms, reshaping by the batch size, constants, concatenation."""

import copy
import itertools
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruneproof.errors import InvalidValueError, PruneproofError, UnsupportedError
from pruneproof.prune import certify, propagated_error


class MnistExample(nn.Module):
    """The network of PyTorch's own MNIST example, narrower."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, 1), nn.Conv2d(4, 6, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(54, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = self.dropout2(x)
        return F.log_softmax(self.fc2(x), dim=1)


class Small(nn.Module):
    """One of the forms below between two linear layers."""

    mean: Tensor
    keep: Tensor

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.first, self.last = form, nn.Linear(8, 8), nn.Linear(8, 3)
        self.slopes = nn.PReLU(init=0.3)
        self.register_buffer("mean", torch.linspace(-1, 1, 8))
        self.register_buffer("keep", torch.tensor([1.0, 2.0] * 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(FORMS[self.form](self, self.first(x)))


FORMS = {
    "view by size": lambda m, x: F.relu(x.view(x.size(0), 2, 4)).view(x.size(0), -1),
    "view by shape": lambda m, x: F.relu(x.reshape(x.shape[0], 4, 2)).reshape(x.shape[0], -1),
    "view by -1": lambda m, x: F.relu(x.view(-1, 8)),
    "normalisation": lambda m, x: F.relu((x - m.mean) / m.keep),
    "constants": lambda m, x: F.relu(2.0 * x + 0.5) / 3.0 - 1.0,
    "from a constant": lambda m, x: F.relu(1.0 - x),
    "a mask": lambda m, x: F.relu(x * m.keep),
    "doubled": lambda m, x: F.relu(x + x),
    "leaky": lambda m, x: F.leaky_relu(x, 0.2),
    "prelu": lambda m, x: m.slopes(x),
    "max pool of sequences": lambda m, x: F.max_pool1d(F.relu(x).view(x.size(0), 2, 4), 3, 1, 1).flatten(1),
    "average of sequences": lambda m, x: F.avg_pool1d(x.view(x.size(0), 2, 4), 3, 1, 1).flatten(1),
    "dropout": lambda m, x: F.dropout(F.relu(x), 0.5, training=m.training),
    "softplus": lambda m, x: F.softplus(x),
}


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 4), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(torch.cat([F.relu(x), F.leaky_relu(x, 0.1)], 1))


def pruned_copy(model: nn.Module) -> nn.Module:
    pruned = copy.deepcopy(model)
    with torch.no_grad():
        for layer in pruned.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight.mul_(
                    layer.weight.abs() > layer.weight.abs().flatten().kthvalue(layer.weight.numel() // 4)[0]
                )
    return pruned


def check(model: nn.Module, inputs: Tensor, radius: float) -> None:
    """The bound holds at random and extreme points of the ball, and a smaller one would not."""
    model = model.double().eval()
    pruned = pruned_copy(model)
    for method in ("ibp", "crown"):
        found = certify(model, pruned, inputs, radius=radius, method=method)
        generator = torch.Generator().manual_seed(0)
        largest = torch.zeros_like(found.error_bound)
        lead = torch.full_like(found.margin, torch.inf)
        for _ in range(200):
            signs = torch.rand(inputs.shape, generator=generator, dtype=torch.float64) * 2 - 1
            points = inputs + radius * (signs if _ % 2 else signs.sign())
            outputs, others = model(points), pruned(points)
            largest = torch.maximum(largest, (others - outputs).abs())
            here = outputs.gather(1, found.predicted[:, None]) - outputs
            here[torch.arange(len(here)), found.predicted] = torch.inf
            lead = torch.minimum(lead, here.amin(1))
        assert bool((found.error_bound >= largest).all()) and bool((found.margin <= lead).all())
        assert bool(found.error_bound.isfinite().all())
    exact = certify(model, pruned, inputs)
    assert torch.allclose(exact.error_bound, (pruned(inputs) - model(inputs)).abs(), atol=1e-9)
    assert bool((propagated_error(model, pruned, inputs) >= exact.error_bound - 1e-9).all())


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read_and_its_bound_holds(form: str) -> None:
    torch.manual_seed(0)
    check(Small(form), torch.randn(3, 8, dtype=torch.float64), 0.1)


def test_a_concatenation_is_read_and_its_bound_holds() -> None:
    torch.manual_seed(0)
    check(Wide(), torch.randn(3, 8, dtype=torch.float64), 0.1)


def test_the_mnist_example_of_pytorch_certifies() -> None:
    torch.manual_seed(0)
    check(MnistExample(), torch.rand(2, 1, 10, 10, dtype=torch.float64), 0.01)


def test_log_softmax_does_not_loosen_the_margin() -> None:
    """Leads of log-probabilities are leads of logits, so the same inputs are certified with and without it."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double().eval()
    whole = nn.Sequential(*body, nn.LogSoftmax(1)).eval()
    inputs = torch.randn(20, 8, dtype=torch.float64)
    plain, logarithm = (certify(net, pruned_copy(net), inputs, radius=0.05) for net in (body, whole))
    assert torch.allclose(plain.margin, logarithm.margin, atol=1e-9)
    assert torch.equal(plain.certified, logarithm.certified)


REFUSED = {
    "items that mix": lambda m, x: F.relu(x.view(-1, 4)).view(-1, 8),
    "a product of steps": lambda m, x: x * F.relu(x),
    "a product with what varies": lambda m, x: x * m.first.weight.sum(),
    "a division by zero": lambda m, x: x / 0.0,
    "softmax": lambda m, x: F.softmax(x, 1),
    "dropout in training": lambda m, x: F.dropout(x, 0.5),
    "a sort": lambda m, x: x.sort(1).values,
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_not_understood_is_refused_by_name(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMS, "refused", REFUSED[form])
    model = Small("refused").double().eval()
    with pytest.raises(UnsupportedError, match=r"^certify: (?!.* at 0x)"):
        certify(model, pruned_copy(model), torch.randn(4, 8, dtype=torch.float64), radius=0.1)


def test_a_constant_that_differs_between_the_networks_is_refused() -> None:
    model = Small("normalisation").double().eval()
    other = copy.deepcopy(model)
    other.mean.add_(1)
    with pytest.raises(UnsupportedError, match="mean differs between the two networks"):
        certify(model, other, torch.randn(2, 8, dtype=torch.float64))


@pytest.mark.parametrize(("layer", "constant"), [(nn.GELU(), 0.01), (nn.SiLU(), 0.5), (nn.Mish(), 0.9)])
def test_a_declared_slope_that_is_too_small_is_refused(layer: nn.Module, constant: float) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 2)).double().eval()
    inputs = torch.randn(1, 4, dtype=torch.float64) * 2
    with pytest.raises(InvalidValueError, match="declares a slope of at most"):
        certify(model, pruned_copy(model), inputs, radius=2.0, lipschitz={type(layer): constant})
    found = certify(model, pruned_copy(model), inputs, radius=2.0, lipschitz={type(layer): 1.2})
    assert found.assumptions == (f"assumes slope ≤ 1.2 for {type(layer).__name__}: declared, not proved",)


@pytest.mark.parametrize("layer", [nn.LayerNorm(4, elementwise_affine=False), nn.Softmax(1)])
def test_a_declared_activation_that_is_not_elementwise_is_refused(layer: nn.Module) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 2)).double().eval()
    with pytest.raises(PruneproofError, match=r"no elementwise activation|slope"):
        certify(
            model, pruned_copy(model), torch.randn(1, 4, dtype=torch.float64), radius=0.5, lipschitz={type(layer): 9}
        )


@pytest.mark.filterwarnings("ignore:Casting complex")
def test_weights_and_inputs_that_float64_does_not_hold_are_refused() -> None:
    plain, values = nn.Sequential(nn.Linear(4, 2)), torch.randn(1, 4)
    wide = nn.Sequential(nn.Linear(4, 2, dtype=torch.complex64))
    for model, inputs in ((wide, values), (plain, values.to_sparse())):
        with pytest.raises(PruneproofError, match=r"complex64|to_dense"):
            certify(model, copy.deepcopy(model), inputs, radius=0.1)


class PoolMinusEntry(nn.Module):
    """The larger of two entries less the second, beside a constant: the first entry can win by a little."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.spread, self.second = nn.MaxPool2d((1, 2)), nn.Linear(1, 2), nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.spread.weight.copy_(torch.tensor([[1.0], [0.0]]))
            self.spread.bias.copy_(torch.tensor([0.0, 0.0015]))
            self.second.weight.copy_(torch.tensor([[0.0, -1.0], [0.0, 0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.spread(self.pool(x).flatten(1)) + self.second(x.flatten(1))


def test_a_pooled_entry_wins_only_if_no_rival_can_exceed_it() -> None:
    """The rival exceeds the likely winner by less than 0.01, enough to flip the class at a corner of the ball."""
    model = PoolMinusEntry().double().eval()
    inputs, radius = torch.tensor([[[[0.0, 0.001]]]], dtype=torch.float64), 0.002
    found = certify(model, copy.deepcopy(model), inputs, radius=radius)
    corners = [
        inputs + radius * torch.tensor(signs, dtype=torch.float64) for signs in itertools.product((-1, 1), repeat=2)
    ]
    outputs = torch.cat([model(corner) for corner in corners]).detach()
    lead = outputs[:, found.predicted[0]] - outputs[:, 1 - found.predicted[0]]
    assert float(lead.min()) < 0 <= float(lead.max())  # the class does flip
    assert float(found.margin) <= float(lead.min()) and not bool(found.certified)


class _OfShapes(nn.Module):
    """A convolution, a branch or an assertion on shapes, a linear layer."""

    def __init__(self, reshape: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.convolution, self.linear, self.reshape = nn.Conv2d(1, 2, 3), nn.Linear(2 * 4 * 4, 3), reshape

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.reshape(torch.relu(self.convolution(x))))


def _unpacked(x: Tensor) -> Tensor:
    items, channels, rows, columns = x.shape
    return x.view(items, channels * rows * columns)


def _asserted(x: Tensor) -> Tensor:
    assert x.dim() == 4 and x.shape[1:] == (2, 4, 4), "another network's features"
    return x.flatten(1)


def _branched(x: Tensor) -> Tensor:
    if x.size(2) != 4 or x.ndim != 4:
        x = F.interpolate(x, 4)
    return torch.relu_(x.reshape(x.size()[0], -1))


@pytest.mark.parametrize("reshape", [_unpacked, _asserted, _branched])
def test_shapes_of_items_are_known_while_reading(reshape: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    network = _OfShapes(reshape)
    plain, inputs = _OfShapes(lambda x: x.flatten(1)), torch.rand(3, 1, 6, 6)
    plain.load_state_dict(network.state_dict())
    pruned, also = copy.deepcopy(network), copy.deepcopy(plain)
    for model in (pruned, also):
        model.linear.weight.data[0] = 0.0
    found, wanted = certify(network, pruned, inputs, radius=0.1), certify(plain, also, inputs, radius=0.1)
    assert torch.allclose(found.error_bound, wanted.error_bound, rtol=1e-9, atol=1e-12)  # a step more rounds more
    assert not found.error_bound.signbit().any()
    state = torch.get_rng_state()
    certify(network, pruned, inputs)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_number_of_items_stays_open() -> None:
    """A branch on it would be the one of the batch at hand."""
    network = _OfShapes(lambda x: x.flatten(1) if x.shape[0] == 2 else 2 * x.flatten(1))
    with pytest.raises(PruneproofError, match="control flow"):
        certify(network, network, torch.rand(2, 1, 6, 6))


def test_a_refused_operation_is_named_with_the_line_that_calls_it() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(x).real

    line = Spectrum.forward.__code__.co_firstlineno + 1
    with pytest.raises(UnsupportedError, match=rf"fft_fft \(File \"{re.escape(__file__)}\", line {line}\)"):
        certify(Spectrum(), Spectrum(), torch.ones(1, 3))
