"""Train one network, deterministically and fast: what a cell of an image claim does.

Stochastic gradient descent by a `Recipe`, data order a function of seed and epoch alone, so that training may stop at
any step and go on, and paired variants see the same batches. Convolutions of this size are bound by arithmetic on a CPU
core: stacking replicates into grouped convolutions was measured to be slower than a loop (3.8 ms against 2.5 ms per
replicate for 32 → 32 channels on 8 × 8 at batch 143), so networks are trained one by one, in the channels-last layout,
and cells run side by side. Perceptrons are stacked instead: `replicate_training`.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruneproof.errors import InvalidValueError
from pruneproof.prune import Masks

from .trainer import Recipe

Augment = Callable[[Tensor, torch.Generator], Tensor]
_EPOCHS = 1_000_003  # a prime above any number of epochs: (seed, epoch) pairs get different generators
_EVALUATION_BATCH = 1000


class GlobalAverage(nn.Module):
    """The mean of each channel, (batch, channels, h, w) → (batch, channels, 1, 1), for the channels-last layout.

    To the last bit what `nn.AdaptiveAvgPool2d(1)` gives, and the same gradient, but laid out like its
    input; otherwise the rectifier before reads the two in different orders, which took a seventh of a step.

    Example:
        >>> GlobalAverage()(torch.ones(2, 3, 4, 4)).shape
        torch.Size([2, 3, 1, 1])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Average over h and w."""
        return x.movedim(1, -1).mean((1, 2), keepdim=True).movedim(-1, 1)


def steps_per_epoch(examples: int, recipe: Recipe) -> int:
    """Steps of an epoch; the last takes what is left.

    Example:
        >>> steps_per_epoch(1437, Recipe(epochs=20, batch=144))
        10
    """
    return -(-examples // recipe.batch)


def train(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    masks: Masks | None = None,
    start: int = 0,
    stop: int | None = None,
    augment: Augment | None = None,
) -> nn.Module:
    """Train a classifier in place from one step of its recipe to another.

    Args:
        model: maps inputs to logits; its parameters and buffers are changed.
        inputs: (n, …) float tensor on the model's device.
        labels: (n,) int64 classes.
        recipe: epochs, batch, rate, momentum, decay and drops.
        seed: fixes the order of the data together with the epoch.
        masks: enforced during training; pruned weights stay exactly zero.
        start: first step, counted from 0 over the whole recipe; momentum starts from zero.
        stop: the step to stop before, by default the end.
        augment: changes a batch, drawing from the generator it is given.

    Returns:
        The model, in training mode.

    Raises:
        InvalidValueError: For inputs and labels of different lengths.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> points, classes = torch.eye(2), torch.tensor([0, 1])
        >>> _ = train(net, points, classes, Recipe(epochs=50), seed=0)
        >>> accuracy(net, points, classes)
        1.0
    """
    if len(inputs) != len(labels):
        raise InvalidValueError(
            f"train: every input needs a label, got {len(inputs)} inputs and {len(labels)} labels. Check the data."
        )
    model.train()
    per_epoch = steps_per_epoch(len(inputs), recipe)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.decay, fused=True
    )
    order, drawn, generator = torch.empty(0), -1, torch.Generator()
    with masks.enforce(model) if masks is not None else nullcontext():
        for step in range(start, recipe.epochs * per_epoch if stop is None else stop):
            epoch, place = divmod(step, per_epoch)
            if epoch != drawn:
                generator.manual_seed(seed * _EPOCHS + epoch)
                order, drawn = torch.randperm(len(inputs), generator=generator).to(labels.device), epoch
                optimizer.param_groups[0]["lr"] = recipe.rate_at(epoch)
            index = order[place * recipe.batch : (place + 1) * recipe.batch]
            batch = inputs[index] if augment is None else augment(inputs[index], generator)
            optimizer.zero_grad()
            cross_entropy(model(batch), labels[index]).backward()
            optimizer.step()
    return model


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """The fraction of inputs classified correctly, in evaluation mode; the modes are put back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    parts = zip(inputs.split(_EVALUATION_BATCH), labels.split(_EVALUATION_BATCH), strict=True)
    correct = sum(int((model(x).argmax(1) == y).sum()) for x, y in parts)
    for module, mode in modes:
        module.training = mode
    return correct / len(labels)
