"""What the pictures of SP3, SP4, SP5, SP9 and SP10 share."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.estimates import Comparison
from pruneproof.plotting import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Compared = dict[tuple[str, float, str], Comparison]  # network, density, what `best` is compared with


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


def draw_differences(compared: Compared, label: str) -> "Callable[[Canvas], None]":
    """What draws the intervals against density, one panel a network, with the bound that they are to lie below.

    Args:
        compared: By network, density and what is compared.
        label: Of the ordinate.
    """
    networks, others = (list(dict.fromkeys(key[place] for key in compared)) for place in (0, 2))

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(2.1 * len(networks) + 0.8, 3.2)
        panels = canvas.subplots(1, len(networks), sharey=True, squeeze=False)[0]
        for axes, network in zip(panels, networks, strict=True):
            for index, other in enumerate(others):
                mine = {at: each.estimate for (n, at, o), each in compared.items() if (n, o) == (network, other)}
                places = [at + 0.03 * (index - (len(others) - 1) / 2) for at in mine]
                reach = [[e.value - e.low for e in mine.values()], [e.high - e.value for e in mine.values()]]
                values = [each.value for each in mine.values()]
                axes.errorbar(places, values, reach, fmt=".", color=f"C{index}", label=f"best − {other}")
            axes.axhline(next(iter(compared.values())).below, color=INK, linestyle=":")
            axes.set_yscale("symlog", linthresh=0.01)
            axes.set_title(network, fontsize="small")
            axes.set_xlabel("density")
        panels[0].set_ylabel(label)
        handles, labels = panels[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")

    return draw
