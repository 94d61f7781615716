"""The name of a unit of work: a content hash of what is asked, so that equal questions are answered once.

A key depends on the stable id of the measure (or its import name), its `revision` and the parameters of the
cell as canonical JSON, on nothing else: the same cell has the same key in every run, process and machine.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

from ..errors import PruneproofError

Measure = TypeVar("Measure", bound=Callable[..., Any])


@dataclass(frozen=True)
class Task:
    """One cell to compute.

    Args:
        key: Content hash, 32 hexadecimal digits.
        measure: Id of the measure: its `stable_id`, or its import name where it has none.
        cell: The parameters as canonical JSON.
        function: Import name of the measure, `"module:function"`, by which a worker finds it; empty for a task
            whose rows are already known.
    """

    key: str
    measure: str
    cell: str
    function: str = ""


def stable_id(text: str) -> Callable[[Measure], Measure]:
    """Give a measure a name that does not depend on where its file lies.

    The name goes into the keys of its rows, so that stored rows survive a move of the module. It
    says that the meaning is the same: whoever changes what a measure computes raises `revision`.

    Args:
        text: The name, such as `"pretraining/dataset-size"`.

    Example:
        >>> @stable_id("example/square")
        ... def square(cell):
        ...     return {"square": cell["x"] ** 2}
        >>> task(square, {"x": 3}).measure
        'example/square'
    """

    def name(measure: Measure) -> Measure:
        setattr(measure, "stable_id", text)  # noqa: B010 (functions have no such attribute for a type checker)
        return measure

    return name


def task(measure: Callable[..., Any], cell: dict[str, Any]) -> Task:
    """Name one cell of a measure.

    Arguments:
        measure: a top-level function; its attribute `revision` (0 if absent) is part of the key.
        cell: JSON-able parameters; non-finite numbers are refused, because they have no JSON.

    Example:
        >>> task(json.loads, {"b": 1, "a": (2, 3)}).cell
        '{"a":[2,3],"b":1}'
        >>> task(json.loads, {"a": 1}).key == task(json.loads, {"a": 2}).key
        False
    """
    name = f"{measure.__module__}:{measure.__qualname__}"
    try:
        text = canonical(cell, allow_nan=False)
    except (TypeError, ValueError) as error:
        remedy = "use finite numbers, texts, booleans, None, lists and dicts"
        raise PruneproofError(
            name, required="JSON-able parameters", received=f"{cell!r} ({error})", remedy=remedy
        ) from None
    identity = getattr(measure, "stable_id", name)
    asked = canonical([identity, getattr(measure, "revision", 0), text])
    return Task(blake2b(asked.encode(), digest_size=16).hexdigest(), identity, text, name)


def canonical(value: object, *, allow_nan: bool = True) -> str:
    """The same JSON text for equal values: sorted keys, no spaces, shortest round-trip floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=allow_nan)
