"""What a layer meets is recorded as it was met, whatever the model overwrites afterwards."""

import pytest
import torch
from torch import Tensor, nn

from pruneproof.prune import sipp
from pruneproof.prune.sensitivity.measuring import layers, measure, met


class Overwriting(nn.Module):
    """A residual block that adds to the tensor which a layer has met."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        """The skip is in place."""
        x = self.first(x).abs()
        x += 20 * torch.relu(self.inner(x))
        return self.last(x)


class Centring(nn.Module):
    """A model that changes its own input."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Centre in place."""
        return self.layer(x.sub_(x.mean().detach()).abs_())


def test_bounds_hold_at_rows_that_the_model_overwrites() -> None:
    torch.manual_seed(0)
    model, inputs = Overwriting().double(), torch.rand(20, 8, dtype=torch.float64)
    result = sipp(model, inputs, density=0.5, variant="det")
    with torch.no_grad():
        rows = model.first(inputs).abs()
    for sign, epsilon in zip((1, -1), result.bounds["inner.weight"].epsilon, strict=True):
        old, new = (rows @ (sign * m.inner.weight.detach()).clamp(min=0).T for m in (model, result.model))
        relative = ((new - old).abs() / old).amax(0)
        assert (relative <= epsilon * (1 + 64 * 2.0**-53)).all()  # sums of 8 terms here, 20 roundings at most


@pytest.mark.parametrize("layer", [nn.Linear(8, 4), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1, groups=2)])
def test_a_model_that_changes_its_input_leaves_the_callers_alone(layer: nn.Module) -> None:
    shape = (20, 8) if isinstance(layer, nn.Linear) else (5, 8, 2, 2)
    inputs = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    model, before = Centring(layer), inputs.clone()
    (found,), _ = layers(model)
    groups, _ = met(model, inputs, found)
    assert torch.equal(inputs, before)
    expected = (before - before.mean()).abs()
    rows = expected if isinstance(layer, nn.Linear) else expected.movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(torch.cat(groups, dim=1), rows, rtol=0, atol=0)


@pytest.mark.parametrize("layer", [nn.Linear(8, 4), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1, groups=2)])
def test_rows_survive_what_happens_after_the_layer(layer: nn.Module) -> None:
    class Then(Centring):
        def forward(self, x: Tensor) -> Tensor:
            x = x * 1.0
            y = self.layer(x)
            x.fill_(7.0)
            return y

    shape = (20, 8) if isinstance(layer, nn.Linear) else (5, 8, 2, 2)
    inputs = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    model = Then(layer)
    (found,), _ = layers(model)
    rows = inputs if isinstance(layer, nn.Linear) else inputs.movedim(1, -1).flatten(0, -2)
    assert torch.equal(torch.cat(met(model, inputs, found)[0], dim=1), rows)


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 4, 1, groups=2)])
def test_a_layer_called_twice_is_measured_on_both(layer: nn.Linear | nn.Conv2d) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + self.layer(2 * x.flip(1))

    shape = (5, 4) if isinstance(layer, nn.Linear) else (5, 4, 1, 1)
    inputs = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    (found,), _ = layers(model := Twice())
    groups, positions = met(model, inputs, found)
    rows = torch.cat([inputs, 2 * inputs.flip(1)]).flatten(1)
    assert positions == 2
    assert torch.equal(torch.cat(groups, dim=1), rows)
    assert measure(model, inputs, found).events == 2 * len(layer.weight) * 2
