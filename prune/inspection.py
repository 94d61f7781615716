"""What pruning saved, honestly: bytes dense and packed, multiplications, and whether any kernel will be faster.

Unstructured zeros in an ordinary layer save nothing until they are stored or multiplied in another
way. Packed bytes are those of the kept values and one bit per weight, as `docs/how_to/checkpoints.md`
writes them to files. Multiply–accumulates are counted on one forward pass, by the formulas of torch's own FLOP
counter on the operations that really run: those that read a weight are the weight's, wherever it is
read (as a module, inside attention, transposed by a decoder, step by step in a recurrent layer), and
the products of activations belong to the total alone. What cannot be counted is named.
"""

# Switches and storages of torch that have no public name:
# pyright: reportPrivateUsage=false
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from pruneproof.errors import InvalidValueError, PruneproofError, UnsupportedError, speaking_for
from pruneproof.kernels import BitMask
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.evaluation import (
    Inputs,
    call_model,
    copied,
    evaluation_mode,
    explained,
    require_examples,
    require_sizes,
)
from pruneproof.prune.models.parameters import (
    OUTPUTS_FIRST,
    Layout,
    computed_weights,
    layouts,
    parameters_named,
    prunable,
    require_values,
    store_computed,
    unwrapped,
)
from pruneproof.prune.models.shards import require_whole

from .sparse_layers import MaskedLinear, SparseLinear, sparsify

DENSE = "no speed-up expected on dense kernels"
_SPARSE_CORES = "2:4 pattern: faster on GPUs with sparse tensor cores, by torch.sparse.to_sparse_semi_structured"


@dataclass(frozen=True)
class LayerCost:
    """One prunable weight.

    Args:
        name: Of the parameter.
        shape: Of the parameter.
        kept: Weights that are kept.
        total: All of them.
        dense_bytes: As stored now.
        packed_bytes: As kept values with one bit per weight.
        macs: Multiply–accumulates of one pass over the inputs, so of one example for a batch of one;
            `None` if it was not run, or cannot be counted.
        kept_macs: Those of kept weights.
        speed: What to expect.
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    total: int
    dense_bytes: int
    packed_bytes: int
    macs: int | None
    kept_macs: int | None
    speed: str


@dataclass(frozen=True)
class Inspection:
    """The costs of a model.

    Args:
        layers: One entry per prunable weight.
        other_bytes: All other parameters and buffers.
        other_macs: Multiply–accumulates that read no prunable weight, such as the products of
            attention; `None` if the model was not run.
        uncounted: Names of the prunable weights whose multiplications could not be counted.

    Example:
        >>> with torch.no_grad():
        ...     layer = nn.Linear(64, 64)
        ...     _ = layer.weight.masked_fill_(torch.arange(64) % 3 > 0, 0)
        >>> report = inspect_model(layer)
        >>> f"{report.density:.0%}", report.dense_bytes, report.packed_bytes
        ('34%', 16640, 6400)
    """

    layers: tuple[LayerCost, ...]
    other_bytes: int
    other_macs: int | None = None
    uncounted: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"Inspection({self.kept:,} of {self.total:,} weights kept in {len(self.layers)} tensors; "
            f"{self.dense_bytes:,} bytes, packed {self.packed_bytes:,})"
        )

    def __str__(self) -> str:
        """A table, one line per weight, and the sums: what `pruneproof inspect` prints."""
        rows = [("weight", "shape", "kept", "density", "bytes", "packed", "kept MACs")]
        for layer in self.layers:
            share = f"{layer.kept / max(layer.total, 1):.2%}"
            macs = "-" if layer.kept_macs is None else f"{layer.kept_macs:,}"
            sizes = (f"{layer.dense_bytes:,}", f"{layer.packed_bytes:,}")
            rows.append((layer.name, "×".join(map(str, layer.shape)), f"{layer.kept:,}", share, *sizes, macs))
        first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = [
            "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
            for row in rows
        ]
        lines += ["", f"weights kept: {self.kept:,} of {self.total:,} ({self.density:.2%})"]
        if self.macs is not None:
            lines.append(f"multiply–accumulates (MACs) with kept weights: {self.macs[0]:,} of {self.macs[1]:,}")
        lines.append(f"bytes in memory: {self.dense_bytes:,} as the tensors are now")
        lines.append(f"bytes if packed: {self.packed_bytes:,}, as kept values and one bit per weight")
        for speed in dict.fromkeys(layer.speed for layer in self.layers):
            names = [layer.name for layer in self.layers if layer.speed == speed]
            lines.append(f"speed of {', '.join(names[:3])}{f' and {len(names) - 3} more' * (len(names) > 3)}: {speed}")
        return "\n".join(lines)

    @property
    def kept(self) -> int:
        """The number of prunable weights that are kept."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total(self) -> int:
        """The number of prunable weights."""
        return sum(layer.total for layer in self.layers)

    @property
    def density(self) -> float:
        """The kept fraction of all prunable weights."""
        return self.kept / self.total if self.total else 1.0  # of no weights, none is pruned

    @property
    def dense_bytes(self) -> int:
        """Everything as it is stored now."""
        return self.other_bytes + sum(layer.dense_bytes for layer in self.layers)

    @property
    def packed_bytes(self) -> int:
        """Everything with packed weights; a layer too dense to gain stays dense."""
        return self.other_bytes + sum(min(layer.packed_bytes, layer.dense_bytes) for layer in self.layers)

    @property
    def macs(self) -> tuple[int, int] | None:
        """(kept, all) multiply–accumulates of the whole model in one pass over the inputs.

        `None` if it was not run, or if something is `uncounted`: a part is no total.
        """
        if self.other_macs is None or self.uncounted:
            return None
        kept = sum(layer.kept_macs or 0 for layer in self.layers)
        return self.other_macs + kept, self.other_macs + sum(layer.macs or 0 for layer in self.layers)


