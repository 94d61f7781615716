"""Calibrated pruning: each block is pruned by the inputs that it reads behind the blocks pruned before it."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from pruneproof.checks import require_choice, require_fraction, require_integer, require_type
from pruneproof.errors import InvalidTypeError, InvalidValueError, described
from pruneproof.prune.certification.population import confident_quantile
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import Inputs, call_model, evaluation_mode, require_examples, require_module
from pruneproof.prune.models.layers import Layer, layers_of, require_reached
from pruneproof.prune.models.parameters import Patterns, find_prunable, require_numbers, unwrapped, weights_by_name
from pruneproof.prune.models.shards import require_whole
from pruneproof.prune.scores._objective import warn_of_zeros

from .budget import Budget, budgets
from .layers import is_linear
from .output_errors import OutputErrors
from .resume import Finished, Store, packed, unpacked
from .sparsegpt import InverseFactor, inverse_factor, pruned_and_updated
from .statistics import STATISTICS, InputGrams, InputNorms, InputShares, NoStatistics, Statistics, require_rows
from .survey import Block, Survey, counted_rows, find_blocks, following, kept_rows, read_by, refuse_not_finite, survey
from .trees import copied

METHODS = tuple(STATISTICS)
BLOCK_SIZE = 128  # columns after which SparseGPT's published code updates the rest
DAMPING = 0.01  # of the mean diagonal, likewise


@dataclass(frozen=True)
class LayerReport:
    """What pruning did to one layer, on the inputs that the layer reads in the pruned network.

    Args:
        name: The parameter's name.
        density: The kept fraction of its weights.
        calibration_error: ‖(Ŵ − W)X‖ / ‖WX‖ over the calibration batches, the bias left out.
        held_out_error: The same over the held-out batches; `None` without any.
        new_item_bound: With confidence 1 − alpha, at most a share beta of the items of the population
            that the held-out items were drawn from has a larger relative error in this layer; inf
            where the items are too few, `None` without any or where the layer mixes items.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer, held_out = nn.Linear(8, 4), torch.randn(100, 8)
        >>> (report,) = calibrated(layer, [torch.randn(64, 8)], density=0.5, held_out=[held_out]).layers
        >>> report.held_out_error < report.new_item_bound < 1
        True
    """

    name: str
    density: float
    calibration_error: float
    held_out_error: float | None = None
    new_item_bound: float | None = None


@dataclass(frozen=True)
class BlockProgress:
    """A finished block.

    Args:
        index: Its number, from 1.
        total: The number of blocks with weights to prune.
        name: Its name in the model.
        layers: Its layers.
        seconds: The time since the block before.
        resumed: Whether it was read from the resume folder.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
        >>> show = lambda done: print(f"{done.index}/{done.total} {done.name}")
        >>> _ = calibrated(model, [torch.randn(32, 8)], density=0.5, progress=show)
        1/2 0
        2/2 2
    """

    index: int
    total: int
    name: str
    layers: tuple[LayerReport, ...]
    seconds: float
    resumed: bool


@dataclass(frozen=True)
class CalibratedResult:
    """What calibrated pruning kept.

    Args:
        masks: Of every pruned weight.
        weights: Parameter name → the pruned weight: the model's own where the model was pruned in
            place, new tensors from `calibrated_sweep`.
        layers: One report per pruned weight, in the order of pruning.
        dense: Names of linear and convolution weights that were left dense: by a pattern, or because
            they are shared with an embedding.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
        >>> result = calibrated(model, [torch.randn(32, 8)], density=0.5, exclude="2")
        >>> result.masks.counts, result.dense, bool((model[0].weight == 0).sum() == 32)
        ({'0.weight': 32}, ('2.weight',), True)
    """

    masks: Masks
    weights: Mapping[str, Tensor]
    layers: tuple[LayerReport, ...]
    dense: tuple[str, ...]

    def __repr__(self) -> str:
        return f"CalibratedResult({self.masks!r}; {len(self.dense)} weights left dense)"

    def summary(self) -> str:
        """A table, one line per layer: density and relative output errors.

        Example:
            >>> layer = nn.Linear(4, 2, bias=False)
            >>> print(calibrated(layer, [torch.ones(3, 4)], method="magnitude", density=1.0).summary())
            layer   density  calibration  held out  new item
            weight   100.0%        0.000         -         -
        """
        rows = [["layer", "density", "calibration", "held out", "new item"]]
        for report in self.layers:
            errors = (report.calibration_error, report.held_out_error, report.new_item_bound)
            rows.append([report.name, f"{report.density:.1%}", *("-" if e is None else f"{e:.3f}" for e in errors)])
        first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
        return "\n".join(
            "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
            for row in rows
        )


@torch.no_grad()
def calibrated(
    model: nn.Module,
    batches: Iterable[Inputs],
    *,
    method: str = "wanda",
    density: float | None = None,
    scope: str = "row",
    held_out: Iterable[Inputs] = (),
    include: Patterns = (),
    exclude: Patterns | None = None,
    blocks: Patterns | None = None,
    damping: float = DAMPING,
    block_size: int = BLOCK_SIZE,
    alpha: float = 0.05,
    beta: float = 0.05,
    progress: Callable[[BlockProgress], None] | None = None,
    resume: str | PathLike[str] | None = None,
) -> CalibratedResult:
    """Prune a model block by block, in place, each block by what it reads behind the pruned ones.

    Works by hooks on any model whose prunable layers are called as modules: Hugging Face encoders and
    decoders, vision transformers, convolutional networks, plain stacks. All batches are run once
    through the dense model first, so that whatever is refused is refused before anything changes.

    Args:
        model: The model, on one device; its modes, buffers and hooks are as before afterwards.
        batches: Calibration inputs, at least one: tensors, tuples (positional arguments) or mappings
            (named arguments, such as a tokenizer returns). Where a mapping holds an `attention_mask`
            (batch, length), padding counts neither for the statistics nor for the errors.
        method: `"wanda"` (|w| · ‖x‖), `"sparsegpt"` (which also updates the weights that stay),
            `"sipp"` (sensitivities, the largest kept) or `"magnitude"`.
        density: The kept fraction of the weights, in (0, 1]; fixed by a pattern.
        scope: `"row"` (each output keeps the nearest whole number to its length × density),
            `"layer"`, or a pattern such as `"2:4"`.
        held_out: Batches that are used for nothing but `held_out_error` and `new_item_bound`.
        include: Shell patterns of the parameters or modules that may be pruned; everything if empty.
        exclude: Shell patterns of what stays dense. Left out, it is `"lm_head"` where the model has
            such a module. A weight that is shared with an embedding is never pruned.
        blocks: Shell patterns of the modules that are pruned at once, such as `"encoder.layer.*"`.
            Left out, they are the children of the outermost `ModuleList` or `Sequential` with two
            or more that hold prunable weights; every other layer is a block of its own.
        damping: SparseGPT's share of the mean diagonal that is added to the Gram matrix.
        block_size: SparseGPT's number of columns that are chosen at once.
        alpha, beta: Of `LayerReport.new_item_bound`.
        progress: Called after each block.
        resume: A folder in which each finished block is stored. A call with the same folder, model
            and arguments goes on behind the last of them, after Ctrl-C or a crash. Without it the
            blocks that were finished stay pruned in the model; the one at work is put back.

    Returns:
        Masks, weights, and per layer the relative output error.

    Raises:
        InvalidValueError: No batch, a batch that the model does not take, NaN or infinity in what a
            layer reads (it is named), a density that empties a row, a pattern that does not fit.
        UnknownNameError: A pattern of names that matches nothing, or that leaves nothing to prune.
        UnsupportedError: A layer that is never called as a module, or that the method does not know.

    Source: Sun, Liu, Bair, Kolter 2024 (Wanda); Frantar and Alistarh 2023 (SparseGPT). On equal scores
    without ties the masks equal those of Wanda's published code where the counts agree: that code
    prunes int(columns × sparsity) weights of a row, which is one more or less than the nearest whole
    number at some densities, and of equal scores it keeps the highest index, where the lowest is kept
    here. SparseGPT's code rounds the count in every 128 columns; here the counts of the blocks add up
    to the exact total. Weights that read an input which is always zero are pruned first and not
    otherwise changed, where that code sets all of them to zero.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        >>> result = calibrated(model, [torch.randn(32, 8)], method="sparsegpt", density=0.5)
        >>> result.masks.counts, bool((model[0].weight == 0).sum() == 64)
        ({'0.weight': 64, '2.weight': 32}, True)
    """
    where = "calibrated"
    plan = _plan(where, model, batches, held_out, method, density, scope, include, exclude, blocks, damping, block_size)
    _check_shares(where, alpha, beta)
    settings = _Settings(method, damping, block_size, alpha, beta)
    with evaluation_mode(plan.model), _kept_buffers(plan.model):
        seen = survey(plan.model, plan.blocks, plan.inputs, where=where)
        store = (
            None
            if resume is None
            else Store(
                resume,
                plan.layers,
                plan.inputs,
                plan.identity(settings),
                updates=method == "sparsegpt",
                report=LayerReport,
            )
        )
        run = _Run(plan, seen, settings, where)
        masks, reports = run.in_place(store, progress)
    weights = {name: plan.weights[name].detach() for name in masks}
    return CalibratedResult(Masks(masks.ordered(plan.weights)), weights, tuple(reports), plan.dense)


@torch.no_grad()
def calibrated_sweep(
    model: nn.Module,
    batches: Iterable[Inputs],
    densities: Sequence[float],
    *,
    method: str = "wanda",
    scope: str = "row",
    held_out: Iterable[Inputs] = (),
    include: Patterns = (),
    exclude: Patterns | None = None,
    blocks: Patterns | None = None,
    damping: float = DAMPING,
    block_size: int = BLOCK_SIZE,
    alpha: float = 0.05,
    beta: float = 0.05,
) -> dict[float, CalibratedResult]:
    """Prune at several densities by the inputs of the dense model, which is left as it was.

    Every block reads what it reads in the dense model, so the statistics, and SparseGPT's
    factorisations, are computed once for all densities.

    Args:
        model: As in `calibrated`, like the other arguments.
        batches: Calibration inputs.
        densities: The kept fractions, each in (0, 1].
        method: As in `calibrated`.
        scope: `"row"` or `"layer"`.
        held_out: Batches for errors alone.
        include: What may be pruned.
        exclude: What stays dense.
        blocks: Modules whose statistics are held at once.
        damping: Of SparseGPT.
        block_size: Of SparseGPT.
        alpha, beta: Of `LayerReport.new_item_bound`, which is about dense inputs here.

    Returns:
        Density → result; `result.weights` are new tensors, to be copied into a model.

    Raises:
        As `calibrated` does.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> results = calibrated_sweep(nn.Linear(8, 4), [torch.randn(32, 8)], [0.5, 0.25])
        >>> {density: result.masks.count for density, result in results.items()}
        {0.5: 16, 0.25: 8}
    """
    where = "calibrated_sweep"
    if not isinstance(densities, list | tuple) or not densities:
        raise InvalidTypeError(f"{where}: pass a list of densities, such as [0.5, 0.3], got {described(densities)}.")
    plan = _plan(
        where, model, batches, held_out, method, densities[0], scope, include, exclude, blocks, damping, block_size
    )
    _check_shares(where, alpha, beta)
    several = [budgets(plan.layers, density, scope, where=where) for density in densities]
    settings = _Settings(method, damping, block_size, alpha, beta)
    with evaluation_mode(plan.model), _kept_buffers(plan.model):
        seen = survey(plan.model, plan.blocks, plan.inputs, where=where)
        results = _Run(plan, seen, settings, where).dense(several)
    return {
        density: CalibratedResult(Masks(masks.ordered(plan.weights)), weights, tuple(reports), plan.dense)
        for density, (masks, weights, reports) in zip(densities, results, strict=True)
    }


@dataclass(frozen=True)
class _Settings:
    method: str
    damping: float
    block_size: int
    alpha: float
    beta: float


@dataclass(frozen=True)
class _Plan:
    """What is to be done, checked."""

    model: nn.Module
    weights: dict[str, nn.Parameter]
    layers: list[Layer]
    budgets: dict[str, Budget]
    blocks: list[Block]
    inputs: list[Inputs]
    calibration: int
    dense: tuple[str, ...]

    def identity(self, settings: _Settings) -> dict[str, Any]:
        """What a stored block depends on, besides weights and inputs."""
        counts = {name: [b.scope, b.length, b.count, b.group] for name, b in self.budgets.items()}
        return {
            "method": settings.method,
            "damping": settings.damping,
            "block_size": settings.block_size,
            "alpha": settings.alpha,
            "beta": settings.beta,
            "budgets": counts,
            "blocks": [block.name for block in self.blocks],
            "calibration": self.calibration,
        }


def _plan(
    where: str,
    model: nn.Module,
    batches: Iterable[Inputs],
    held_out: Iterable[Inputs],
    method: str,
    density: float | None,
    scope: str,
    include: Patterns,
    exclude: Patterns | None,
    blocks: Patterns | None,
    damping: float,
    block_size: int,
) -> _Plan:
    require_module(where, model)
    require_choice(where, "the method", method, METHODS)
    require_integer(where, "block_size", block_size)
    if not damping > 0:
        raise InvalidValueError(f"{where}: damping must be positive, got {described(damping)}. Published is {DAMPING}.")
    calibration = _batches(where, batches, "batches")
    if not calibration:
        raise InvalidValueError(f"{where}: no calibration batch was given. Pass a list of at least one.")
    plain = unwrapped(model)
    if exclude is None:
        exclude = ["lm_head"] if any(name == "lm_head" for name, _ in plain.named_modules()) else []
        untied = {name.rpartition(".")[0] for name in weights_by_name(plain)}
        exclude = [pattern for pattern in exclude if pattern in untied]
    weights = find_prunable(where, plain, include, exclude)
    require_whole(where, plain)
    require_numbers(where, weights)
    layers = layers_of(plain, weights)
    for layer in layers:
        if not bool(layer.weight.isfinite().all()):
            raise InvalidValueError(f"{where}: {layer.name} holds NaN or infinity. Repair the weights first.")
    require_reached(where, [layer.name for layer in layers if not layer.modules])
    require_rows(method, layers, where=where)
    allowed = budgets(layers, density, scope, where=where)
    found = find_blocks(plain, layers, blocks)
    layered = weights_by_name(plain)
    left = (name for name, _ in plain.named_parameters() if name in layered and name not in weights)
    dense = (*left, *_tied_heads(plain))
    inputs = [*calibration, *_batches(where, held_out, "held_out")]
    return _Plan(plain, weights, layers, allowed, found, inputs, len(calibration), dense)


def _tied_heads(model: nn.Module) -> list[str]:
    """Linear layers whose weight is an embedding's: they are not prunable."""
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    tied = {id(module.weight) for module in embeddings}
    return [f"{n}.weight" for n, m in model.named_modules() if is_linear(m) and id(m.weight) in tied]


