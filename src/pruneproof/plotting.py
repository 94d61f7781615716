"""What pictures of several papers share: the palette, shades of it, and axes with plain decades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axis import Axis


INK = "#000000"
BLUE, GREEN, YELLOW, ORANGE = "#0072b2", "#009e73", "#e69f00", "#d55e00"  # of the report's palette


def shades(count: int) -> list[str]:
    """Colours from blue (small networks) to orange (large ones)."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (BLUE, GREEN, YELLOW, ORANGE)])
    places = np.linspace(0, len(stops) - 1, count) if count > 1 else np.zeros(1)
    parts = [np.interp(places, np.arange(len(stops)), stops[:, part]) for part in range(3)]
    return [f"#{round(red):02x}{round(green):02x}{round(blue):02x}" for red, green, blue in zip(*parts, strict=True)]


def plain_decades(axis: Axis) -> None:
    """Plain numbers at 1, 2, 3, 5, 7 of every decade of a logarithmic axis of errors."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
