"""The loss of a model on one batch as a function of its prunable weights, with its derivatives.

SNIP and GraSP differentiate this function. Everything that they cannot use (a model, a loss, a
batch, an option) is refused before anything is computed, and evaluating leaves the model as it was:
parameters are replaced by detached copies, buffers by clones, modes and random generators are put
back.

`chunk` bounds memory: the gradient of a mean over examples is the weighted mean of the chunks'
gradients, so the result is that of the whole batch, term by term. That needs a loss that is a mean
and examples that do not see each other, so BatchNorm on batch statistics is refused, and so is a
loss whose chunks do not average to its value on the whole batch.
"""

import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from pruneproof.checks import require_choice, require_integer, require_type
from pruneproof.errors import InvalidTypeError, InvalidValueError, UnsupportedError, described
from pruneproof.prune.models.evaluation import (
    BatchNormMode,
    Inputs,
    Readout,
    call_model,
    check_device,
    evaluation_mode,
    explained,
    require_derivatives,
    require_examples,
    require_logits,
    require_module,
    wrong_inputs,
)
from pruneproof.prune.models.parameters import Patterns, find_prunable, layouts, require_numbers, unwrapped
from pruneproof.prune.models.shards import any_process, fully_sharded, is_sharded, local, require_all_sharded, reshard
from pruneproof.prune.selection.selection import Scores

Batch = tuple[Inputs, Any] | list[Any]  # a pair; a list is what a DataLoader gives
Loss = Callable[[Any, Any], Tensor]


class ScoringOptions(TypedDict, total=False):
    """What every score of a loss takes beside model, loss and batch; `scores.snip` explains each."""

    temperature: float
    batch_norm: BatchNormMode
    chunk: int | None
    readout: Readout | None
    include: Patterns
    exclude: Patterns


