"""The blocks of a model, and how they follow each other: found by one dry run of every batch, before anything changes.

*Blocks.* The children of the outermost `ModuleList` or `Sequential` that has two or more children
with prunable weights; every other module with a prunable weight of its own is a block by itself.
Blocks that share a weight are one block. Their order is that of their first calls.

*Chaining.* If every input of a block is an output of the block before it, or an input that this
block had too, then the blocks can be called one after the other on stored inputs: about two forward
passes in all. This is seen on every batch by the identity of the tensors, and proved on the first by
a replay that must give the same bits. Where it fails (a skip connection over blocks, an embedding in between,
a block called several times, a cache with a memory) the model itself is run up to the block.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError, UnknownNameError, UnsupportedError
from pruneproof.prune.models.evaluation import Inputs, call_model, explained
from pruneproof.prune.models.layers import Layer, require_reached

from .trees import Path, copied, leaves, rebuilt

_CONSTANTS = (str, int, float, bool, type(None))


@dataclass(frozen=True, eq=False)
class Block:
    """A part of the model that is pruned at once.

    Args:
        name: Its name in the model.
        modules: The module; several where blocks share a weight.
        layers: Its prunable layers; none for a part that only passes the data on.
    """

    name: str
    modules: tuple[nn.Module, ...]
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Source:
    """Where an input of a block comes from: an output or an input of the block before, or a constant."""

    kind: str
    value: Any


@dataclass
class Survey:
    """What the dry run saw.

    Args:
        order: The blocks by their first call.
        calls: For each batch, block → how often it was called.
        replayable: Blocks whose call on stored inputs gave the same bits.
        links: Block → path of an input → its source, where the block can follow the one before it.
        skeletons: Block → the tree of its inputs, without them.
        reached: Names of the weights whose layer was called.
    """

    order: list[Block] = field(default_factory=list[Block])
    calls: list[dict[Block, int]] = field(default_factory=list[dict[Block, int]])
    replayable: set[Block] = field(default_factory=set[Block])
    links: dict[Block, dict[Path, Source]] = field(default_factory=dict[Block, dict[Path, Source]])
    skeletons: dict[Block, Any] = field(default_factory=dict[Block, Any])
    reached: set[str] = field(default_factory=set[str])

    def stored(self, block: Block) -> bool:
        """Whether the block may be called on stored inputs: once per batch, and with the same result."""
        return block in self.replayable and all(calls.get(block, 0) == 1 for calls in self.calls)

    def follows(self, block: Block, before: Block) -> bool:
        """Whether the block's inputs can be made from those and the outputs of the block before."""
        position = self.order.index(block)
        follower = position > 0 and self.order[position - 1] is before
        return follower and block in self.links and self.stored(block) and self.stored(before)


def find_blocks(model: nn.Module, layers: Sequence[Layer], names: str | Sequence[str] | None) -> list[Block]:
    """The blocks of a model in the order of declaration.

    Args:
        model: The plain module.
        layers: The layers to prune.
        names: Shell patterns of the modules that are blocks; `None` finds them.

    Raises:
        UnknownNameError: A pattern matches no module with a layer to prune.
        UnsupportedError: The modules named lie in each other.
    """
    holders = {id(module): layer for layer in layers for module in layer.modules}
    if names is None:
        found = list(_outermost("", model, holders))
    else:
        found = _named(model, holders, [names] if isinstance(names, str) else list(names))
    taken = {id(module) for _, block in found for module in block.modules()}
    every = [(name, m) for name, m in model.named_modules() if id(m) in holders and id(m) not in taken]
    return _merged([*found, *every], holders)


def _outermost(name: str, module: nn.Module, holders: Mapping[int, Layer]) -> Iterator[tuple[str, nn.Module]]:
    children = [(f"{name}.{key}".lstrip("."), child) for key, child in module.named_children()]
    full = [child for _, child in children if any(id(m) in holders for m in child.modules())]
    if isinstance(module, nn.ModuleList | nn.Sequential) and len(full) > 1:
        yield from children
    elif id(module) in holders:
        yield name, module
    else:
        for key, child in children:
            yield from _outermost(key, child, holders)


