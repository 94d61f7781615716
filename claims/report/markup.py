"""Texts and values as HTML: formulas between `$…$` become MathML, figures get their units and a true minus sign."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latex2mathml.converter import convert
from markupsafe import Markup, escape

from pruneproof.claims.claim import Verdict
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import Estimate
from pruneproof.claims.estimates import shown as as_text
from pruneproof.claims.verification import Result

from .published import standard_verdict

if TYPE_CHECKING:
    from jinja2 import Environment

SIGNS = {
    Verdict.HOLDS: ("✓", "holds"),
    Verdict.VIOLATED: ("✗", "violated"),
    Verdict.NOT_REPRODUCED: ("≠", "unreproduced"),
    Verdict.INCONCLUSIVE: ("?", "inconclusive"),
    Verdict.VACUOUS: ("∅", "vacuous"),
    Verdict.NOT_APPLICABLE: ("–", "inapplicable"),
}
UNRUN = ("…", "unrun")


@cache
def templates() -> "Environment":
    """The page's templates; what they print is escaped unless it is markup already."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    made: Any = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    made.filters |= {
        "prose": prose,
        "label": label,
        "named": named,
        "shown": value,
        "minus": _minus,
        "brief": brief,
        "strip": strip,
        "columns": columns,
    }
    made.filters |= {"badge": result_badge, "kind": kind, "sign": sign, "beside": standard_verdict}
    made.tests |= {"interval": lambda each: isinstance(each, Estimate), "figure": is_figure}
    return made


def prose(text: str) -> Markup:
    r"""Escape a text and set its formulas.

    Args:
        text: Plain text; `$x^2$` is a formula, `\$` a dollar sign.

    Example:
        >>> str(prose("a < b"))
        'a &lt; b'
        >>> str(prose("costs \\$3")), "<math" in prose("at rate $1/k$")
        ('costs $3', True)
    """
    parts = re.split(r"(?<!\\)\$", text)
    if len(parts) % 2 == 0:  # a dollar sign without its partner is text
        parts[-2:] = ["$".join(parts[-2:])]
    return Markup("").join(formula(part) if index % 2 else _plain(part) for index, part in enumerate(parts))


def _plain(text: str) -> Markup:
    kept = re.sub(r"(?<=\d) (?=%)", "\u00a0", text)  # a figure and its unit stay on one line
    escaped = re.sub(r"(?<=[\w)])\^(-?\d+|[a-z]\b)", _raised, escape(kept.replace("\\$", "$")))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _raised(power: re.Match[str]) -> str:
    return f"<sup>{power[1].replace('-', '−')}</sup>"


@lru_cache(maxsize=4096)
def formula(tex: str) -> Markup:
    r"""One formula as MathML, which browsers set themselves and read aloud, or as TeX if it cannot be set.

    Example:
        >>> str(formula(r"\nosuchcommand"))
        '<code class="tex">\\nosuchcommand</code>'
    """
    try:
        mathml = convert(tex.strip())
    except Exception:  # of many kinds, for what is no TeX
        mathml = "\\"
    if "\\" in mathml:  # a command that it does not know, left as it was
        return Markup('<code class="tex">{}</code>').format(tex)
    plain = re.sub(r'\s(?:xmlns|display)="[^"]*"', "", mathml)
    plain = re.sub(r"(<mi>(?:log|ln)</mi>)(?=<m[in]|<msu)", r'\1<mspace width="0.17em"/>', plain)
    return Markup(plain.replace("<math", Markup('<math alttext="{}"').format(tex), 1))


_KEYS = {"D_y": "$D_y$", "gamma_s": r"$\gamma_s$", "gamma_y": r"$\gamma_y$", "none": "as scored"}
_WORDS = {
    "after −": "pruned after training −", "ticket": "lottery ticket", "image cnn": "CNN on images",
    "image lenet": "LeNet on images", "cnn": "CNN", "lenet": "LeNet", "mlp": "perceptron", "xor": "XOR",
    "grasp abs": "GraSP, absolute values", "grasp": "GraSP", "snip": "SNIP", "synflow": "SynFlow", "sipp": "SiPP",
    "poisson": "Poisson", "ece": "ECE", "nll": "NLL", "gamma": "γ", "phi": "φ", "psi": "ψ", "upper error": "ε↑",
}  # fmt: skip
# The dictionary has a longer name before the one that begins it.
_WORD = re.compile(rf"(?<!lottery )(?<!\\)\b({'|'.join(_WORDS)})(?!\w)")