def inspect_model(
    model: nn.Module, masks: Masks | None = None, *, input_shape: Sequence[int] | Inputs | None = None
) -> Inspection:
    """Count what a pruned model stores and multiplies.

    Weights that are computed from other tensors (weight norm, spectral norm, …) count as if they
    were stored.

    Args:
        model: The network; unchanged.
        masks: Which weights count as kept; by default those that are not zero.
        input_shape: Shape of a batch of one example, or the inputs themselves, to count
            multiply–accumulates; those of a larger batch are of all its examples together.

    Returns:
        `Inspection`.

    Raises:
        UnknownNameError: The masks are of another model.
        UnsupportedError: A weight has no values (meta device) or a sparse layout.
        InvalidValueError: Nothing is prunable, or there is no example.

    Example:
        >>> report = inspect_model(nn.Linear(64, 32), input_shape=(1, 64))
        >>> report.dense_bytes, report.macs, report.layers[0].speed
        (8320, (2048, 2048), 'dense')
    """
    plain = unwrapped(model)
    if computed_weights(plain):
        plain = copied("inspect_model", plain).eval()
        store_computed(plain)
    swapped = {n: m for n, m in plain.named_modules() if isinstance(m, MaskedLinear | SparseLinear)}
    weights = _weights(plain, masks, swapped)
    require_values("inspect_model", weights)
    require_whole("inspect_model", plain)
    kept = {
        name: masks[name].to(weight.device) if masks is not None and name in masks else weight.detach() != 0
        for name, weight in weights.items()
    }
    counter = None if input_shape is None else _count(plain, weights, kept, swapped, input_shape)
    how, faster = layouts(plain), _replaceable(plain)
    costs = [
        layer_cost(name, w, kept[name], _macs_of(counter, name), how.get(name, OUTPUTS_FIRST), id(w) in faster)
        for name, w in weights.items()
    ]
    costs += [_swapped_cost(f"{n}.weight".lstrip("."), layer, _macs_of(counter, n)) for n, layer in swapped.items()]
    stored = {id(t): t.numel() * t.element_size() for t in [*plain.parameters(), *plain.buffers()]}
    other = sum(stored.values()) - sum(cost.dense_bytes for cost in costs)
    if counter is None:
        return Inspection(tuple(costs), other)
    return Inspection(tuple(costs), other, counter.other, tuple(n for n in weights if n not in counter.macs))


PAIRS = 15


@dataclass(frozen=True)
class Speed:
    """How long a model takes with its zeros multiplied and with its zeros left out, side by side.

    Args:
        batch: The number of examples at once.
        format: In which the linear layers were stored, as in `sparsify`.
        dense_seconds: The median time of the model as it is.
        sparse_seconds: The median time with sparse layers.
        ratio: The median of dense over sparse of neighbouring runs; above 1 the sparse model is faster.
        low: Lower end of a 96 % interval of that median.
        high: Upper end.
    """

    batch: int
    format: str
    dense_seconds: float
    sparse_seconds: float
    ratio: float
    low: float
    high: float


