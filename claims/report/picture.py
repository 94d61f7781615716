"""A matplotlib figure as inline SVG that follows the reader's colour scheme.

Text and axes are drawn in the colour of the page's text, and the palette's colours become CSS variables with a lighter
value on a dark page. The palette is Okabe and Ito's, which colour-blind readers can tell apart.
"""

import re
from html import escape
from io import StringIO
from typing import Any

from pruneproof.claims.claim import Figure

from .drawing import short

INK = "#010203"  # stands for the page's text colour
RULE = "#b0b1b2"  # stands for its rules
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_VARIABLES = {
    INK: "currentColor",
    "#000000": "currentColor",
    RULE: "var(--rule)",
    "#ffffff": "var(--paper)",
    **{colour: f"var(--c{index})" for index, colour in enumerate(PALETTE)},
}


def picture(figure: Figure, name: str) -> str:
    """Draw a figure.

    Args:
        figure: what to draw.
        name: prefix of the ids in the SVG, unique on the page.

    Returns:
        An `<svg>` element without size: the page scales it between its natural width and what a phone
        can show.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(_style()):
        canvas = Canvas(figsize=(4.8, 3.2), layout="constrained")
        figure.draw(canvas)
        drawn = StringIO()
        canvas.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        points = canvas.get_figwidth() * 72
    return _inline(drawn.getvalue(), name, figure.title, points)


def _style() -> dict[Any, Any]:
    from cycler import cycler

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "legend.labelcolor")
    return {
        **dict.fromkeys(inked, INK),
        "axes.prop_cycle": cycler(color=PALETTE),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": RULE,
        "grid.linewidth": 0.5,
        "axes.linewidth": 0.7,
        "font.size": 9,
        "axes.titlesize": 9,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
        "lines.markersize": 4,
        "svg.fonttype": "none",
        "svg.hashsalt": "pruneproof",
    }


def _inline(svg: str, name: str, title: str, points: float) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL
    )  # its style would be the page's
    svg = re.sub(r"\s(?:xmlns(?::\w+)?|version)=\"[^\"]*\"", "", svg)
    svg = short(svg.replace("xlink:href", "href"))
    for index, identifier in enumerate(dict.fromkeys(re.findall(r'<clipPath id="([^"]*)"', svg))):
        svg = svg.replace(identifier, str(index))
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"#[0-9a-f]{6}", lambda found: _VARIABLES.get(found.group(), found.group()), svg)
    natural = f"min-width:{points:.0f}px;max-width:{points * 1.6:.0f}px"
    head = f'<svg class="picture" role="img" aria-label="{escape(title, quote=True)}" style="{natural}"'
    return re.sub(r'<svg(?:\s+(?:width|height)="[^"]*")*', head, svg, count=1)