def _batches(where: str, batches: Iterable[Inputs], argument: str) -> list[Inputs]:
    if isinstance(batches, Tensor | Mapping | str) or not isinstance(batches, Iterable):
        raise InvalidTypeError(
            f"{where}: {argument} must be a list of batches, got {described(batches)}. Pass [batch]."
        )
    listed: list[Inputs] = []
    for number, batch in enumerate(batches):
        if isinstance(batch, Mapping):
            batch = dict(batch)  # a tokenizer's own class cannot always be copied
        required = f"batch {number} of {argument} must be a tensor, a tuple of inputs or a mapping of named inputs"
        require_type(where, batch, Tensor | tuple | dict, required, "Convert it.")
        require_examples(where, batch)
        listed.append(batch)
    return listed


def _check_shares(where: str, alpha: float, beta: float) -> None:
    require_fraction(where, "alpha", alpha)
    require_fraction(where, "beta", beta)


@contextmanager
def _kept_buffers(model: nn.Module) -> Any:
    """Put every buffer back that the forward passes changed."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            if not torch.equal(buffer, value):
                buffer.copy_(value)


class _Stop(BaseException):
    """Ends a forward pass whose rest is of no interest."""


@dataclass
class _Solution:
    mask: Tensor
    weight: Tensor


class _PackedMasks(Mapping[str, Tensor]):
    """Masks as one bit per weight, unpacked one at a time."""

    def __init__(self) -> None:
        self._bits: dict[str, tuple[Tensor, torch.Size, torch.device]] = {}

    def put(self, name: str, mask: Tensor) -> None:
        """Take a mask in."""
        self._bits[name] = (packed(mask), mask.shape, mask.device)

    def __getitem__(self, name: str) -> Tensor:
        bits, shape, device = self._bits[name]
        return unpacked(bits, shape).to(device)

    def __iter__(self) -> Iterator[str]:
        return iter(self._bits)

    def __len__(self) -> int:
        return len(self._bits)

    def ordered(self, names: Iterable[str]) -> "_PackedMasks":
        """The same in another order."""
        other = _PackedMasks()
        other._bits = {name: self._bits[name] for name in names}
        return other


_Record = tuple[_PackedMasks, dict[str, Tensor], list[LayerReport]]


class _Run:
    """The blocks one after the other."""

    def __init__(self, plan: _Plan, seen: Survey, settings: _Settings, where: str) -> None:
        self.plan, self.seen, self.settings, self.where = plan, seen, settings, where
        self.padding = [counted_rows(batch) for batch in plan.inputs]
        self.stored: list[Any] | None = None  # what the block at work is called with, batch by batch

    def in_place(
        self, store: Store[LayerReport] | None, progress: Callable[[BlockProgress], None] | None
    ) -> tuple[_PackedMasks, list[LayerReport]]:
        """Prune each block before the next is measured."""
        masks, reports = _PackedMasks(), list[LayerReport]()
        total, number, before = sum(bool(block.layers) for block in self.seen.order), 0, time.perf_counter()
        for position, block in enumerate(self.seen.order):
            if not block.layers:
                self._pass(position)
                continue
            finished = None if store is None else store.read(block.name, block.layers)
            if finished is not None:
                self.stored, new = None, finished.reports
                for layer in block.layers:
                    masks.put(layer.name, finished.masks[layer.name])
                    layer.weight.copy_(finished.weights[layer.name])
            else:
                self._enter(position)
                new = self._pruned(position, masks, store)
            reports += new
            number, now = number + 1, time.perf_counter()
            if progress is not None:
                progress(BlockProgress(number, total, block.name, tuple(new), now - before, finished is not None))
            before = now
        return masks, reports

    def dense(self, several: list[dict[str, Budget]]) -> list[_Record]:
        """Measure each block behind dense ones, and prune it at several budgets."""
        results = [(_PackedMasks(), dict[str, Tensor](), list[LayerReport]()) for _ in several]
        for position, block in enumerate(self.seen.order):
            if not block.layers:
                self._pass(position)
                continue
            self._enter(position)
            others: dict[str, list[Tensor]] = {}
            for layer, solutions in self._solutions(block, self._measure(block), several):
                others[layer.name] = [solution.weight for solution in solutions]
                for solution, (masks, weights, _) in zip(solutions, results, strict=True):
                    masks.put(layer.name, solution.mask)
                    weights[layer.name] = solution.weight
            calibration, held_out = self._compare(position, others, present_is_dense=True)
            for index, (masks, _, reports) in enumerate(results):
                reports += [self._report(layer, masks, calibration, held_out, index) for layer in block.layers]
        return results

    def _pruned(self, position: int, masks: _PackedMasks, store: Store[LayerReport] | None) -> list[LayerReport]:
        """Prune one block and store it; if that is interrupted, its weights are put back."""
        block = self.seen.order[position]
        dense: dict[str, list[Tensor]] = {}
        try:
            for layer, (solution,) in self._solutions(block, self._measure(block), [self.plan.budgets]):
                dense[layer.name] = [layer.weight.detach().clone()]
                layer.weight.copy_(solution.weight)
                masks.put(layer.name, solution.mask)
                del solution  # before the next layer needs memory
            calibration, held_out = self._compare(position, dense, present_is_dense=False)
            reports = [self._report(layer, masks, calibration, held_out, 0) for layer in block.layers]
            if store is not None:
                weights = {layer.name: layer.weight.detach() for layer in block.layers}
                store.write(block.name, Finished(masks.ordered(weights), weights, reports))
        except BaseException:
            for layer in block.layers:
                if layer.name in dense:
                    layer.weight.copy_(dense[layer.name][0])
            raise
        return reports

    def _report(
        self, layer: Layer, masks: _PackedMasks, calibration: OutputErrors, held_out: OutputErrors, index: int
    ) -> LayerReport:
        mask = masks[layer.name]
        density = int(mask.count_nonzero()) / mask.numel()
        error = calibration.total(layer.name, index)
        held = self.plan.inputs[self.plan.calibration :]
        if not held:
            return LayerReport(layer.name, density, error)
        errors = held_out.by_item(layer.name, index, sum(map(_items, held)))
        bound = (
            None
            if errors is None
            else confident_quantile(errors.sort().values, self.settings.alpha, self.settings.beta)
        )
        return LayerReport(layer.name, density, error, held_out.total(layer.name, index), bound)

    def _measure(self, block: Block) -> Statistics:
        statistics = STATISTICS[self.settings.method]()
        if isinstance(statistics, NoStatistics):
            return statistics
        masks: list[Tensor] = []
        number = 0

        def see(layer: Layer) -> Callable[..., None]:
            def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
                inputs = read_by(arguments, named)
                refuse_not_finite(inputs, masks, layer.name, number, where=self.where)
                statistics.add(layer, module, inputs, arguments[1:], kept_rows(inputs, masks))

            return hook

        with ExitStack() as stack:
            for layer in block.layers:
                for module in layer.modules:
                    stack.callback(module.register_forward_pre_hook(see(layer), with_kwargs=True).remove)
            for number in range(self.plan.calibration):
                masks = self.padding[number]
                self._feed(block, number)
                statistics.finish()
        return statistics

    def _compare(
        self, position: int, others: Mapping[str, Sequence[Tensor]], *, present_is_dense: bool
    ) -> tuple[OutputErrors, OutputErrors]:
        """The errors of the block's layers; also moves on to the inputs of the next block."""
        block = self.seen.order[position]
        calibration, held_out = (OutputErrors(others, present_is_dense=present_is_dense) for _ in range(2))
        number = 0

        def see(layer: Layer) -> Callable[..., None]:
            def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> None:
                errors = calibration if number < self.plan.calibration else held_out
                errors.add(
                    layer, module, arguments, named, output, self.padding[number], _items(self.plan.inputs[number])
                )

            return hook

        with ExitStack() as stack:
            for layer in block.layers:
                for module in layer.modules:
                    stack.callback(module.register_forward_hook(see(layer), with_kwargs=True).remove)
            for number in range(len(self.plan.inputs)):
                output = self._feed(block, number)
                self._advance(position, number, output)
                (calibration if number < self.plan.calibration else held_out).finish()
        self._arrive(position)
        return calibration, held_out

    def _enter(self, position: int) -> None:
        """Have the block's inputs, if it can be called on stored ones: from the block before, or from the model."""
        block = self.seen.order[position]
        if self.stored is None and self.seen.stored(block):
            self.stored = [self._captured(block, number) for number in range(len(self.plan.inputs))]

    def _pass(self, position: int) -> None:
        """Go through a part without weights to prune, if its inputs are at hand."""
        if self.stored is not None:
            for number in range(len(self.plan.inputs)):
                self._advance(position, number, self._feed(self.seen.order[position], number))
        self._arrive(position)

    def _advance(self, position: int, number: int, output: Any) -> None:
        """Replace the block's inputs by those of the next block, where that follows from them."""
        if self.stored is None or not self._goes_on(position):
            return
        after = self.seen.order[position + 1]
        self.stored[number] = following(self.seen.skeletons[after], self.seen.links[after], self.stored[number], output)

    def _arrive(self, position: int) -> None:
        if not self._goes_on(position):
            self.stored = None

    def _goes_on(self, position: int) -> bool:
        order = self.seen.order
        return position + 1 < len(order) and self.seen.follows(order[position + 1], order[position])

    def _feed(self, block: Block, number: int) -> Any:
        """Call the block as batch `number` does: on stored inputs, or by running the model up to its last call."""
        if self.stored is not None:
            arguments, named = copied(self.stored[number])
            return block.modules[0](*arguments, **named)
        left = self.seen.calls[number].get(block, 0)
        if not left:
            return None

        def count(*_: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise _Stop

        self._run(block, number, lambda module: module.register_forward_hook(count))
        return None

    def _captured(self, block: Block, number: int) -> Any:
        """What the model calls the block with on batch `number`."""
        found: Any = None

        def grab(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            nonlocal found
            found = (arguments, named)
            raise _Stop

        self._run(block, number, lambda module: module.register_forward_pre_hook(grab, with_kwargs=True))
        return found

    def _run(self, block: Block, number: int, hook: Callable[[nn.Module], Any]) -> None:
        with ExitStack() as stack:
            for module in block.modules:
                stack.callback(hook(module).remove)
            try:
                call_model(self.plan.model, copied(self.plan.inputs[number]))
            except _Stop:
                pass

    def _solutions(
        self, block: Block, statistics: Statistics, several: Sequence[Mapping[str, Budget]]
    ) -> Iterator[tuple[Layer, list[_Solution]]]:
        """Each layer of the block at every budget; what one group of layers needed is freed before the next.

        The largest factorisation comes first, when no dense weight has to be kept yet.
        """
        if not isinstance(statistics, InputGrams):
            for layer in block.layers:
                yield layer, [self._kept(layer, statistics, allowed[layer.name]) for allowed in several]
            return
        groups: dict[tuple[tuple[str, ...], ...], list[Layer]] = {}
        for layer in block.layers:
            groups.setdefault(statistics.shared(layer.name), []).append(layer)
        waiting = {layer.name for layer in block.layers}
        for layers in sorted(groups.values(), key=lambda group: -group[0].layout.row_length(group[0].weight.shape)):
            name, damping = layers[0].name, self.settings.damping
            waiting -= {layer.name for layer in layers}
            matrices, factors = statistics.take(name, waiting), list[InverseFactor]()
            while matrices:  # each is freed before the next factorisation
                factors.append(inverse_factor(matrices.pop(0), damping, name=name))
            scored = torch.stack([~factor.silent.all() for factor in factors])
            warn_of_zeros(self.where, {x.name: scored for x in layers}, {x.name: x.weight for x in layers})
            for layer in layers:
                yield layer, [self._updated(layer, factors, allowed[layer.name]) for allowed in several]
            del factors

    def _kept(self, layer: Layer, statistics: Statistics, budget: Budget) -> _Solution:
        """The highest scores of a layer, by a method that leaves the other weights as they are."""
        weight = layer.weight.detach()
        if isinstance(statistics, InputNorms | InputShares):
            scores = statistics.scores(layer)
            warn_of_zeros(self.where, {layer.name: scores}, {layer.name: weight})
        else:
            scores = layer.matrix(weight).abs()
        mask = layer.tensor(budget.mask(scores))
        return _Solution(mask, weight.masked_fill(~mask, 0))

    def _updated(self, layer: Layer, factors: list[InverseFactor], budget: Budget) -> _Solution:
        matrix, size = layer.matrix(layer.weight.detach()), self.settings.block_size
        chosen = size if budget.scope in ("row", "layer") else budget.group
        size = max(chosen, size - size % chosen)
        maps = zip(matrix.chunk(layer.groups), factors, budget.by_group(layer.groups, len(matrix)), strict=True)
        parts = [
            pruned_and_updated(part, factor, share.mask_columns, columns_chosen=chosen, block_size=size)
            for part, factor, share in maps
        ]
        weight, mask = (torch.cat([part[i] for part in parts]) if len(parts) > 1 else parts[0][i] for i in (0, 1))
        weight = weight.to(layer.weight.dtype)
        if not bool(torch.linalg.vector_norm(weight, torch.inf).isfinite()):
            raise InvalidValueError(
                f"{self.where}: the update of {layer.name} overflows at damping={self.settings.damping:g}. "
                "Pass more batches, or a larger damping such as 0.1."
            )
        return _Solution(layer.tensor(mask), layer.tensor(weight))


def _items(batch: Inputs) -> int:
    """The number of items of a batch: the first dimension of its first tensor."""
    values = [batch] if isinstance(batch, Tensor) else batch.values() if isinstance(batch, Mapping) else batch
    return next((len(value) for value in values if isinstance(value, Tensor) and value.ndim), 0)
