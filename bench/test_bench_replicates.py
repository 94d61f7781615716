"""Sixteen digits networks as one program against sixteen PyTorch runs in sequence.

The peer is what a user would write: torch.nn, cross_entropy, autograd, torch.optim.SGD, one network after the other.
Both do the same steps from the same weights in the same data order, and must reach the same parameters before they are
timed. The bars are ratios of medians, interleaved in the same run.
"""

from collections.abc import Callable
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneproof.claims.training.replicates import Replicates, initial_replicates
from pruneproof.claims.training.trainer import Recipe, Trainer

REPLICATES, WIDTHS, EXAMPLES = 16, (64, 100, 10), 1437


def _data(device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.rand(EXAMPLES, 64, generator=generator), torch.randint(10, (EXAMPLES,), generator=generator)
    return inputs.to(device), labels.to(device)


def _networks(device: str) -> Replicates:
    return initial_replicates([WIDTHS] * REPLICATES, seeds=range(REPLICATES), device=device)


def _orders(recipe: Recipe, device: str) -> list[list[Tensor]]:
    """The same data orders for both sides, drawn before the clock starts."""
    generators = [[torch.Generator().manual_seed(s * 1_000_003 + e) for e in range(recipe.epochs)] for s in range(16)]
    return [[torch.randperm(EXAMPLES, generator=generator).to(device) for generator in row] for row in generators]


def _modules(nets: Replicates) -> list[nn.Sequential]:
    models: list[nn.Sequential] = []
    for replicate in range(REPLICATES):
        linears = [nn.Linear(*pair, device=nets.parameters.device) for pair in pairwise(WIDTHS)]
        for layer, linear in enumerate(linears):
            linear.weight.data.copy_(nets.weights[layer][replicate])
            linear.bias.data.copy_(nets.biases[layer][replicate, :, 0])
        models.append(nn.Sequential(linears[0], nn.ReLU(), linears[1]))
    return models


def _sequential(models: list[nn.Sequential], recipe: Recipe, orders: list[list[Tensor]]) -> None:
    inputs, labels = _data(orders[0][0].device.type)
    for model, epochs in zip(models, orders, strict=True):
        optimiser = torch.optim.SGD(model.parameters(), lr=recipe.rate, momentum=recipe.momentum)
        for order in epochs:
            for chosen in order.split(recipe.batch):
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
                optimiser.step()


def _seconds(run: Callable[[], None]) -> float:
    start = perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter() - start


@pytest.mark.parametrize(("batch", "bar"), [(128, 3.0), (1024, 1.0)])
def test_one_program_against_sixteen_runs(benchmark: Any, batch: int, bar: float) -> None:
    _compare(benchmark, batch, bar, "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recorded_steps_against_sixteen_runs_on_a_gpu(benchmark: Any) -> None:
    _compare(benchmark, 128, 50.0, "cuda")


def _compare(benchmark: Any, batch: int, bar: float, device: str) -> None:
    recipe = Recipe(epochs=5, batch=batch)
    orders = _orders(recipe, device)
    nets, models = _networks(device), _modules(_networks(device))
    Trainer(nets, *_data(device), recipe).run()
    _sequential(models, recipe, orders)
    for replicate, model in enumerate(models):  # float32, 60 steps: rounding only
        torch.testing.assert_close(nets.weights[0][replicate], model[0].weight.data, rtol=1e-3, atol=1e-4)

    trainer = Trainer(nets, *_data(device), recipe)
    trainer.run()
    pairs = [(_seconds(lambda: _sequential(models, recipe, orders)), _seconds(trainer.run)) for _ in range(5)]
    ratio = median(peer for peer, _ in pairs) / median(ours for _, ours in pairs)
    benchmark.extra_info.update({"peer": "PyTorch, one run after the other", "ratio": ratio, "bar": bar})
    benchmark.pedantic(trainer.run, rounds=3)
    assert ratio >= bar