def _named(model: nn.Module, holders: Mapping[int, Layer], patterns: list[str]) -> list[tuple[str, nn.Module]]:
    found: dict[str, nn.Module] = {}
    for pattern in patterns:
        modules = {
            name: module
            for name, module in model.named_modules()
            if name and fnmatchcase(name, pattern) and any(id(m) in holders for m in module.modules())
        }
        inner = {f"{name}." for name in modules}
        matched = {name: m for name, m in modules.items() if not any(name.startswith(outer) for outer in inner)}
        if not matched:
            raise UnknownNameError(
                f"calibrated: blocks={pattern!r} names no module with a weight to prune. "
                'Pass the modules of a stack, such as blocks="encoder.layer.*".'
            )
        found |= matched
    for name in found:
        if outer := next((other for other in found if name.startswith(f"{other}.")), None):
            raise UnsupportedError(f"calibrated: the block {name} lies in the block {outer}. Name one of the two.")
    return list(found.items())


def _merged(found: Sequence[tuple[str, nn.Module]], holders: Mapping[int, Layer]) -> list[Block]:
    """One block for all modules that share a weight."""
    parts: list[tuple[list[str], list[nn.Module], dict[str, Layer]]] = []
    for name, module in found:
        own = {holders[id(m)].name: holders[id(m)] for m in module.modules() if id(m) in holders}
        sharing = [part for part in parts if part[2].keys() & own.keys() or any(module is m for m in part[1])]
        names, modules = [name], [module]
        for part in reversed(sharing):
            names, modules, own = part[0] + names, part[1] + modules, part[2] | own
            parts.remove(part)
        parts.append((names, modules, own))
    return [
        Block(" + ".join(dict.fromkeys(names)), tuple({id(m): m for m in modules}.values()), tuple(own.values()))
        for names, modules, own in parts
    ]


def counted_rows(batch: Inputs) -> list[Tensor]:
    """The masks (batch, length) by which a batch says which tokens are no padding."""
    if not isinstance(batch, Mapping):
        return []
    named = [value for key, value in batch.items() if str(key).endswith("attention_mask")]
    return [mask.bool() for mask in named if isinstance(mask, Tensor) and mask.ndim == 2 and not bool(mask.all())]


def kept_rows(inputs: Tensor, masks: Sequence[Tensor]) -> Tensor | None:
    """Which rows of a layer's input are no padding; `None` for all, also where two masks fit and differ."""
    fitting = [mask for mask in masks if inputs.ndim > 2 and inputs.shape[:2] == mask.shape]
    if not fitting or any(not torch.equal(mask, fitting[0]) for mask in fitting):
        return None
    return fitting[0].to(inputs.device)


