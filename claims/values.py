"""A measured value as people and programs read it: four significant digits, intervals in brackets, no NaN in JSON."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def is_interval(value: object) -> bool:
    """Whether a value is `[estimate, low, high]`."""
    return isinstance(value, list | tuple) and len(value) == 3 and all(_is_number(part) for part in value)


def shown(value: Any) -> str:
    """A value as text.

    Example:
        >>> shown(0.123456), shown([1.0, 0.5, 1.5]), shown(True), shown(1437), shown(None)
        ('0.1235', '1 [0.5, 1.5]', 'yes', '1437', '–')
    """
    if is_interval(value):
        estimate, low, high = (shown(part) for part in value)
        return f"{estimate} [{low}, {high}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {shown(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(shown(part) for part in value)
    return "–" if value is None else str(value)


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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