def measure_speed(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    masks: Masks | None = None,
    batches: Sequence[int] = (1, 8, 64),
    formats: Sequence[str] = ("csr16", "bsr"),
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Speed, ...]:
    """Time a pruned model on this machine, dense beside sparse, in as many threads as torch has now.

    Dense and sparse runs alternate, 15 of each after two to warm up. The interval of the median ratio
    goes from the 4th to the 12th of 15: if the runs are independent, whatever their distribution, it
    misses the median with probability 2·P(Bin(15, ½) ≤ 3) = 3.6 %.

    Args:
        model: The network; unchanged.
        input_shape: Shape of a batch of one example, whose first number is replaced.
        masks: Which weights are kept; by default those that are not zero.
        batches: Numbers of examples at once.
        formats: In which to store the linear layers, as in `sparsify`.
        progress: Called with the number of pairs timed so far, and of all.

    Returns:
        One `Speed` for each format and batch.

    Raises:
        InvalidValueError: No layer can be stored in the format.
        PruneproofError: As `sparsify` raises.

    Example:
        >>> (speed,) = measure_speed(nn.Linear(8, 8), (1, 8), batches=[4], formats=["csr16"])
        >>> speed.low <= speed.ratio <= speed.high
        True
    """
    plain = unwrapped(model)
    if masks is None:
        masks = Masks({name: weight.detach() != 0 for name, weight in prunable(plain).items()})
    dense = masks.apply_(copied("measure_speed", plain))
    with speaking_for("measure_speed"):
        settings = [(format, sparsify(plain, masks, format=format), batch) for format in formats for batch in batches]
    found: list[Speed] = []
    for format, sparse, batch in settings:
        _require_swapped(format, sparse, dense)
        inputs, pairs = _inputs("measure_speed", plain, (batch, *input_shape[1:])), list[tuple[float, float]]()
        for pair in _pairs(dense, sparse, inputs):
            pairs.append(pair)
            if progress is not None:
                progress(len(found) * PAIRS + len(pairs), len(settings) * PAIRS)
        ratios = sorted(by_dense / by_sparse for by_dense, by_sparse in pairs)
        by_dense, by_sparse = (median(times) for times in zip(*pairs, strict=True))
        found.append(Speed(batch, format, by_dense, by_sparse, median(ratios), ratios[3], ratios[11]))
    return tuple(found)


def _require_swapped(format: str, sparse: nn.Module, dense: nn.Module) -> None:
    kinds = [[type(each) for each in (*model.modules(), *model.parameters())] for model in (sparse, dense)]
    if kinds[0] == kinds[1]:
        raise InvalidValueError(
            f"measure_speed: no layer can be stored as {format!r}, since only linear ones can, so there is nothing to "
            "compare with. Other layers multiply their zeros."
        )


def _pairs(dense: nn.Module, sparse: nn.Module, inputs: Inputs) -> Iterator[tuple[float, float]]:
    """Seconds of a run of both models, which take turns at being the first."""
    with evaluation_mode(dense), evaluation_mode(sparse), torch.inference_mode():
        for number in range(-2, PAIRS):
            seconds = dict[bool, float]()
            for is_dense in (number % 2 == 0, number % 2 == 1):
                seconds[is_dense] = _seconds(dense if is_dense else sparse, inputs)
            if number >= 0:
                yield seconds[True], seconds[False]


def _seconds(network: nn.Module, inputs: Inputs) -> float:
    with explained("measure_speed", "the model", _remedy(network)):
        start = time.perf_counter()
        call_model(network, inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start


def _macs_of(counter: "_Counter | None", name: str) -> tuple[int, int] | None:
    return None if counter is None else counter.macs.get(name)


def _replaceable(model: nn.Module) -> set[int]:
    """The weights, by identity, of linear layers that own them: what runs on other kernels can be put there."""
    held = [id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)]
    owned = {id(module.weight) for module in model.modules() if type(module) is nn.Linear}
    return {weight for weight in owned if held.count(weight) == 1}