def read_by(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    """The first argument of a layer, by position or name."""
    return arguments[0] if arguments else next(iter(named.values()))


def survey(model: nn.Module, blocks: Sequence[Block], batches: Sequence[Inputs], *, where: str) -> Survey:
    """Run every batch once through the dense model.

    Raises:
        InvalidValueError: The model does not take a batch, or a layer reads NaN or infinity.
        UnsupportedError: A layer is never called as a module.
    """
    result = Survey()
    for number, batch in enumerate(batches):
        _DryRun(model, blocks, result, number, batch, where).run()
    layers = [layer.name for block in blocks for layer in block.layers]
    require_reached(where, [name for name in layers if name not in result.reached])
    return result


@dataclass
class _Frame:
    """One call of a block while it lasts, and until the next block has been called."""

    block: Block
    arguments: Any
    stored: Any
    links: dict[Path, Source] | None
    output: Any = None
    replayed: Any = None


class _DryRun:
    def __init__(
        self, model: nn.Module, blocks: Sequence[Block], result: Survey, number: int, batch: Inputs, where: str
    ) -> None:
        self.model, self.blocks, self.result, self.where = model, blocks, result, where
        self.number, self.batch, self.masks = number, batch, counted_rows(batch)
        self.calls: dict[Block, int] = {}
        self.inside: list[_Frame | None] = []
        self.last: _Frame | None = None
        self.replaying = False

    def run(self) -> None:
        with ExitStack() as stack:
            for block in self.blocks:
                for module in block.modules:
                    before, after = self._entering(block), self._leaving(block)
                    stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
                    stack.callback(module.register_forward_hook(after).remove)
                for layer in block.layers:
                    for module in layer.modules:
                        check = self._checking(layer)
                        stack.callback(module.register_forward_pre_hook(check, with_kwargs=True).remove)
            remedy = "Pass batches of its shapes, dtypes and device."
            with explained(self.where, f"the model on batch {self.number}", remedy):
                call_model(self.model, copied(self.batch))
        self.result.calls.append(self.calls)

    def _entering(self, block: Block) -> Any:
        def enter(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            if self.replaying:
                return
            self.calls[block] = self.calls.get(block, 0) + 1
            if block not in self.result.order:
                self.result.order.append(block)
            if self.inside or self.calls[block] > 1 or len(block.modules) > 1:
                self.inside.append(None)  # what is not called once, on its own, cannot be chained
                return
            tree = (arguments, named)
            links = None if self.last is None else _links(tree, self.last)
            if self.number:
                self._compare(block, links)
                self.inside.append(_Frame(block, tree, None, links))
                return
            try:
                if self.last is None or links is None:
                    stored = copied(tree)
                else:
                    stored = following(tree, links, self.last.stored, self.last.replayed)
            except Exception:  # an argument that cannot be copied: the model itself will be run
                self.inside.append(None)
                return
            self.inside.append(_Frame(block, tree, stored, links))

        return enter

    def _compare(self, block: Block, links: dict[Path, Source] | None) -> None:
        """Forget how the block follows the one before it if it does so otherwise on this batch."""
        order = self.result.order
        same = self.last is not None and self.last.block is order[order.index(block) - 1]
        if block in self.result.links and not (same and self.result.links[block] == links):
            del self.result.links[block]

    def _leaving(self, block: Block) -> Any:
        def leave(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
            if self.replaying:
                return
            frame, self.last = self.inside.pop(), None
            if frame is None:
                return
            if self.number:
                frame.output, self.last = output, frame
                return
            self.replaying = True
            try:
                arguments, named = copied(frame.stored)
                frame.replayed, frame.output = module(*arguments, **named), output
            except Exception:
                return
            finally:
                self.replaying = False
            if _same(frame.replayed, output):
                self.result.replayable.add(block)
                if frame.links is not None:
                    self.result.links[block] = frame.links
                    self.result.skeletons[block] = rebuilt(frame.arguments, lambda path, leaf: None)
                self.last = frame

        return leave

    def _checking(self, layer: Layer) -> Any:
        def check(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            if self.replaying:
                return
            self.result.reached.add(layer.name)
            refuse_not_finite(read_by(arguments, named), self.masks, layer.name, self.number, where=self.where)

        return check


def refuse_not_finite(inputs: Tensor, masks: Sequence[Tensor], name: str, number: int, *, where: str) -> None:
    """Refuse NaN and infinity in what a layer reads, padding aside."""
    if bool(inputs.sum().isfinite()):  # much faster than looking at each, and rarely wrong
        return
    keep = kept_rows(inputs, masks)
    rows = inputs if keep is None else inputs[keep]
    if not bool(rows.isfinite().all()):
        kind = "NaN" if bool(rows.isnan().any()) else "infinity"
        raise InvalidValueError(
            f"{where}: {kind} reaches {name} in batch {number}. Look for the layer before it that overflows, "
            "or leave the batch out."
        )


def _links(tree: Any, before: _Frame) -> dict[Path, Source] | None:
    """The source of every input in the call of the block before; `None` if one has another source."""
    outputs = {id(leaf): path for path, leaf in leaves(before.output) if not isinstance(leaf, _CONSTANTS)}
    inputs = {id(leaf): path for path, leaf in leaves(before.arguments) if not isinstance(leaf, _CONSTANTS)}
    constants = {path: leaf for path, leaf in leaves(before.arguments) if isinstance(leaf, _CONSTANTS)}
    links: dict[Path, Source] = {}
    for path, leaf in leaves(tree):
        if isinstance(leaf, _CONSTANTS):
            same = path in constants and type(constants[path]) is type(leaf) and constants[path] == leaf
            links[path] = Source("input", path) if same else Source("constant", leaf)
        elif id(leaf) in outputs:
            links[path] = Source("output", outputs[id(leaf)])
        elif id(leaf) in inputs:
            links[path] = Source("input", inputs[id(leaf)])
        else:
            return None
    return links


def following(shape: Any, links: Mapping[Path, Source], arguments: Any, output: Any) -> Any:
    """The inputs of a block from the inputs and the output of the block before it.

    Args:
        shape: A tree of the block's inputs, whose leaves are replaced.
        links: Path of an input → its source.
        arguments: The inputs of the block before.
        output: What it returned.
    """
    known = {"input": dict(leaves(arguments)), "output": dict(leaves(output))}

    def source(path: Path, _: Any) -> Any:
        link = links[path]
        return link.value if link.kind == "constant" else known[link.kind][link.value]

    return rebuilt(shape, source)


def _same(first: Any, second: Any) -> bool:
    """Whether two outputs hold the same bits."""
    ours, theirs = list(leaves(first)), list(leaves(second))
    return len(ours) == len(theirs) and all(
        (isinstance(other, Tensor) and leaf.dtype == other.dtype and torch.equal(leaf, other))
        if isinstance(leaf, Tensor)
        else type(leaf) is type(other)
        for (_, leaf), (_, other) in zip(ours, theirs, strict=True)
    )
