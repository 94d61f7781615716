"""Stochastic gradient descent with momentum on R stacked networks as one program.

The update is that of torch.optim.SGD, u ← μu + g + λw, w ← w − ηu, with u masked, so a pruned weight
stays exactly zero. Every replicate sees its own data order, a function of its seed and the epoch alone:
training may stop at any iteration and go on, and the trajectory of a replicate does not depend on which
others share the program (up to the rounding of differently blocked products; the same call is
bit-identical). On a GPU, steps are recorded as CUDA graphs and replayed: launching a step of small
networks outlasts the step itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell
from pruneproof.errors import InvalidValueError

from .replicates import ReplicateGradients, Replicates


def device_of(scale: Scale) -> Cell:
    """The part of a cell that says where it runs: a GPU at `full`, if there is one; elsewhere nothing.

    Example:
        >>> device_of(Scale.QUICK)
        {}
    """
    return {"device": "cuda"} if scale is Scale.FULL and torch.cuda.is_available() else {}


Step = Callable[[Tensor, float], None]


class RecordedSteps:
    """A step that is recorded once per batch size and learning rate, then replayed.

    Args:
        step: (index, rate) → None; works on the same buffers at every call and reads nothing back to the host.
        state: the tensors that a step changes.
    """

    def __init__(self, step: Step, state: Sequence[Tensor]) -> None:
        self._step, self._state = step, tuple(state)
        self._recorded: dict[tuple[int, float], tuple[Tensor, torch.cuda.CUDAGraph]] = {}

    def __call__(self, index: Tensor, rate: float) -> None:
        """Take one step on the examples `index` (R, batch)."""
        key = index.shape[1], rate
        if key not in self._recorded:
            self._recorded[key] = self._record(index.clone(), rate)
        buffer, graph = self._recorded[key]
        buffer.copy_(index)
        graph.replay()

    def _record(self, index: Tensor, rate: float) -> tuple[Tensor, torch.cuda.CUDAGraph]:
        """Run once on a side stream (libraries allocate their workspaces on first use), undo it, then capture there."""
        before = [tensor.clone() for tensor in self._state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._step(index, rate)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, old in zip(self._state, before, strict=True):
            tensor.copy_(old)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            self._step(index, rate)
        return index, graph


_EPOCHS = 1_000_003  # a prime above any epoch count, so that (seed, epoch) pairs get different generators


@dataclass(frozen=True)
class Recipe:
    """How to train: epochs, batch size and SGD constants.

    Args:
        epochs: passes over the training set.
        batch: examples per step; the last step of an epoch takes what is left.
        rate: learning rate η at the start.
        momentum: μ in [0, 1).
        decay: L2 coefficient λ, on weights and biases as torch.optim.SGD has it.
        drops: epochs at which the learning rate is multiplied by 0.1.

    Example:
        >>> Recipe(epochs=30, drops=(20,)).rate_at(25)
        0.01
    """

    epochs: int
    batch: int = 128
    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 0.0
    drops: tuple[int, ...] = ()

    def rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.rate / 10 ** sum(epoch >= drop for drop in self.drops)

    def fine_tuning(self) -> Self:
        """The same length at the last learning rate of the schedule."""
        return replace(self, rate=self.rate_at(self.epochs - 1), drops=())


class Trainer:
    """Train replicates in place, from any iteration to any other.

    Args:
        nets: the networks; their parameters are changed by `run`.
        inputs: (n, features), or (R, n, features) if replicates have their own.
        labels: (n,) or (R, n) int64 classes.
        recipe: the schedule.

    Raises:
        InvalidValueError: for inputs, labels or classes that do not fit the networks, or non-finite inputs.

    Example:
        >>> from pruneproof.claims.training.replicates import initial_replicates
        >>> nets = initial_replicates([(2, 4, 2)] * 3, seeds=[0, 1, 2])
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> Trainer(nets, points, torch.tensor([0, 1]), Recipe(epochs=200)).run()
        >>> nets.probabilities(points).argmax(2).tolist()
        [[0, 1], [0, 1], [0, 1]]
    """

    def __init__(self, nets: Replicates, inputs: Tensor, labels: Tensor, recipe: Recipe) -> None:
        _check(nets, inputs, labels, recipe)
        self.nets, self.recipe = nets, recipe
        self.examples = labels.shape[-1]
        self.steps_per_epoch = -(-self.examples // recipe.batch)
        self.gradient = nets.over(torch.zeros_like(nets.parameters))
        self.velocity = torch.zeros_like(nets.parameters)
        stacked = inputs.to(nets.parameters) if inputs.dim() == 3 else inputs.to(nets.parameters).unsqueeze(0)
        self._data = stacked, torch.atleast_2d(labels).to(nets.parameters)
        self._passes: dict[int, ReplicateGradients] = {}

    @property
    def iterations(self) -> int:
        """Iterations of the whole schedule."""
        return self.recipe.epochs * self.steps_per_epoch

    def run(self, start: int = 0, stop: int | None = None, *, mask: Tensor | None = None) -> None:
        """Iterations `start` … `stop` of the schedule; `mask` (R, P) bool keeps the rest of the parameters at zero."""
        last = self.iterations if stop is None else stop
        kept = None if mask is None else mask.to(self.nets.parameters.dtype)
        if kept is not None:
            self.nets.parameters.mul_(kept)
        step = self._step(kept)
        order, ordered = torch.empty(0), -1
        for iteration in range(start, last):
            epoch, place = divmod(iteration, self.steps_per_epoch)
            if epoch != ordered:
                order, ordered = self._order(epoch), epoch
            index = order[:, place * self.recipe.batch : (place + 1) * self.recipe.batch]
            step(index, self.recipe.rate_at(epoch))

    def gradients(self, index: Tensor) -> Tensor:
        """Gradients (R, P) of the mean loss over the examples `index` (R, batch); overwritten by the next call."""
        batch = index.shape[1]
        if batch not in self._passes:
            self._passes[batch] = ReplicateGradients(self.nets, self.gradient, *self._data, batch)
        self._passes[batch](index)
        return self.gradient.parameters

    def restart(self, parameters: Tensor) -> None:
        """Copy parameters (R, P) into the networks and forget the momentum."""
        self.nets.parameters.copy_(parameters)
        self.velocity.zero_()

    def _step(self, kept: Tensor | None) -> Step:
        def step(index: Tensor, rate: float) -> None:
            self.gradients(index)
            self._update(rate, kept)

        state = self.nets.parameters, self.velocity
        return RecordedSteps(step, state) if self.velocity.is_cuda else step

    def _order(self, epoch: int) -> Tensor:
        rows = [_permutation(self.examples, seed, epoch) for seed in self.nets.seeds]
        return torch.stack(rows).to(self.nets.parameters.device)

    def _update(self, rate: float, kept: Tensor | None) -> None:
        gradient, velocity, parameters = self.gradient.parameters, self.velocity, self.nets.parameters
        if self.recipe.decay:
            gradient.add_(parameters, alpha=self.recipe.decay)
        torch.add(gradient, velocity, alpha=self.recipe.momentum, out=velocity)
        if kept is not None:
            velocity.mul_(kept)
        parameters.add_(velocity, alpha=-rate)


def _permutation(examples: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(examples, generator=torch.Generator().manual_seed(seed * _EPOCHS + epoch))


def _check(nets: Replicates, inputs: Tensor, labels: Tensor, recipe: Recipe) -> None:
    replicates, classes = len(nets.seeds), nets.weights[-1].shape[1]
    examples, features = labels.shape[-1], nets.weights[0].shape[2]
    fits = tuple(inputs.shape) in {(examples, features), (replicates, examples, features)}
    if not fits or tuple(labels.shape) not in {(examples,), (replicates, examples)}:
        raise InvalidValueError(
            f"Trainer: inputs must have shape (n, {features}) and labels (n,), or either with {replicates} leading, "
            f"got inputs {tuple(inputs.shape)}, labels {tuple(labels.shape)}. Flatten images into rows."
        )
    if not bool(torch.isfinite(inputs).all()):
        raise InvalidValueError("Trainer: the inputs must be finite, got NaN or infinity. Clean the data.")
    if examples == 0 or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        given = f"labels in {int(labels.min())} … {int(labels.max())}" if examples else "no examples"
        raise InvalidValueError(
            f"Trainer: at least one example with labels in 0 … {classes - 1} is needed, got {given}. "
            "Renumber the classes."
        )
    if min(recipe.epochs, recipe.batch) < 1 or recipe.rate <= 0 or not 0 <= recipe.momentum < 1:
        raise InvalidValueError(
            "Trainer: a recipe needs at least one epoch and one example per batch, a positive rate and a momentum in "
            f"[0, 1), got {recipe}. Change the recipe."
        )
