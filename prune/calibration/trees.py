"""Arguments and outputs of a module as trees of tuples, lists and dicts: their leaves, and copies of them."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

Path = tuple[Any, ...]
_PLAIN = (str, bytes, int, float, complex, bool, type(None), nn.Module)


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf with the keys that lead to it.

    Example:
        >>> list(leaves((1, {"a": [2]})))
        [((0,), 1), ((1, 'a', 0), 2)]
    """
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, tuple | list):
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))
    else:
        yield path, tree


def rebuilt(tree: Any, change: Callable[[Path, Any], Any], path: Path = ()) -> Any:
    """The same tree with every leaf changed.

    Example:
        >>> rebuilt((1, [2]), lambda path, leaf: leaf + len(path))
        (2, [4])
    """
    if isinstance(tree, dict):
        new: Any = copy.copy(tree)
        for key, value in tree.items():
            new[key] = rebuilt(value, change, (*path, key))
        return new
    if isinstance(tree, tuple | list):
        parts = [rebuilt(value, change, (*path, index)) for index, value in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return change(path, tree)


def copied(tree: Any) -> Any:
    """A copy that a module may write into: tensors cloned, mutable objects (a key-value cache) copied deeply."""

    def copy_leaf(_: Path, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.detach().clone()
        return leaf if isinstance(leaf, _PLAIN) else copy.deepcopy(leaf)

    return rebuilt(tree, copy_leaf)
