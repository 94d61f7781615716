"""Two networks have one architecture if their traces are equal: same operations, settings, and wiring.

Only then may the steps of one be used to bound both. Weights, which may differ, are no part of it.
"""

from torch import fx, nn
from torch.fx.node import map_arg

from ...errors import PruneproofError


def require_one_architecture(
    first: list[fx.Node], second: list[fx.Node], original: nn.Module, pruned: nn.Module
) -> None:
    """Refuse two traces, node by node, that differ in anything but weights."""
    if len(first) != len(second):
        raise _different(f"{len(first)} and {len(second)} operations")
    place, mate = ({node: number for number, node in enumerate(nodes)} for nodes in (first, second))
    for node, other in zip(first, second, strict=True):
        if (node.op, node.target) != (other.op, other.target):
            raise _different(f"{node.target} and {other.target}")
        if _arguments(node, place) != _arguments(other, mate):
            raise _different(f"{node.name} of {_arguments(node, place)} and of {_arguments(other, mate)}")
        if node.op == "call_module":
            layer = str(node.target)
            _same_layer(layer, original.get_submodule(layer), pruned.get_submodule(layer))


def _arguments(node: fx.Node, place: dict[fx.Node, int]) -> str:
    """What the node reads, other nodes by their place: as text, in which 1, 1.0 and True differ."""
    return str(map_arg((node.args, node.kwargs), lambda parent: f"%{place[parent]}"))


def _same_layer(name: str, module: nn.Module, copy: nn.Module) -> None:
    kinds = type(module), type(copy)
    if kinds[0].forward is not kinds[1].forward:  # a parametrised layer has the class's own
        raise _different(f"{name}: {kinds[0].__name__} and {kinds[1].__name__}")
    if module.extra_repr() != copy.extra_repr():
        raise _different(f"{name}: {module.extra_repr()} and {copy.extra_repr()}")
    for setting in sorted(_constants(*kinds)):
        one, two = (getattr(layer, setting, None) for layer in (module, copy))
        if one != two:
            raise _different(f"{name}.{setting}: {one} and {two}")


def _constants(*kinds: type) -> set[str]:
    """The settings that `forward` reads, some of which `extra_repr` leaves out: those of a class and of all it extends.

    A class that lists its own hides the list of its base, whose `forward` it still runs.
    """
    return {name for kind in kinds for base in kind.__mro__ for name in vars(base).get("__constants__", ())}


def _different(received: str) -> PruneproofError:
    remedy = "compare a network with its own pruned copy"
    return PruneproofError("certify", required="two networks of one architecture", received=received, remedy=remedy)
