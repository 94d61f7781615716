"""A cell, the unit of work: its parameters, its rows, and its name, so that equal questions are answered once.

The name of a cell is a content hash. It depends on the stable id of the measure (or its import name),
its `revision` and the parameters as canonical JSON, on nothing else: the same cell has the same key in
every run, process and machine. Cells are read in the order of their parameters, whatever the order in
which workers finished them.
"""

import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from sys import float_info
from typing import Any, TypeVar

from pruneproof.errors import InvalidValueError

Cell = dict[str, Any]  # the parameters of one independently runnable cell: JSON values only
Row = dict[str, Any]  # one measured row: JSON values only, nothing that depends on the clock


def plain(value: Any) -> Any:
    """A value as strict JSON: NumPy and torch scalars become numbers, what is not finite becomes a text.

    Example:
        >>> plain({"a": (1, float("inf"))})
        {'a': [1, 'inf']}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


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
        kind: Cells of one kind take comparable times; by default all cells of the measure.
    """

    key: str
    measure: str
    cell: str
    function: str = ""
    kind: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", self.kind or self.measure)


def stable_id(text: str, *, revision: int = 0) -> Callable[[Measure], Measure]:
    """Give a measure a name that does not depend on where its file lies.

    The name goes into the keys of its rows, so that stored rows survive a move of the module. It
    says that the meaning is the same: whoever changes what a measure computes raises `revision`.

    Args:
        text: The name, such as `"pretraining/dataset-size"`.
        revision: Raised whenever the measure computes something else; old rows are not used then.

    Example:
        >>> @stable_id("example/square")
        ... def square(cell):
        ...     return {"square": cell["x"] ** 2}
        >>> task(square, {"x": 3}).measure
        'example/square'
    """

    def name(measure: Measure) -> Measure:
        setattr(measure, "stable_id", text)  # noqa: B010 (functions have no such attribute for a type checker)
        setattr(measure, "revision", revision)  # noqa: B010
        return measure

    return name


RowType = TypeVar("RowType")


def read_rows(kind: type[RowType], rows: Iterable[Row]) -> list[RowType]:
    """Stored rows as instances of the dataclass that their measure returned.

    Args:
        kind: The dataclass. Its fields are found among the columns of a row and the parameters of
            its cell; a field that is in neither takes its default.
        rows: Rows merged with the parameters of their cells.

    Returns:
        One instance a row; columns that `kind` does not name are passed over.

    Example:
        >>> @dataclass(frozen=True)
        ... class Throw:
        ...     seed: int
        ...     eyes: int
        >>> read_rows(Throw, [{"seed": 1, "eyes": 6, "die": "red"}])
        [Throw(seed=1, eyes=6)]
    """
    names = [field.name for field in fields(kind)]  # pyright: ignore[reportArgumentType]
    return [kind(**{name: row[name] for name in names if name in row}) for row in rows]


def task(measure: Callable[..., Any], cell: dict[str, Any]) -> Task:
    """Name one cell of a measure.

    Args:
        measure: A top-level function; its attribute `revision` (0 if absent) is part of the key.
        cell: JSON-able parameters.

    Raises:
        InvalidValueError: If a parameter has no JSON, such as an infinite number, a date or a text
            that is not Unicode.

    Example:
        >>> task(json.loads, {"b": 1, "a": (2, 3)}).cell
        '{"a":[2,3],"b":1}'
        >>> task(json.loads, {"a": 1}).key == task(json.loads, {"a": 2}).key
        False
    """
    name = f"{measure.__module__}:{measure.__qualname__}"
    identity = getattr(measure, "stable_id", name)
    try:
        text = canonical(cell, allow_nan=False)
        asked = canonical([identity, getattr(measure, "revision", 0), text]).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(
            f"{name}: the parameters of a cell must be JSON, got {cell!r:.200} ({error}). "
            "Use finite numbers, texts, booleans, None, lists and dicts."
        ) from None
    return Task(blake2b(asked, digest_size=16).hexdigest(), identity, text, name)


def canonical(value: object, *, allow_nan: bool = True) -> str:
    """The same JSON text for equal values: sorted keys, no spaces, shortest round-trip floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=allow_nan)


_SIGN = 1 << 63


def sort_key(cell: str) -> bytes:
    """A key that sorts cells by their parameters: names alphabetically, numbers by size, lists item by item.

    Args:
        cell: The parameters as JSON.

    Example:
        >>> sorted(['{"width":16}', '{"width":8.5}', '{"width":-3}', '{"width":"8"}'], key=sort_key)
        ['{"width":-3}', '{"width":8.5}', '{"width":16}', '{"width":"8"}']
    """
    return _sort_key(json.loads(cell))


def _sort_key(value: Any) -> bytes:
    """None, numbers, texts, lists, dicts in this order; no key is the beginning of another one."""
    if value is None:
        return b"\1"
    if isinstance(value, int | float):
        return b"\2" + _number(max(-float_info.max, min(float_info.max, value)))
    if isinstance(value, str):
        return b"\3" + value.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\1") + b"\0\0"
    if isinstance(value, list):
        return b"\4" + b"".join(map(_sort_key, value)) + b"\0"
    return b"\5" + b"".join(_sort_key(name) + _sort_key(part) for name, part in sorted(value.items())) + b"\0"


def _number(value: float) -> bytes:
    """Eight bytes in the order of the numbers: the sign bit turned, and all others of a negative number."""
    bits = int.from_bytes(struct.pack(">d", value + 0.0))
    return (bits ^ (2 * _SIGN - 1) if bits & _SIGN else bits | _SIGN).to_bytes(8)