@dataclass(frozen=True)
class Objective:
    """The loss over one batch; `where` is the public name that errors mention."""

    where: str
    model: nn.Module
    loss: Loss
    batch: Batch
    temperature: float = 1.0
    batch_norm: BatchNormMode = "batch"
    chunk: int | None = None
    readout: Readout | None = None
    include: Patterns = ()
    exclude: Patterns = ()

    def scores(
        self,
        derivative: Callable[["Objective", dict[str, Tensor]], tuple[Tensor, ...]],
        score: Callable[[Tensor, Tensor], Tensor],
    ) -> Scores:
        """Check the arguments, hold the model still, and score each weight from its derivative."""
        with self._evaluated(shards=derivative is Objective.gradient) as weights:
            found = derivative(self, weights)
        scored = {name: score(weight.detach(), d) for (name, weight), d in zip(weights.items(), found, strict=True)}
        return finite_scores(self.where, scored, self.model)

    def gradient(self, weights: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The gradient of the loss, accumulated over the parts; under `fully_shard` the mean over the processes."""
        if fully_sharded(self.model):
            return self._accumulate(weights, self._chunks(), lambda value: self._mean_gradients(value, weights))
        return self._accumulate(weights, self._chunks(), lambda value: _gradients(value, weights))

    def hessian_vector_product(self, weights: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The Hessian of the loss times its gradient, by double backward.

        BatchNorm on batch statistics sees one half of the batch at a time, as in the published
        implementation of GraSP.
        """
        parts = self._halves() if self._normalises_by_batch() else self._chunks()
        with sdpa_kernel(SDPBackend.MATH):  # the fused attention kernels have no second derivative
            fixed = None
            if len(parts) > 1:
                fixed = self._accumulate(weights, parts, lambda value: _gradients(value, weights))
            return self._accumulate(weights, parts, lambda value: _hessian_vector_product(value, weights, fixed))

    @contextmanager
    def _evaluated(self, *, shards: bool) -> Generator[dict[str, Tensor]]:
        """Leaf copies of the prunable weights, with the model held still."""
        named = self._check(shards=shards)
        with evaluation_mode(self.model, self.batch_norm), torch.enable_grad():
            if fully_sharded(self.model):  # its gradients are reduced into the parameters themselves
                _refuse_frozen(self.where, named)
                with _kept_gradients(self.model):
                    yield dict(named)
            else:
                yield {name: weight.detach().clone().requires_grad_() for name, weight in named.items()}

    def _mean_gradients(self, value: Tensor, weights: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The gradient of the mean over the processes, as `fully_shard` reduces it."""
        value.backward()
        found = tuple(torch.zeros_like(w) if w.grad is None else w.grad for w in weights.values())
        self.model.zero_grad(set_to_none=True)
        return found

    def _accumulate(
        self,
        weights: dict[str, Tensor],
        parts: list[tuple[Batch, int]],
        derivative: Callable[[Tensor], tuple[Tensor, ...]],
    ) -> tuple[Tensor, ...]:
        total, value = tuple(torch.zeros_like(w) for w in weights.values()), 0.0
        length, outputs = sum(size for _, size in parts), list[Tensor]()
        for batch, size in parts:
            output = self._output(weights, batch[0])
            loss = self._value(output, batch[1], weights)
            for sum_, term in zip(total, derivative(loss), strict=True):
                sum_ += term if len(parts) == 1 else term * (size / length)
            value += loss.item() * size / length
            outputs.append(output.detach() if isinstance(output, Tensor) else output)
        if len(parts) > 1 and self.chunk is not None:
            self._check_mean(outputs, value)
        return total

    def _chunks(self) -> list[tuple[Batch, int]]:
        length = _length(self.batch[0])
        if self.chunk is None or self.chunk >= length:
            return [(self.batch, length)]
        return self._cut([*range(0, length, self.chunk), length])

    def _halves(self) -> list[tuple[Batch, int]]:
        length = _length(self.batch[0])
        return self._cut([0, length // 2, length]) if length > 1 else [(self.batch, length)]

    def _cut(self, ends: list[int]) -> list[tuple[Batch, int]]:
        inputs, targets = self.batch
        cuts = [slice(start, stop) for start, stop in pairwise(ends)]
        whole = ends[-1]
        return [((_rows(inputs, cut, whole), _rows(targets, cut, whole)), cut.stop - cut.start) for cut in cuts]

    def _normalises_by_batch(self) -> bool:
        norms = [module for module in self.model.modules() if isinstance(module, _BatchNorm)]
        return any(self.batch_norm == "batch" or norm.running_mean is None for norm in norms)

    def _output(self, weights: dict[str, Tensor], inputs: Inputs) -> Any:
        state = {name: tensor.clone() for name, tensor in self.model.named_buffers()}
        if not fully_sharded(self.model):
            state |= {name: tensor.detach() for name, tensor in self.model.named_parameters()} | weights
        with explained(self.where, "the model", wrong_inputs(inputs)):
            output = call_model(lambda *a, **k: functional_call(self.model, state, a, k), inputs)
        output = self.readout(output) if self.readout is not None else output
        if self.temperature == 1.0:
            return output
        remedy = "Pass readout=, the function that takes the logits out of the output, or temperature=1.0."
        require_type(self.where, output, Tensor, "a temperature divides logits: the model must return them", remedy)
        return output / self.temperature

    def _value(self, output: Any, targets: Any, weights: dict[str, Tensor]) -> Tensor:
        remedy = "Pass one valid target per example."
        if not isinstance(output, Tensor):
            remedy = f"The model returns {described(output)}: pass readout=, or a loss that takes the logits out of it."
        with explained(self.where, "the loss", remedy):
            value = self.loss(output, targets)
        return _check_loss(self.where, value, weights)

    def _check_mean(self, outputs: list[Any], value: float) -> None:
        """Refuse a loss that does not average over the parts of the batch."""
        for output in outputs:
            require_logits(self.where, output)
        pooled = torch.cat(outputs)
        expected = self.loss(pooled, self.batch[1]).item()
        # A guard against sums and batch-dependent weights, not a measure of rounding: those err by far more.
        if abs(expected - value) > torch.finfo(pooled.dtype).eps ** 0.5 * max(abs(expected), abs(value)):
            raise InvalidValueError(
                f"{self.where}: the loss must be a mean over examples to be summed over parts of the batch, but it is "
                f"{expected:g} on the whole batch and {value:g} on average over its parts. "
                "Use reduction='mean', or leave out chunk=."
            )

    def _check(self, *, shards: bool) -> dict[str, nn.Parameter]:
        """Refuse a model, a loss, a batch or options that cannot be scored; the weights otherwise."""
        named = find_prunable(self.where, self.model, self.include, self.exclude)
        check_device(self.where, self.model, shards=shards)
        require_all_sharded(self.where, self.model, named)
        require_derivatives(self.where)
        require_numbers(self.where, named)
        if not isinstance(self.temperature, Real) or not self.temperature > 0:
            raise InvalidValueError(
                f"{self.where}: the temperature must be a number above 0, got {described(self.temperature)}. "
                "Pass 1.0 to leave the logits alone."
            )
        require_choice(self.where, "batch_norm", self.batch_norm, ("batch", "running"))
        self._check_chunk()
        return named

    def _check_chunk(self) -> None:
        if self.chunk is None:
            return
        require_integer(self.where, "chunk", self.chunk)
        if self._normalises_by_batch():
            raise InvalidValueError(
                f"{self.where}: chunk= needs examples that do not see each other, but BatchNorm normalises by the "
                "batch. Pass batch_norm='running', or score the batch in one piece."
            )


def objective(where: str, model: nn.Module, loss: Loss, batch: Batch, options: ScoringOptions) -> Objective:
    """The scoring problem of a public function; refuses what is no model, loss or batch.

    Raises:
        InvalidTypeError: For another kind of argument.
        InvalidValueError: For an empty batch.

    Example:
        >>> objective("snip", nn.Linear(2, 1), nn.functional.mse_loss, (torch.ones(1, 2), None), {}).where
        'snip'
    """
    require_module(where, model)
    given: object = loss
    if isinstance(given, type) or not callable(given):
        raise InvalidTypeError(
            f"{where}: the loss must be a function, not a class or a value, got {described(loss)}. "
            "Pass (output, targets) -> scalar, such as cross_entropy or an instance of CrossEntropyLoss."
        )
    pair: object = batch
    if not isinstance(pair, tuple | list) or len(cast("tuple[object, ...]", pair)) != 2:
        raise InvalidTypeError(f"{where}: the batch must be the pair (inputs, targets), got {described(batch)}.")
    require_examples(where, batch[0])
    return Objective(where, unwrapped(model), loss, batch, **options)


def _refuse_frozen(where: str, weights: Mapping[str, Tensor]) -> None:
    frozen = [name for name, weight in weights.items() if not weight.requires_grad]
    if frozen:
        raise UnsupportedError(
            f"{where}: fully_shard computes no gradient of {', '.join(frozen[:8])}, which are frozen. "
            "Call requires_grad_(True) before sharding, or leave them out by exclude=."
        )


@contextmanager
def _kept_gradients(model: nn.Module) -> Generator[None]:
    """Put the gradients of a model aside and back again."""
    before = {parameter: parameter.grad for parameter in model.parameters()}
    model.zero_grad(set_to_none=True)
    try:
        yield
    finally:
        reshard(model)
        for parameter, gradient in before.items():
            parameter.grad = gradient


def _gradients(value: Tensor, weights: dict[str, Tensor], create_graph: bool = False) -> tuple[Tensor, ...]:
    """The gradient; zero for a weight that the loss does not use."""
    return torch.autograd.grad(value, list(weights.values()), create_graph=create_graph, materialize_grads=True)


def _hessian_vector_product(
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


def _rows(values: Any, cut: slice, length: int) -> Any:
    """Some examples of what has a row for each of `length`, also within a tuple or mapping; the rest as it is."""
    if isinstance(values, Mapping):
        return {name: _rows(value, cut, length) for name, value in values.items()}
    if isinstance(values, tuple):
        return tuple(_rows(value, cut, length) for value in values)
    rows = (isinstance(values, list) or getattr(values, "ndim", 0)) and len(values) == length
    return values[cut] if rows else values


def finite_scores(where: str, scored: dict[str, Tensor], model: nn.Module) -> Scores:
    """The scores of a model; refused where one is NaN, or infinite and so equal to every other that overflowed."""
    beyond = [name for name, score in scored.items() if not bool(local(score).isfinite().all())]
    if any_process(bool(beyond), scored.values()):
        raise InvalidValueError(
            f"{where}: scores of {', '.join(beyond[:8]) or 'another process'} are NaN or larger than their dtype can "
            "hold. Look for the layer that overflows, or score a float32 copy."
        )
    warn_of_zeros(where, scored, dict(model.named_parameters(remove_duplicate=False)))
    return Scores(scored, layouts(model))


def warn_of_zeros(where: str, scored: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Warn of layers whose weights all score zero though they are none: ties are cut by their order alone.

    Of shards nothing is said, since no process sees a whole layer.

    Args:
        where: The public function that was called.
        scored: Name → scores.
        weights: Name → weight; may hold more names.
    """
    silent = [name for name, score in scored.items() if not is_sharded(score) and not bool(score.any())]
    silent = [name for name in silent if bool(weights[name].any())]
    if silent:
        more = f" and {len(silent) - 8} more" if len(silent) > 8 else ""
        warnings.warn(
            f"{where}: every weight of {', '.join(silent[:8])}{more} scores zero on this batch, so that those kept, if "
            "any, are the first by index. Check the batch for inputs that are all zero, and the model for layers that "
            "pass nothing on.",
            stacklevel=2,
        )


def _check_loss(where: str, value: Any, weights: dict[str, Tensor]) -> Tensor:
    """The loss, if it is a finite scalar with a graph; else refuse it."""
    if not (isinstance(value, Tensor) and value.ndim == 0):
        raise InvalidTypeError(
            f"{where}: the loss must be a scalar tensor, got {described(value)}. Reduce it, e.g. by .mean()."
        )
    if not value.requires_grad:
        raise InvalidValueError(
            f"{where}: the loss cannot be differentiated, since it has no graph. "
            "Compute it from the model's output by differentiable operations."
        )
    if any_process(not value.isfinite(), weights.values()):
        got = value.item() if not value.isfinite() else "another value on another process"
        raise InvalidValueError(f"{where}: the loss must be finite, got {got}. Check the inputs and the weights.")
    return value
