"""What a trace does not show is refused, also where the reading happens to agree with the network at the centre."""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, certify, propagated_error

ONE = torch.ones(1, 1, dtype=torch.float64)


def _scale(factor: float = 1.0) -> nn.Linear:
    """The map x ↦ factor · x."""
    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    layer.weight.data.fill_(factor)
    return layer


def _averaged(pool: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, 1, 1)), pool, nn.Flatten())


class Wired(nn.Module):
    """Three layers, joined as `wiring` says."""

    def __init__(self, wiring: Callable[["Wired", Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.wiring = _scale(), _scale(), wiring

    def forward(self, x: Tensor) -> Tensor:
        return self.wiring(self, x)


def _through(net: Wired, x: Tensor) -> Tensor:
    return net.b(torch.relu(net.a(x)))


def _past(net: Wired, x: Tensor) -> Tensor:
    hidden = net.a(x)
    torch.relu(hidden)
    return net.b(hidden)


def _short(net: Wired, x: Tensor) -> Tensor:
    hidden = net.a(x)
    net.b(torch.relu(hidden))
    return hidden


class Listed(nn.AvgPool2d):
    """A list of settings of its own hides that of its base."""

    __constants__ = ["label"]  # noqa: RUF012 (as torch has them)


DIFFERENT: dict[str, tuple[nn.Module, nn.Module, str]] = {
    "activations": (nn.Sequential(_scale(), nn.ReLU()), nn.Sequential(_scale(), nn.Identity()), "ReLU and Identity"),
    "clipped": (nn.Sequential(_scale(), nn.ReLU()), nn.Sequential(_scale(), nn.ReLU6()), "ReLU and ReLU6"),
    "edges": (
        _averaged(nn.AvgPool2d(2, padding=1)), _averaged(nn.AvgPool2d(2, padding=1, count_include_pad=False)), "pad"),
    "divisors": (_averaged(nn.AvgPool2d(1)), _averaged(nn.AvgPool2d(1, divisor_override=3)), "divisor_override"),
    "hidden settings": (_averaged(Listed(1)), _averaged(Listed(1, divisor_override=3)), "divisor_override"),
    "settings of one": (_averaged(Listed(1)), _averaged(nn.AvgPool2d(1, divisor_override=3)), "divisor_override"),
    "wiring": (Wired(_through), Wired(_past), "architecture"),
    "output": (Wired(_through), Wired(_short), "architecture"),
    "layers": (Wired(_through), Wired(lambda net, x: net.a(torch.relu(net.b(x)))), "a and b"),
    "functions": (Wired(_through), Wired(lambda net, x: net.b(torch.tanh(net.a(x)))), "tanh"),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_networks_that_differ_in_more_than_weights_are_refused(name: str) -> None:
    original, pruned, message = DIFFERENT[name]
    for pair in ((original, pruned), (pruned, original)):
        with pytest.raises(PruneproofError, match=r"architecture") as refusal:
            certify(pair[0], pair[1], 0.0 * ONE, radius=1.0)  # at 0 all of them agree
        assert message in str(refusal.value) or pair[0] is pruned


class Kinked(nn.Linear):
    """A layer that only looks linear: 9 times as steep for negative sums."""

    def forward(self, input: Tensor) -> Tensor:
        total = super().forward(input)
        return total + 9 * torch.relu(-total)


class KinkedConv(nn.Conv1d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight, bias).abs()


def _hook(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda *call: call[2] + 9 * torch.relu(-call[2]))
    return module


def _pre_hook(module: nn.Module) -> nn.Module:
    module.register_forward_pre_hook(lambda *call: (call[1][0].abs(),))
    return module


def _patched(module: nn.Module) -> nn.Module:
    module.forward = torch.abs
    return module


def _weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still in use
        return nn.utils.weight_norm(_scale())


UNSEEN: dict[str, Callable[[], nn.Module]] = {
    "forward of a subclass": lambda: nn.Sequential(Kinked(1, 1, bias=False)),
    "parametrised subclass": lambda: nn.Sequential(parametrizations.weight_norm(Kinked(1, 1))),
    "convolution of a subclass": lambda: nn.Sequential(nn.Unflatten(1, (1, 1)), KinkedConv(1, 1, 1), nn.Flatten()),
    "hook on a layer": lambda: nn.Sequential(_hook(_scale()), _scale()),
    "hook on the network": lambda: _hook(nn.Sequential(_scale())),
    "hook on the only layer": lambda: _hook(_scale()),
    "hook before a layer": lambda: nn.Sequential(_pre_hook(_scale())),
    "forward of an instance": lambda: _patched(nn.Sequential(_scale())),
    "mask of torch": lambda: nn.Sequential(prune.identity(_scale(), "weight")),
    "old weight norm": lambda: nn.Sequential(_weight_norm()),
    "not initialised": lambda: nn.Sequential(nn.LazyLinear(1)),
}


@pytest.mark.parametrize("name", UNSEEN)
@pytest.mark.parametrize("bound", [certify, propagated_error])
def test_what_runs_outside_the_trace_is_refused(name: str, bound: Callable[..., object]) -> None:
    network = UNSEEN[name]().double()
    with pytest.raises(PruneproofError, match=r"forward hooks|no bound is known|ParametrizationList"):
        bound(network, network, 0.5 * ONE)


def test_enforced_masks_and_permanent_ones_are_certified() -> None:
    """Ours is no forward hook; torch's is one until it is made permanent."""
    torch.manual_seed(0)
    original = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    enforced, masked = copy.deepcopy(original), copy.deepcopy(original)
    kept = torch.tensor([[True, False], [True, True], [False, True]])
    Masks({"0.weight": kept}).enforce(enforced)
    prune.remove(prune.custom_from_mask(masked.get_submodule("0"), "weight", kept), "weight")
    bounds = [certify(original, pruned, torch.ones(1, 2), radius=0.1).error_bound for pruned in (enforced, masked)]
    assert torch.equal(bounds[0], bounds[1]) and bounds[0].all()
    torch.optim.SGD(enforced.parameters(), lr=0.1).step()
    weight = enforced.get_parameter("0.weight")
    assert not weight[~kept].any()  # and the copy that certify read took nothing away from it


def test_parametrised_layers_are_read_in_evaluation_mode() -> None:
    """Spectral norm iterates when it is read in training; certify is no training."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    normed = nn.Sequential(parametrizations.spectral_norm(copy.deepcopy(plain[0])), nn.ReLU(), copy.deepcopy(plain[2]))
    before = copy.deepcopy(normed.state_dict())
    certify(normed, normed, torch.ones(1, 4))
    assert all(torch.equal(before[name], tensor) for name, tensor in normed.state_dict().items()) and normed.training
    ones = torch.ones(1, 4, dtype=torch.float64)
    with torch.no_grad():
        deployed = [copy.deepcopy(model).double().eval()(ones) for model in (normed, plain)]
        difference = torch.sub(deployed[0], deployed[1]).abs()
    torch.testing.assert_close(certify(plain, normed, ones).error_bound, difference, rtol=1e-12, atol=0.0)


def test_an_activation_with_a_state_is_the_same_in_both() -> None:
    """One function stands for both: a pruned PReLU would be bounded by the original's."""
    original, pruned = (nn.Sequential(_scale(), nn.PReLU(init=slope).double()) for slope in (0.25, 0.5))
    assert not certify(original, original, 0.0 * ONE, lipschitz={nn.PReLU: 1.0}).error_bound.isnan().any()
    with pytest.raises(PruneproofError, match="different state"):
        certify(original, pruned, 0.0 * ONE, radius=1.0, lipschitz={nn.PReLU: 1.0})


def test_inputs_are_left_as_they_are() -> None:
    inputs = -ONE.clone()
    network = nn.Sequential(nn.ELU(inplace=True), _scale())
    for method in ("ibp", "crown"):
        certify(network, copy.deepcopy(network), inputs, radius=0.5, method=method)
    propagated_error(network, network, inputs)
    assert torch.equal(inputs, -ONE)


def test_an_overwriting_activation_is_bounded_over_the_whole_ball() -> None:
    """|ELU(x)·1 − ELU(x)·0| = 1 − e⁻⁵ at −5, which the ends of an overwritten interval would miss."""
    pair = [nn.Sequential(nn.ELU(inplace=True), _scale(factor)) for factor in (1.0, 0.0)]
    for method in ("ibp", "crown"):
        assert float(certify(pair[0], pair[1], 0.0 * ONE, radius=5.0, method=method).error_bound) >= 5.0


def test_inference_mode_makes_no_difference() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 2)).double()
    pruned, inputs = copy.deepcopy(network), torch.rand(1, 1, 4, 4).double()
    pruned.get_parameter("0.weight").data[0] = 0
    expected = certify(network, pruned, inputs, radius=0.1)
    with torch.inference_mode():
        found = certify(network, pruned, inputs.clone(), radius=0.1)
    assert torch.equal(found.error_bound, expected.error_bound)
