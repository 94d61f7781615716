"""Text with mathematics between `$…$`, as HTML: formulas become inline SVG that sits on the line of the text.

Glyph outlines come from matplotlib's mathtext (STIX), so formulas look the same everywhere, follow the colour of the
text, and keep their TeX as a text alternative. What mathtext cannot set is shown as TeX.
"""

import re
from functools import lru_cache
from html import escape
from typing import Any

UNIT = 100.0  # units per em in the outlines


def prose(text: str) -> str:
    r"""Escape a text and set its formulas.

    Arguments:
        text: plain text; `$x^2$` is a formula, `\$` a dollar sign.

    Example:
        >>> prose("a < b")
        'a &lt; b'
        >>> prose("costs \\$3"), "<svg" in prose("at rate $1/k$")
        ('costs $3', True)
    """
    parts = re.split(r"(?<!\\)\$", text)
    if len(parts) % 2 == 0:  # a dollar sign without its partner is text
        parts[-2:] = ["$".join(parts[-2:])]
    pieces = [formula(part) if odd else _plain(part) for part, odd in zip(parts, _alternating(parts), strict=True)]
    return "".join(pieces)


def _alternating(parts: list[str]) -> list[bool]:
    return [index % 2 == 1 for index in range(len(parts))]


def _plain(text: str) -> str:
    kept = re.sub(r"(?<=\d) (?=%)", "\u00a0", text)  # a figure and its unit stay on one line
    return escape(kept.replace("\\$", "$"))


@lru_cache(maxsize=4096)
def formula(tex: str) -> str:
    r"""One formula as inline SVG, or as TeX if it cannot be set.

    Example:
        >>> formula(r"\nosuchcommand")
        '<code class="tex">\\nosuchcommand</code>'
    """
    try:
        path, width, height, depth = _outline(tex)
    except (ValueError, AttributeError):  # not in its language; or nothing to draw
        return f'<code class="tex">{escape(tex)}</code>'
    box = f"0 {-height:.1f} {width:.1f} {height + depth:.1f}"
    size = f"width:{width / UNIT:.3f}em;vertical-align:{-depth / UNIT:.3f}em"
    label = escape(tex, quote=True)
    return f'<svg class="tex" role="img" aria-label="{label}" viewBox="{box}" style="{size}"><path d="{path}"/></svg>'


def _outline(tex: str) -> tuple[str, float, float, float]:
    """The SVG path of a formula with its width, height and depth in hundredths of an em."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath, text_to_path

    with matplotlib.rc_context({"mathtext.fontset": "stix"}):
        font, source = FontProperties(size=UNIT), f"${_known(tex)}$"
        path = TextPath((0, 0), source, prop=font, usetex=False)
        width, height, depth = text_to_path.get_text_width_height_descent(source, font, ismath=True)
    bounds = path.get_extents()
    top, bottom = max(height - depth, bounds.y1), max(depth, -bounds.y0)
    return _svg_path(path), max(width, bounds.x1) + 2, top + 2, bottom + 2


def _known(tex: str) -> str:
    """Say in mathtext's words what it knows under another name."""
    for theirs, ours in _SYNONYMS:
        tex = re.sub(theirs, ours, tex)
    return tex


_SYNONYMS = (
    (r"\\[lr]Vert(?![a-zA-Z])", r"\\|"),
    (r"\\[lr]vert(?![a-zA-Z])", "|"),
    (r"\\[td]?frac(?![a-zA-Z])", r"\\frac"),
    (r"\\frac(\d)(\d)", r"\\frac{\1}{\2}"),
    (r"\\iff(?![a-zA-Z])", r"\\Leftrightarrow"),
    (r"\\implies(?![a-zA-Z])", r"\\Rightarrow"),
    (r"\\text(?:rm|normal)(?![a-zA-Z])", r"\\text"),
    (r"\\(?:big|Big|bigg|Bigg)[lrm]?(?![a-zA-Z])", ""),
    (r"\\displaystyle(?![a-zA-Z])", ""),
    (r"\\lt(?![a-zA-Z])", "<"),
    (r"\\gt(?![a-zA-Z])", ">"),
    (r"(?<=[a-zA-Z0-9)\]}])\s*\\(log|ln|exp|max|min)(?![a-zA-Z])", r"\\,\\\1"),  # the space that TeX would set
    (r"\^\{?\\prime(?![a-zA-Z])\}?|'", "\u2032"),  # the sign that is raised already; mathtext would raise it twice
    (r"\\([lg])e(?![a-zA-Z])", r"\\\1eq"),
)


def _svg_path(path: Any) -> str:
    letters = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
    pieces: list[str] = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        flipped = [_short(value if index % 2 == 0 else -value) for index, value in enumerate(points)]
        pieces.append("Z" if code == 79 else letters[int(code)] + " ".join(flipped))
    return "".join(pieces)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0").replace("-0", "-0" if abs(value) >= 0.05 else "0", 1)
