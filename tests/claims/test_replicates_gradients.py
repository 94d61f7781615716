"""The hand-derived training step is torch.optim.SGD on the cross-entropy, for every replicate."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pruneproof import PruneproofError
from pruneproof.claims.training.replicates import Replicates, initial_replicates
from pruneproof.claims.training.trainer import Recipe, Trainer

SIZES = [(8, 12, 9, 3), (8, 5, 9, 3)]
RECIPE = Recipe(epochs=6, batch=32, decay=1e-3, drops=(4,))


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(70, 8, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (2, 70), generator=generator)


def _networks(bias: bool = True) -> Replicates:
    return initial_replicates(SIZES, seeds=[3, 4], bias=bias, dtype=torch.float64)


def _one_by_one(nets: Replicates, replicate: int, inputs: Tensor, labels: Tensor) -> list[Tensor]:
    """One replicate, trained by autograd and torch.optim in the same data order."""
    weights = [weight[replicate].clone().requires_grad_() for weight in nets.weights]
    biases = [bias[replicate, :, 0].clone().requires_grad_() for bias in nets.biases]
    optimiser = torch.optim.SGD([*weights, *biases], lr=0.1, momentum=0.9, weight_decay=1e-3)
    for epoch in range(RECIPE.epochs):
        optimiser.param_groups[0]["lr"] = RECIPE.rate_at(epoch)
        seed = nets.seeds[replicate] * 1_000_003 + epoch
        order = torch.randperm(70, generator=torch.Generator().manual_seed(seed))
        for chosen in order.split(RECIPE.batch):
            hidden = inputs[chosen]
            for layer, weight in enumerate(weights):
                hidden = functional.linear(hidden, weight, biases[layer] if biases else None)
                hidden = hidden.relu() if layer + 1 < len(weights) else hidden
            optimiser.zero_grad()
            functional.cross_entropy(hidden, labels[replicate][chosen]).backward()
            optimiser.step()
    return weights


@pytest.mark.parametrize("bias", [True, False])
def test_training_equals_autograd_and_torch_optim(data: tuple[Tensor, Tensor], bias: bool) -> None:
    nets = _networks(bias)
    expected = [_one_by_one(nets, replicate, *data) for replicate in range(2)]
    Trainer(nets, *data, RECIPE).run()
    for replicate, weights in enumerate(expected):
        for layer, weight in enumerate(weights):
            # 18 steps of float64 sums of at most 70 terms of order one: rounding stays far below 1e-12
            torch.testing.assert_close(nets.weights[layer][replicate], weight, rtol=0, atol=1e-12)


def test_a_wrong_label_offset_would_be_seen(data: tuple[Tensor, Tensor]) -> None:
    """The false twin: replicates trained on each other's labels differ from the reference."""
    nets = _networks()
    expected = _one_by_one(nets, 0, *data)
    Trainer(nets, data[0], data[1].flip(0), RECIPE).run()
    assert (nets.weights[0][0] - expected[0]).abs().max() > 1e-3


def test_padding_of_a_narrower_replicate_stays_exactly_zero(data: tuple[Tensor, Tensor]) -> None:
    nets = _networks()
    Trainer(nets, *data, RECIPE).run()
    assert not nets.weights[0][1, 5:].any()
    assert not nets.weights[1][1, :, 5:].any()
    assert not nets.biases[0][1, 5:].any()


def test_stopping_and_going_on_changes_nothing(data: tuple[Tensor, Tensor]) -> None:
    whole, parts = _networks(), _networks()
    Trainer(whole, *data, RECIPE).run()
    trainer = Trainer(parts, *data, RECIPE)
    trainer.run(0, 7)
    trainer.run(7)
    assert torch.equal(whole.parameters, parts.parameters)


def test_the_same_call_is_bit_identical(data: tuple[Tensor, Tensor]) -> None:
    first, second = _networks(), _networks()
    for nets in (first, second):
        Trainer(nets, *data, RECIPE).run()
    assert torch.equal(first.parameters, second.parameters)


def test_a_replicate_does_not_depend_on_its_company(data: tuple[Tensor, Tensor]) -> None:
    together = initial_replicates([(8, 12, 3)] * 5, seeds=[3, 4, 5, 6, 7], dtype=torch.float64)
    alone = initial_replicates([(8, 12, 3)], seeds=[5], dtype=torch.float64)
    for nets in (together, alone):
        Trainer(nets, data[0], data[1][0], RECIPE).run()
    torch.testing.assert_close(together.parameters[2:3], alone.parameters, rtol=0, atol=1e-12)


def test_each_replicate_may_have_its_own_inputs(data: tuple[Tensor, Tensor]) -> None:
    shared, own = _networks(), _networks()
    Trainer(shared, *data, RECIPE).run()
    Trainer(own, torch.stack([data[0], data[0]]), data[1], RECIPE).run()
    assert torch.equal(shared.parameters, own.parameters)


@pytest.mark.parametrize("fault", ["features", "labels", "nan", "rate", "empty"])
def test_misuse_is_refused_before_training(data: tuple[Tensor, Tensor], fault: str) -> None:
    inputs, labels, recipe = *data, RECIPE
    if fault == "features":
        inputs = inputs[:, :7]
    elif fault == "labels":
        labels = labels + 3
    elif fault == "nan":
        inputs = inputs.where(inputs < 1, torch.nan)
    elif fault == "rate":
        recipe = Recipe(epochs=1, rate=0.0)
    else:
        inputs, labels = inputs[:0], labels[:, :0]
    nets = _networks()
    before = nets.parameters.clone()
    with pytest.raises(PruneproofError, match="Trainer"):
        Trainer(nets, inputs, labels, recipe)
    assert torch.equal(nets.parameters, before)


def test_networks_of_different_depth_are_refused() -> None:
    with pytest.raises(PruneproofError, match="same depth"):
        initial_replicates([(8, 4, 3), (8, 4, 4, 3)], seeds=[0, 1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="records CUDA graphs, needs a CUDA device")
def test_recorded_steps_on_a_gpu_follow_the_cpu(data: tuple[Tensor, Tensor]) -> None:
    """Also through a mask, a drop of the learning rate and a last batch of another size."""
    host = _networks()
    device = initial_replicates(SIZES, seeds=[3, 4], device="cuda", dtype=torch.float64)
    mask = torch.rand(host.parameters.shape, generator=torch.Generator().manual_seed(2)) < 0.7
    Trainer(host, *data, RECIPE).run(mask=mask)
    inputs, labels = data
    trainer = Trainer(device, inputs.cuda(), labels.cuda(), RECIPE)
    trainer.run(0, 7, mask=mask.cuda())
    trainer.run(7, mask=mask.cuda())
    torch.testing.assert_close(device.parameters.cpu(), host.parameters, rtol=0, atol=1e-11)
    assert not device.parameters.cpu()[~mask].any()