def label(name: str) -> Markup:
    """A key as a person reads it: symbols are set, methods and networks have their names.

    Example:
        >>> str(label("image_cnn, 5 %: snip − random")), "<math" in label("gamma_s")
        ('CNN on images, 5\xa0%: SNIP − random', True)
    """
    if name in _KEYS or "$" in name:
        return prose(_KEYS.get(name, name))
    return named(name.replace("_", " "))


def named(text: str) -> Markup:
    """A text in which methods and networks have the names that the tables give them."""
    return prose(_WORD.sub(lambda found: _WORDS[found[1]], text))


def value(each: Any) -> Markup:
    """A value as text: names as tables give them, numbers with a true minus sign."""
    return named(each) if isinstance(each, str) else _minus(as_text(each))


def _minus(text: str) -> Markup:
    """A text of figures with true minus signs and powers of ten.

    Example:
        >>> str(_minus("-3.51e-12, 2.64e+04"))
        '−3.51·10<sup>−12</sup>, 2.64·10<sup>4</sup>'
    """
    tens = re.sub(r"(?<=\d)e\+?(-?)0*(\d+)", r"·10^\1\2", text)
    return Markup(re.sub(r"(?<=10)\^(-?\d+)", _raised, escape(tens)).replace("-", "−"))


def strip(estimate: Estimate, bounds: tuple[float, float]) -> str:
    """Where an interval and its value lie, and what the criterion asks it to lie between, in per cent of a strip.

    Args:
        estimate: With an interval.
        bounds: Infinite where the criterion sets none.

    Returns:
        CSS variables for the style sheet: a, v and b for the interval, l and u for the bounds.

    Example:
        >>> strip(Estimate(2.0, 1.0, 3.0, 0.95, 5), (0.0, float("inf")))
        '--a:36;--v:64;--b:92;--l:8'
    """
    places = {"a": estimate.low, "v": estimate.value, "b": estimate.high, "l": bounds[0], "u": bounds[1]}
    finite = {name: place for name, place in places.items() if isfinite(place)}
    low, high = min(finite.values()), max(finite.values())
    scale = 84 / (high - low) if high > low else 0.0
    return ";".join(f"--{name}:{8 + scale * (place - low):.0f}" for name, place in finite.items())


def is_figure(each: Any) -> bool:
    """Whether a value belongs in a column of figures, to the right."""
    return each is None or isinstance(each, Estimate) or (isinstance(each, int | float) and not isinstance(each, bool))


def brief(data: str) -> str:
    """A data set's name with the beginning of its hash; the page has the whole of it once.

    Example:
        >>> brief(f"digits (3 images, SHA-256 {'ab' * 32})")
        'digits (3 images, SHA-256 abababababab…)'
    """
    return re.sub(r"(SHA-256 \w{12})\w+", r"\1…", data)


def columns(rows: Sequence[Row]) -> list[tuple[str, bool]]:
    """The columns of a table with whether they hold figures; a key that a row lacks becomes None in it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    for row in rows:
        for name in names:
            row.setdefault(name, None)
    return [(name, all(is_figure(row[name]) for row in rows)) for name in names]


def badge(verdict: Verdict) -> Markup:
    """A verdict with a sign, a word and a colour, so that none of them has to be seen.

    Example:
        >>> str(badge(Verdict.HOLDS))
        '<span class="badge holds"><span aria-hidden="true">✓</span> holds</span>'
    """
    return _badge(*SIGNS[verdict], str(verdict))


def kind(result: Result) -> str:
    """The class of a result's badge."""
    return (UNRUN if is_open(result) else SIGNS[result.outcome.verdict])[1]


def sign(result: Result) -> str:
    """The sign of a result's badge."""
    return (UNRUN if is_open(result) else SIGNS[result.outcome.verdict])[0]


def result_badge(result: Result) -> Markup:
    """A result's verdict with its scale, or how much of it was run."""
    return _badge(*(UNRUN if is_open(result) else SIGNS[result.outcome.verdict]), result.label)


def is_open(result: Result) -> bool:
    """Whether cells are missing that the verdict needs."""
    return bool(result.missing) and result.outcome.verdict is not Verdict.VIOLATED


def _badge(mark: str, name: str, text: str) -> Markup:
    return Markup('<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>').format(name, mark, text)