def _weights(
    plain: nn.Module, masks: Masks | None, swapped: Mapping[str, MaskedLinear | SparseLinear]
) -> dict[str, nn.Parameter]:
    """What is counted: prunable and masked weights, each once, but not those of swapped layers."""
    weights = {} if swapped and not _has_prunable(plain) else prunable(plain)
    if masks is not None:
        named = parameters_named(plain, {name: mask.shape for name, mask in masks.items()}, where="inspect_model")
        names = {id(weight): name for name, weight in named.items()}  # a tied weight goes by the name in the masks
        weights = {names.get(id(weight), name): weight for name, weight in weights.items()} | named
    inside = {id(layer.weight) for layer in swapped.values() if isinstance(layer, MaskedLinear)}
    return {name: weight for name, weight in weights.items() if id(weight) not in inside}


def _has_prunable(model: nn.Module) -> bool:
    try:
        return bool(prunable(model))
    except PruneproofError:
        return False


def _count(
    model: nn.Module,
    weights: Mapping[str, nn.Parameter],
    kept: Mapping[str, Tensor],
    swapped: Mapping[str, MaskedLinear | SparseLinear],
    input_shape: Sequence[int] | Inputs,
) -> "_Counter":
    """Run the model once, on simple kernels whose multiplications have formulas."""
    inputs = _inputs("inspect_model", model, input_shape)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    counter = _Counter(weights, kept)
    with (
        explained("inspect_model", "the model", _remedy(model)),
        evaluation_mode(model),
        _simple_kernels(),
        counter.watching(swapped),
        torch.no_grad(),
        counter,
    ):
        call_model(lambda *a, **k: functional_call(model, buffers, a, k), inputs)
    return counter


@contextmanager
def _simple_kernels() -> Generator[None]:
    """Switch off what runs whole layers in one operation, whose multiplications have no formula."""
    fast, onednn, cudnn = (
        torch.backends.mha.get_fastpath_enabled(),
        torch._C._get_mkldnn_enabled(),
        torch._C._get_cudnn_enabled(),
    )
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)  # the public switch also sets TF32
    torch._C._set_cudnn_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._C._set_mkldnn_enabled(onednn)
        torch._C._set_cudnn_enabled(cudnn)


def _remedy(model: nn.Module) -> str:
    if any(isinstance(module, nn.Embedding | nn.EmbeddingBag) for module in model.modules()):
        return "A shape stands for real numbers: where an embedding looks up whole ones, pass the inputs themselves."
    return "Pass the shape of a batch of one example."


def _inputs(where: str, model: nn.Module, input_shape: Sequence[int] | Inputs) -> Inputs:
    given: Any = input_shape
    if not (isinstance(given, Sequence) and all(isinstance(size, int) for size in given)):
        require_examples(where, given)
        return input_shape  # pyright: ignore[reportReturnType] (a tuple of inputs is a Sequence too)
    require_sizes(where, given)
    held = [*model.parameters(), *model.buffers()]
    sample = next((tensor for tensor in held if tensor.is_floating_point()), None)
    if sample is None:
        kinds = " and ".join(sorted({str(tensor.dtype) for tensor in held}))
        raise UnsupportedError(
            f"{where}: a shape does not tell the inputs of a model of {kinds or 'no tensors'}, which has no real "
            "floating-point number. Pass the inputs themselves."
        )
    return torch.zeros(tuple(given), dtype=sample.dtype, device=sample.device)


