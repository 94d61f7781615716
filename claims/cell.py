"""The name of a unit of work: a content hash of what is asked, so that equal questions are answered once.

A key depends on the measure's import name, its `revision` and the cell's parameters as canonical JSON, on nothing else:
the same cell has the same key in every run, process and machine.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ..errors import PruneproofError


@dataclass(frozen=True)
class Task:
    """One cell to compute.

    Arguments:
        key: content hash, 32 hexadecimal digits.
        measure: import name of the measure, `"module:function"`.
        cell: the parameters as canonical JSON.
    """

    key: str
    measure: str
    cell: str


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
    asked = canonical([name, getattr(measure, "revision", 0), text])
    return Task(blake2b(asked.encode(), digest_size=16).hexdigest(), name, text)


def canonical(value: object, *, allow_nan: bool = True) -> str:
    """The same JSON text for equal values: sorted keys, no spaces, shortest round-trip floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=allow_nan)
