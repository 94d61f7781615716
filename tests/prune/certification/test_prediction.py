"""Errors carried to the output (N2): predictions, and the bound that shows what absolute values cost."""

import copy

import pytest
import torch
from torch import Tensor, nn

from pruneproof import PruneproofError
from pruneproof.prune import certify, predicted_error, propagated_error, sipp


def _pair() -> tuple[nn.Sequential, nn.Sequential, Tensor]:
    torch.manual_seed(0)
    original = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)).double()
    pruned = copy.deepcopy(original)
    for parameter in pruned.parameters():
        parameter.data *= torch.rand_like(parameter) < 0.8
    return original, pruned, torch.rand(20, 6, dtype=torch.float64)


def test_n2_bounds_the_difference_at_known_points() -> None:
    original, pruned, inputs = _pair()
    difference = certify(original, pruned, inputs).error_bound
    bound = propagated_error(original, pruned, inputs)
    assert (bound >= difference * (1 - 1e-9)).all()  # both are rounded at 1e-16
    assert (bound > 1.05 * difference).any()  # absolute values cost something: it is not the difference itself


def test_det_prediction_exceeds_the_error_on_the_sample() -> None:
    """For Det |Ŵ| ≤ |W|, so the ε form with |W| is a bound on S, not only a prediction."""
    original, _, inputs = _pair()
    result = sipp(original, inputs, density=0.7, variant="det")
    predicted = predicted_error(original, inputs, {name: b.epsilon for name, b in result.bounds.items()})
    assert (predicted >= certify(original, result.model, inputs).error_bound * (1 - 1e-9)).all()
    smaller = sipp(original, inputs, density=0.9, variant="det").bounds
    assert (predicted_error(original, inputs, {n: b.epsilon for n, b in smaller.items()}) <= predicted).all()


def test_unknown_weights_are_refused() -> None:
    original, _, inputs = _pair()
    with pytest.raises(PruneproofError, match="9"):
        predicted_error(original, inputs, {"9.weight": torch.zeros(2, 3)})


class Residual(nn.Module):
    """x ↦ 2x + 3x, and with an error of a tenth of each weight 0.2|x| + 0.3|x|."""

    def __init__(self, first: float = 2.0, second: float = 3.0) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.a.weight.data.fill_(first)
        self.b.weight.data.fill_(second)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


def test_errors_of_a_sum_add() -> None:
    """In (3x) after (2x + 3x): carried 3·0.5|x|, and of its own 0.1·3·|5x|."""
    at = torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
    tenth = torch.full((2, 1), 0.1)
    network = nn.Sequential(Residual(), nn.Linear(1, 1, bias=False))
    network.get_parameter("1.weight").data.fill_(3.0)
    found = predicted_error(network, at, dict.fromkeys(("0.a.weight", "0.b.weight", "1.weight"), tenth))
    torch.testing.assert_close(found, (1.5 + 1.5) * at.abs(), rtol=1e-6, atol=0.0)  # 0.1 is a float32
    pruned = nn.Sequential(Residual(1.0, 5.0), copy.deepcopy(network[1]))
    torch.testing.assert_close(propagated_error(network, pruned, at), 3 * (1.0 + 2.0) * at.abs(), rtol=1e-15, atol=0.0)


def test_images_are_averaged_with_their_errors() -> None:
    """1 × 1 convolution by −2 with ε⁻ = ½: each pixel errs by |x|, and their average by the average of |x|."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.get_parameter("0.weight").data.fill_(-2.0)
    image = torch.tensor([[[[1.0, -2.0], [3.0, 0.0]]]], dtype=torch.float64)
    found = predicted_error(network, image, {"0.weight": torch.tensor([[0.0], [0.5]])})
    assert found.tolist() == [[1.5]]


@pytest.mark.parametrize("positions", [1, 3, 5])
def test_outputs_of_a_sequence_keep_their_own_errors(positions: int) -> None:
    layer = nn.Linear(4, 3, bias=False)
    layer.weight.data.fill_(1.0)
    relative = torch.tensor([[0.125, 0.25, 0.5]] * 2)
    found = predicted_error(layer, torch.ones(2, positions, 4), {"weight": relative})
    assert found.tolist() == [[[0.5, 1.0, 2.0]] * positions] * 2


def test_a_tied_weight_errs_wherever_it_is_used() -> None:
    """Ones in 3 × 3 with ε = ½: 1.5 after the first layer, and 3·1.5 + ½·9 after the second."""
    one, two = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    one.weight.data.fill_(1.0)
    two.weight = one.weight
    half = torch.full((2, 3), 0.5)
    for name in ("0.weight", "2.weight"):
        assert predicted_error(nn.Sequential(one, nn.ReLU(), two), torch.ones(1, 3), {name: half}).tolist() == [
            [9.0] * 3
        ]


class Forgetful(nn.Module):
    """Adds a different number in every call, which no trace shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Flatten(), [0]

    def forward(self, x: Tensor) -> Tensor:
        self.calls[0] += 1
        return self.layer(x) if self.calls[0] == 1 else self.layer(x) + self.layer(x * 0 + 1)


def test_the_bound_is_of_the_network_that_runs() -> None:
    with pytest.raises(PruneproofError, match="what its trace says"):
        propagated_error(Forgetful(), Forgetful(), torch.ones(1, 2))
    flipped = nn.Sequential(nn.AvgPool2d(2, divisor_override=-4), nn.Flatten())
    with pytest.raises(PruneproofError, match="positive divisor"):
        propagated_error(flipped, flipped, torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("inputs", [torch.ones(1, 5), torch.ones(1, 2, 5)])
def test_inputs_of_another_shape_are_refused(inputs: Tensor) -> None:
    layer = nn.Linear(4, 2)
    for bound in (lambda: propagated_error(layer, layer, inputs), lambda: predicted_error(layer, inputs, {})):
        with pytest.raises(PruneproofError, match="not of the shape the network reads"):
            bound()


@pytest.mark.parametrize("shape", [(2, 3), (1, 2), (3, 2)])
def test_epsilons_of_another_shape_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(PruneproofError, match=r"epsilons of weight must have shape \(2, 2\)"):
        predicted_error(nn.Linear(4, 2), torch.ones(1, 4), {"weight": torch.zeros(shape)})