class _Counter(TorchDispatchMode):
    """Adds up the multiply–accumulates of all operations with a formula, by the weight that they read."""

    def __init__(self, weights: Mapping[str, nn.Parameter], kept: Mapping[str, Tensor]) -> None:
        super().__init__()
        # (kept, all) of each weight that was seen; one without entries multiplies nothing
        self.macs = {name: (0, 0) for name, weight in weights.items() if not weight.numel()}
        self.other = 0
        self._names = {weight.untyped_storage()._cdata: name for name, weight in weights.items()}
        self._weights, self._kept = weights, kept
        self._opaque = set[str]()
        self._inside = 0  # depth of swapped layers, whose kernels have no formula

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        result = func(*args, **(kwargs or {}))
        if self._inside:
            return result
        read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and self._name(t) is not None]
        formula = flop_registry.get(func.overloadpacket) or flop_registry.get(func)
        if formula is not None:
            count = formula(*args, **(kwargs or {}), out_val=result) // 2
            self._add(count, read)
        elif read and not any(isinstance(t, Tensor) and self._name(t) is not None for t in tree_leaves(result)):
            self._opaque |= {self._name(t) or "" for t in read}  # copied or used in a way without a formula
        return result

    def _name(self, tensor: Tensor) -> str | None:
        if tensor.layout != torch.strided or tensor.numel() == 0:
            return None
        return self._names.get(tensor.untyped_storage()._cdata)

    def _add(self, count: int, read: list[Tensor]) -> None:
        if not read:
            self.other += count
            return
        name = self._name(read[0]) or ""
        kept, total = self.macs.get(name, (0, 0))
        self.macs[name] = kept + count * self._kept_in(name, read[0]) // max(1, read[0].numel()), total + count

    def _kept_in(self, name: str, view: Tensor) -> int:
        """How many weights are kept in what an operation reads of them."""
        weight = self._weights[name]
        mask = torch.empty_strided(weight.shape, weight.stride(), dtype=torch.bool, device=weight.device)
        mask.copy_(self._kept[name])
        offset = view.storage_offset() - weight.storage_offset()
        return int(mask.as_strided(view.shape, view.stride(), offset).count_nonzero())

    @contextmanager
    def watching(self, swapped: Mapping[str, MaskedLinear | SparseLinear]) -> Generator[None]:
        """Count the layers of `sparsify` by their positions, and forget weights whose use stayed opaque."""
        names = {layer: name for name, layer in swapped.items()}

        def enter(layer: nn.Module, arguments: Any) -> None:
            self._inside += 1

        def leave(layer: nn.Module, arguments: Any, output: Tensor) -> None:
            self._inside -= 1
            weight = layer.dense().weight  # pyright: ignore[reportCallIssue]
            kept, total = self.macs.get(names[layer], (0, 0))  # pyright: ignore[reportArgumentType]
            uses = output.shape[:-1].numel()
            self.macs[names[layer]] = kept + uses * int(weight.count_nonzero()), total + uses * weight.numel()  # pyright: ignore[reportArgumentType]

        handles = [layer.register_forward_pre_hook(enter) for layer in names]
        handles += [layer.register_forward_hook(leave) for layer in names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for name in self._opaque:
                self.macs.pop(name, None)


def _swapped_cost(name: str, layer: MaskedLinear | SparseLinear, macs: tuple[int, int] | None) -> LayerCost:
    """A layer of `sparsify`: its bytes are those it holds now, its speed what its kernels were chosen for."""
    weight = layer.dense().weight
    cost = layer_cost(name, weight, weight != 0, macs)
    if isinstance(layer, SparseLinear):
        stored = layer.sparse.nbytes
        return replace(cost, dense_bytes=stored, packed_bytes=stored, speed=f"{layer.format}: {layer.reason}")
    stored = cost.dense_bytes + layer.words.numel() * layer.words.element_size()
    return replace(cost, dense_bytes=stored, speed="masked kernel, for training; what it runs depends on the device")


def layer_cost(
    name: str,
    weight: Tensor,
    kept: Tensor,
    macs: tuple[int, int] | None,
    layout: Layout = OUTPUTS_FIRST,
    replaceable: bool = True,
) -> LayerCost:
    """The cost of one weight.

    Args:
        name: Of the parameter.
        weight: The parameter.
        kept: Bool tensor of its shape.
        macs: (kept, all) multiply–accumulates; `None` if unknown.
        layout: How the weight forms its layer's matrix.
        replaceable: Whether it is the weight of a linear layer that another layer can stand for.
    """
    count, size = int(kept.count_nonzero()), weight.element_size()
    rows = layout.matrix(kept)
    packed = count * size + BitMask.pack(rows.contiguous()).words.numel() * 4
    speed = "dense" if count == weight.numel() else _pattern(rows, replaceable)
    kept_macs, every = (None, None) if macs is None else macs
    return LayerCost(
        name, tuple(weight.shape), count, weight.numel(), weight.numel() * size, packed, every, kept_macs, speed
    )


def _pattern(rows: Tensor, replaceable: bool) -> str:
    """What the positions of the zeros allow."""
    if not bool(rows.any(1).all()) or not bool(rows.any(0).all()):
        return "faster only if empty rows or columns are removed; " + DENSE
    if replaceable and rows.shape[1] % 4 == 0 and bool((rows.reshape(len(rows), -1, 4).sum(2) <= 2).all()):
        return _SPARSE_CORES
    return DENSE
