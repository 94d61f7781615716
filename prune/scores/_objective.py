"""The pooled loss of a model as a pure function of its prunable weights.

SNIP and GraSP differentiate this function. Evaluating it leaves the model as it was: parameters are replaced by
detached copies, buffers by clones, modes and random generators are put back (`_frozen`).

`chunk` bounds memory: the gradient of a mean over examples is the weighted mean of the chunks' gradients, so the result
is the pooled one, term by term. That needs a loss that is a mean and examples that do not see each other, so BatchNorm
on batch statistics is refused, and so is a loss whose chunks do not average to its pooled value.

Refuse a model, loss or batch of the wrong kind, and an empty batch, before a score is computed.

What SNIP and GraSP need of model, loss, batch and options, refused with a remedy before anything is accumulated.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from pruneproof.errors import PruneproofError, described, require_type
from pruneproof.prune.models.evaluation import (
    BatchNormMode,
    Inputs,
    Readout,
    call,
    check_device,
    frozen,
    require_derivatives,
    trial,
)
from pruneproof.prune.models.parameters import prunable, require_real

Batch = tuple[Inputs, Any] | list[Any]  # a pair; a list is what a DataLoader gives
Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Objective:
    """The loss over one pooled batch; `where` is the public name that errors mention."""

    where: str
    model: nn.Module
    loss: Loss
    batch: Batch
    temperature: float = 1.0
    batch_norm: BatchNormMode = "batch"
    chunk: int | None = None
    readout: Readout | None = None

    def weights(self) -> dict[str, Tensor]:
        """Leaf copies of the prunable weights, ready to be differentiated."""
        return {name: weight.detach().clone().requires_grad_() for name, weight in prunable(self.model).items()}

    def gradient(self, weights: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The gradient of the pooled loss, accumulated over the chunks."""
        return self._accumulate(weights, lambda value: _gradients(value, weights))

    def curvature(self, weights: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The Hessian of the pooled loss times its gradient, by double backward."""
        with sdpa_kernel(SDPBackend.MATH):  # the fused attention kernels have no second derivative
            fixed = self.gradient(weights) if len(self._parts()) > 1 else None
            return self._accumulate(weights, lambda value: _hessian_product(value, weights, fixed))

    def _accumulate(
        self, weights: dict[str, Tensor], derivative: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        parts, total, value = self._parts(), tuple(torch.zeros_like(w) for w in weights.values()), 0.0
        length, outputs = sum(size for _, size in parts), list[Tensor]()
        for batch, size in parts:
            output = self._output(weights, batch[0])
            loss = self._value(output, batch[1])
            for sum_, term in zip(total, derivative(loss), strict=True):
                sum_ += term if len(parts) == 1 else term * (size / length)
            value += loss.item() * size / length
            outputs.append(output.detach() if isinstance(output, Tensor) else output)
        self._check_mean(outputs, value)
        return total

    def _parts(self) -> list[tuple[Batch, int]]:
        inputs, targets = self.batch
        length = _length(inputs)
        if self.chunk is None or self.chunk >= length:
            return [(self.batch, length)]
        cuts = [slice(start, min(start + self.chunk, length)) for start in range(0, length, self.chunk)]
        return [((_rows(inputs, cut), _rows(targets, cut)), cut.stop - cut.start) for cut in cuts]

    def _output(self, weights: dict[str, Tensor], inputs: Inputs) -> Any:
        state = {name: tensor.detach() for name, tensor in self.model.named_parameters()}
        state |= {name: tensor.clone() for name, tensor in self.model.named_buffers()}
        remedy = "pass inputs of the model's shape and dtype"
        with trial(self.where, required="inputs that the model takes", remedy=remedy):
            output = call(lambda *a, **k: functional_call(self.model, state | weights, a, k), inputs)
        output = self.readout(output) if self.readout is not None else output
        if self.temperature == 1.0:
            return output
        if not isinstance(output, Tensor):
            remedy = "pass readout=, the function that takes the logits out of the output"
            raise PruneproofError(self.where, required="logits", received=type(output).__name__, remedy=remedy)
        return output / self.temperature

    def _value(self, output: Any, targets: Any) -> Tensor:
        with trial(self.where, required="targets that the loss takes", remedy="pass one valid target per example"):
            try:
                value = self.loss(output, targets)
            except (TypeError, AttributeError, KeyError) as error:
                if isinstance(output, Tensor):
                    raise
                remedy = "pass readout=, or a loss that takes the logits out of the output"
                received = f"a {type(output).__name__} and {error!r}"
                raise PruneproofError(
                    self.where, required="a loss of the model's output", received=received, remedy=remedy
                ) from error
        return check_loss(self.where, value)

    def _check_mean(self, outputs: list[Any], value: float) -> None:
        if len(outputs) == 1:
            return check_classes(self.where, outputs[0], self.batch[1])
        if not all(isinstance(output, Tensor) for output in outputs):
            remedy = "pass readout=, or leave out chunk="
            raise PruneproofError(self.where, required="tensors to chunk", received="other outputs", remedy=remedy)
        pooled = torch.cat(outputs)
        check_classes(self.where, pooled, self.batch[1])
        expected = self.loss(pooled, self.batch[1]).item()
        # A guard against sums and batch-dependent weights, not a measure of rounding: those err by far more.
        if abs(expected - value) > torch.finfo(pooled.dtype).eps ** 0.5 * max(abs(expected), abs(value)):
            received = f"a loss of {expected} on the whole batch, {value} on average over its chunks"
            remedy = "use reduction='mean', or leave out chunk="
            raise PruneproofError(self.where, required="a mean over examples", received=received, remedy=remedy)


@contextmanager
def evaluated(objective: Objective) -> Generator[dict[str, Tensor]]:
    """Check the arguments, hold the model still, and give leaf copies of its prunable weights."""
    check(objective)
    with frozen(objective.model, objective.batch_norm), torch.enable_grad():
        yield objective.weights()


def _gradients(value: Tensor, weights: dict[str, Tensor], create_graph: bool = False) -> tuple[Tensor, ...]:
    """The gradient; zero for a weight that the loss does not use."""
    return torch.autograd.grad(value, list(weights.values()), create_graph=create_graph, materialize_grads=True)


def _hessian_product(
    value: Tensor, weights: dict[str, Tensor], direction: tuple[Tensor, ...] | None
) -> tuple[Tensor, ...]:
    """The Hessian times a fixed direction, by default the gradient itself."""
    gradient = _gradients(value, weights, create_graph=True)
    direction = tuple(g.detach() for g in gradient) if direction is None else direction
    product = torch.stack([(g * d).sum() for g, d in zip(gradient, direction, strict=True)]).sum()
    if not product.requires_grad:  # a loss linear in the weights has no curvature
        return tuple(torch.zeros_like(weight) for weight in weights.values())
    return _gradients(product, weights)


def _length(inputs: Inputs) -> int:
    """The number of examples: that of the first tensor; 1 if there is none."""
    values = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (inputs,)
    return next((len(value) for value in values if isinstance(value, Tensor) and value.ndim), 1)


def _rows(values: Any, cut: slice) -> Any:
    """Some examples of what has a row for each, also within a tuple or mapping; flags and numbers as they are."""
    if isinstance(values, Mapping):
        return {name: _rows(value, cut) for name, value in values.items()}
    if isinstance(values, tuple):
        return tuple(_rows(value, cut) for value in values)
    return values[cut] if isinstance(values, list) or getattr(values, "ndim", 0) else values


def require_arguments(where: str, model: object, loss: object, batch: object) -> None:
    """Refuse what `snip` and `grasp` cannot score with; nothing is computed.

    **Arguments:** those of `scores.snip`, and `where`, the public function that refuses.

    **Raises:** `PruneproofError`.

    Example:
        >>> require_arguments("snip", nn.Linear(2, 1), nn.functional.mse_loss, ([[0.0, 1.0]], None))
    """
    require_type(where, model, nn.Module, required="a model (torch.nn.Module)", remedy="pass the module itself")
    if isinstance(loss, type) or not callable(loss):
        remedy = "pass (output, targets) -> scalar, such as cross_entropy or an instance of CrossEntropyLoss"
        raise PruneproofError(where, required="a callable loss, not a class", received=described(loss), remedy=remedy)
    if not isinstance(batch, tuple | list) or len(cast("tuple[object, ...]", batch)) != 2:
        required, remedy = "a batch", "pass the pair (inputs, targets)"
        raise PruneproofError(where, required=required, received=described(batch), remedy=remedy)
    for tensor in _tensors(batch[0]):
        if tensor.ndim and len(tensor) == 0:
            required, received = "a batch of at least one example", f"inputs of shape {tuple(tensor.shape)}"
            raise PruneproofError(where, required=required, received=received, remedy="pass a batch that is not empty")


def _tensors(inputs: object) -> Iterable[Tensor]:
    """The tensors of a tensor, a tuple (positional) or a mapping (named)."""
    if isinstance(inputs, Tensor):
        return [inputs]
    values: Iterable[object] = []
    if isinstance(inputs, Mapping):
        values = cast("Mapping[str, object]", inputs).values()
    elif isinstance(inputs, tuple | list):
        values = cast("tuple[object, ...]", inputs)
    return [value for value in values if isinstance(value, Tensor)]


def check(objective: "Objective") -> None:
    """Refuse a model, a loss, a batch or options that cannot be scored."""
    where, model = objective.where, objective.model
    check_device(where, model)
    require_derivatives(where)
    require_real(where, prunable(model))
    if not isinstance(objective.temperature, Real) or not objective.temperature > 0:
        remedy, received = "pass 1.0 to leave the logits alone", described(objective.temperature)
        raise PruneproofError(where, required="temperature > 0", received=received, remedy=remedy)
    if objective.batch_norm not in ("batch", "running"):
        remedy = "choose the pooled batch's statistics or the running ones"
        required = "batch_norm 'batch' or 'running'"
        raise PruneproofError(where, required=required, received=objective.batch_norm, remedy=remedy)
    _check_chunk(objective)


def _check_chunk(objective: "Objective") -> None:
    if objective.chunk is None:
        return
    if isinstance(objective.chunk, bool) or not isinstance(objective.chunk, int) or objective.chunk < 1:
        remedy, received = "pass the number of examples that fit in memory", described(objective.chunk)
        raise PruneproofError(objective.where, required="chunk >= 1", received=received, remedy=remedy)
    norms = [module for module in objective.model.modules() if isinstance(module, _BatchNorm)]
    if any(objective.batch_norm == "batch" or norm.running_mean is None for norm in norms):
        remedy = "pass batch_norm='running', or score the batch in one piece"
        required = "examples that do not see each other, to accumulate over chunks"
        raise PruneproofError(objective.where, required=required, received="BatchNorm on a batch", remedy=remedy)


def check_classes(where: str, output: Any, targets: Any) -> None:
    """Refuse labels that leave a class of the output without an example."""
    if not (isinstance(output, Tensor) and isinstance(targets, Tensor)):
        return
    labelled = output.ndim == 2 and targets.ndim == 1 and not targets.is_floating_point()
    missing = sorted(set(range(output.shape[1])) - set(targets.tolist())) if labelled else []
    if missing:
        remedy = "pool the same number of examples of every class, e.g. with balanced_batch"
        received = f"a batch without class {', '.join(map(str, missing[:8]))}{' …' * (len(missing) > 8)}"
        raise PruneproofError(where, required="examples of every class", received=received, remedy=remedy)


def check_loss(where: str, value: Any) -> Tensor:
    """The loss, if it is a finite scalar with a graph; else refuse it."""
    if not (isinstance(value, Tensor) and value.ndim == 0):
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        remedy = "reduce it, e.g. with .mean()"
        raise PruneproofError(where, required="a scalar loss", received=shape, remedy=remedy)
    if not value.requires_grad:
        remedy = "compute it from the model's output with differentiable operations"
        raise PruneproofError(where, required="a differentiable loss", received="no graph", remedy=remedy)
    if not value.isfinite():
        remedy = "check the inputs and the weights"
        raise PruneproofError(where, required="a finite loss", received=value.item(), remedy=remedy)
    return value
