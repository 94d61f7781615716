"""Formulas as MathML, which browsers typeset themselves: no script, no network. The font comes with the site."""

import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.math import get_node_equation_number

FONT = "ziamath/fonts/STIXTwoMath-Regular.ttf"  # under the SIL Open Font License
BAR = re.compile(r'<mo stretchy="false">&#x0007C;</mo>')  # of an absolute value: a fence, whatever stands beside it
RAW = ("\\", "&amp;", "$")


def typeset(latex: str, display: str = "inline") -> str:
    """MathML of a formula; one that the converter leaves partly raw is an error, not a page with TeX in it."""
    mathml = convert(latex, display=display)
    if any(mark in mathml for mark in RAW):
        raise SphinxError(f"this formula is not typeset whole; write it without the unknown command: {latex}")
    return BAR.sub('<mo stretchy="false" lspace="0" rspace="0">|</mo>', mathml)


def inline(self: Any, node: nodes.math) -> None:
    """Put a formula into a line."""
    self.body.append(typeset(node.astext()))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """Put a formula into a line of its own, with its number if it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math-block"))
    self.body.append(typeset(node.astext(), "block"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})</span>')
    self.body.append("</div>\n")
    raise nodes.SkipNode


def copy_font(app: Sphinx, exception: Exception | None) -> None:
    """Put the mathematical font beside the stylesheet."""
    if exception is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / Path(FONT).name
        target.write_bytes(Path(str(distribution("ziamath").locate_file(FONT))).read_bytes())


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer under the name that `html_math_renderer` gives."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.connect("build-finished", copy_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
