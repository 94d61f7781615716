"""What the pictures of SP3 and SP4 share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def mean_line(axes: "Axes", points: Sequence[tuple[float, float]], label: str, style: str = "-") -> None:
    """Draw a line through the means over equal abscissae.

    Args:
        axes: To draw on.
        points: (x, y), several y for an x.
        label: For the legend.
        style: Line style of matplotlib.
    """
    abscissae = sorted({x for x, _ in points})
    means = [sum(y for x, y in points if x == at) / sum(x == at for x, _ in points) for at in abscissae]
    axes.plot(abscissae, means, style, marker="o", label=label)
