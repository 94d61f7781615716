"""The path certificate on modules used twice, functions inside `forward`, every pooling, masked biases and groups."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, connectivity, shuffle


def everything(net: nn.Module) -> Masks:
    return Masks({n: torch.ones_like(p, dtype=torch.bool) for n, p in net.named_parameters() if p.ndim > 1})


class MaxPoolStem(nn.MaxPool2d):
    """A user's own pooling, under a name of its own."""


class Calls(nn.Module):
    """A function inside `forward`."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """What the function makes of x."""
        return self.function(x)


POOLS: dict[str, nn.Module] = {
    "subclass": MaxPoolStem(2),
    "function": Calls(lambda x: functional.max_pool2d(x, 2)),
    "function with a stride": Calls(lambda x: functional.max_pool2d(x, kernel_size=2, stride=2)),
    "torch's own function": Calls(lambda x: torch.max_pool2d(x, 2)),
    "adaptive function": Calls(lambda x: functional.adaptive_max_pool2d(x, 1)),
}


@pytest.mark.parametrize("kind", POOLS)
def test_a_maximum_passes_every_live_input_however_it_is_written(kind: str) -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), POOLS[kind], nn.Flatten(), nn.Linear(1, 1))
    assert connectivity(net, everything(net), (1, 1, 2, 2)).live == everything(net)


def test_a_pool_that_is_used_twice_passes_every_live_input_twice() -> None:
    pool = nn.MaxPool2d(2)
    net = nn.Sequential(
        *(nn.Conv2d(1, 1, 3, padding=1), pool, nn.Conv2d(1, 1, 3, padding=1), pool), nn.Flatten(), nn.Linear(1, 1)
    )
    assert connectivity(net, everything(net), (1, 1, 4, 4)).live == everything(net)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (nn.MaxPool2d(2, dilation=2), "max_pool2d with dilation 2"),
        (nn.FractionalMaxPool2d(2, output_size=1), "fractional_max_pool2d"),
        (Calls(lambda x: functional.max_pool2d(x, 2, return_indices=True)[0]), "max_pool2d with_indices"),
    ],
)
def test_pooling_that_no_average_stands_for_is_refused(pool: nn.Module, message: str) -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), pool)
    with pytest.raises(PruneproofError, match=f"connectivity: no average stands for {message}. Examine a copy"):
        connectivity(net, everything(net), (1, 1, 4, 4))


FUNCTIONS = ["sigmoid", "tanh", "softplus", "hardsigmoid", "hardtanh", "relu6", "logsigmoid", "dropout", "gelu", "elu"]


def no_path_and_no_obstacle(act: nn.Module) -> bool:
    net = nn.Sequential(nn.Linear(2, 2), act, nn.Linear(2, 2), act, nn.Linear(2, 1))
    emptied = Masks({**everything(net), "2.weight": torch.zeros(2, 2) > 0})
    whole = connectivity(net, everything(net), (1, 2)).live == everything(net)
    return whole and not connectivity(net, emptied, (1, 2)).connected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_activation_called_as_a_function_is_no_path_and_no_obstacle(name: str) -> None:
    """σ(0) > 0 would start a path, and σ′(40) = 0 in double precision would end one."""
    function = getattr(functional, name)
    assert no_path_and_no_obstacle(Calls(lambda x: function(function(40 * x))))


def test_an_activation_that_is_used_twice_is_no_path_and_no_obstacle() -> None:
    assert no_path_and_no_obstacle(nn.Sigmoid())


@pytest.mark.parametrize("alias", ["0", "7"])
def test_a_layer_used_often_may_be_masked_under_any_of_its_names(alias: str) -> None:
    """2^1100 paths leave a double unless reduced at every use, and zero times infinity is no number."""
    masks = Masks({f"{alias}.weight": torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 0]]) > 0})
    result = connectivity(nn.Sequential(*[nn.Linear(3, 3)] * 1100), masks, (1, 3))
    assert result.connected and result.live == masks


def test_a_masked_bias_is_no_path() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    masks = Masks(
        {
            "0.weight": torch.zeros(3, 2) > 0,
            "0.bias": torch.ones(3) > 0,
            "1.weight": torch.tensor([[True, False, False]] * 2),
        }
    )
    result = connectivity(net, masks, (1, 2))
    assert not result.connected and result.cut == ("0.weight", "1.weight")
    assert result.live["0.bias"].tolist() == [True, False, False]  # the unit that is read
    assert result.live_units == {"0.weight": 0, "1.weight": 0}
    assert shuffle(masks, generator=torch.Generator(), within=result.live_positions()).counts == masks.counts


def test_a_mask_of_a_normaliser_removes_channels() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    masks = Masks({"0.weight": torch.ones(2, 2) > 0, "1.weight": torch.tensor([True, False])})
    result = connectivity(net, masks, (1, 2))
    assert result.live["0.weight"].tolist() == [[True, True], [False, False]]


def test_positions_of_a_grouped_convolution_stay_within_their_group() -> None:
    net = nn.Conv2d(4, 4, 1, groups=2)
    mask = torch.tensor([[1, 0], [0, 0], [0, 0], [0, 1]]).view(4, 2, 1, 1) > 0
    positions = connectivity(net, Masks({"weight": mask}), (1, 4, 1, 1)).live_positions()
    assert torch.equal(positions["weight"], mask)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int32])
def test_weights_that_are_no_real_numbers_are_refused(dtype: torch.dtype) -> None:
    net = nn.Linear(2, 2, bias=False)
    net.weight = nn.Parameter(torch.ones(2, 2, dtype=dtype), requires_grad=False)
    with pytest.raises(PruneproofError, match=rf"weight holds {str(dtype)[6:]}, not real"):
        connectivity(net, Masks({"weight": torch.ones(2, 2) > 0}), (1, 2))


def test_misuse_is_told_in_one_line() -> None:
    net, bad = nn.Linear(2, 2), list[Any]([(-1, 2), "x", 3])
    for shape in bad:
        with pytest.raises(PruneproofError, match=r"connectivity: the (sizes of inputs|inputs) must be"):
            connectivity(net, Masks({"weight": torch.ones(2, 2) > 0}), shape)
    with pytest.raises(RuntimeError) as caught:
        connectivity(net, Masks({"weight": torch.ones(2, 2) > 0}), (1, 3))
    assert "called by connectivity" in caught.value.__notes__[0]
    with torch.inference_mode(), pytest.raises(PruneproofError, match="inference_mode"):
        connectivity(net, Masks({"weight": torch.ones(2, 2) > 0}), (1, 2))
