"""A matplotlib figure as inline SVG that follows the reader's colour scheme.

Text and axes are drawn in the colour of the page's text, and the palette's colours become CSS variables with a lighter
value on a dark page. The palette is Okabe and Ito's, which colour-blind readers can tell apart.
"""

import re
from html import escape
from io import StringIO
from typing import Any

from pruneproof.claims.claim import Figure

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


_NUMBER = re.compile(r"-?\d+\.\d+")
_LETTER = re.compile(r'<tspan x="([^"]*)" y="([^"]*)" style="([^"]*)">(.*?)</tspan>', re.DOTALL)
_MARKS = re.compile(r'<g((?: clip-path="[^"]*")?)>((?:<use [^>]*/>){2,})</g>')

_STROKE = r'<path d="[^"]*"(?: clip-path="[^"]*")? style="fill:none;stroke:[^"]*"/>'
_STROKES = re.compile(rf"{_STROKE}(?:{_STROKE})+")


def _short(svg: str) -> str:
    """The same drawing in fewer bytes: hundredths of a point, no names of groups, the page's own font."""
    svg = re.sub(r"<!--.*?-->|(?<=<g) id=\"[^\"]*\"", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda found: _NUMBER.sub(_rounded, found.group()), svg)
    svg = re.sub(r"<text>((?:\s*<tspan.*?</tspan>)*)\s*</text>", _formula, svg, flags=re.DOTALL)
    svg = re.sub(r"font: ((?:[a-z]+ )*)([\d.]+px)[^;\"]*", r"font: \1\2 var(--sans)", svg)
    svg = re.sub(r"\s*\n\s*", " ", re.sub(r">\s+<", "><", svg))
    svg = re.sub(r' style="[^"]*"', lambda found: found.group().replace("; ", ";").replace(": ", ":"), svg)
    svg = re.sub(r"<defs></defs>|(?<=z)\s+(?=\")", "", svg)
    return _STROKES.sub(_strokes, _MARKS.sub(_marks, svg))


def _rounded(number: "re.Match[str]") -> str:
    return f"{float(number.group()):.{2 if abs(float(number.group())) >= 0.1 else 5}f}".rstrip("0").rstrip(".")


def _formula(text: "re.Match[str]") -> str:
    """The letters of a formula, which matplotlib places one by one, by line and style."""
    lines: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for x, y, style, letter in _LETTER.findall(text.group()):
        if letter.strip():
            lines.setdefault((y, style.partition("; font-family")[0]), []).append((x, letter))
    spans = (
        f'<tspan x="{" ".join(x for x, _ in letters)}" y="{y}" style="{style};font-family:var(--sans)">'
        f"{''.join(letter for _, letter in letters)}</tspan>"
        for (y, style), letters in lines.items()
    )
    return f"<text>{''.join(spans)}</text>"


def _marks(group: "re.Match[str]") -> str:
    """Marks of one style in a group: the group has the style."""
    styles = set(re.findall(r' style="[^"]*"', group[2]))
    uses = re.sub(r' style="[^"]*"', "", group[2])
    one = len(styles) == 1 and group[2].count(" style=") == group[2].count("<use ")
    return f"<g{group[1]}{styles.pop()}>{uses}</g>" if one else group.group()


def _strokes(several: "re.Match[str]") -> str:
    """Strokes of one style that follow each other, such as error bars, as one path."""
    paths: list[list[str]] = []
    for d, rest in re.findall(r'<path d="([^"]*)"([^>]*)/>', several.group()):
        if paths and paths[-1][1] == rest and "opacity" not in rest:
            paths[-1][0] += d
        else:
            paths.append([d, rest])
    return "".join(f'<path d="{d}"{rest}/>' for d, rest in paths)


def _inline(svg: str, name: str, title: str, points: float) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL
    )  # its style would be the page's
    svg = re.sub(r"\s(?:xmlns(?::\w+)?|version)=\"[^\"]*\"", "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = _short(svg)
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"#[0-9a-f]{6}", lambda found: _VARIABLES.get(found.group(), found.group()), svg)
    natural = f"min-width:{points:.0f}px;max-width:{points * 1.6:.0f}px"
    head = f'<svg class="picture" role="img" aria-label="{escape(title, quote=True)}" style="{natural}"'
    return re.sub(r'<svg(?:\s+(?:width|height)="[^"]*")*', head, svg, count=1)
