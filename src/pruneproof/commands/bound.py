"""Evaluate a bound, solve it for a symbol, see how it grows, or list them all."""

import json as json_text
import math
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, Any

import sympy
import tyro
from flint import arb

from pruneproof.errors import HypothesisError, InvalidValueError
from pruneproof.theory.theorems.bound import Assumption, Bound, holds
from pruneproof.theory.theorems.catalogue import PAPERS, bounds, named, trust

LARGEST = 400  # decimal exponent: beyond it exact arithmetic would fill the memory before anything could be said
UNMET = 3
_FLAG = tyro.conf.FlagCreatePairsOff[bool]


def main(
    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")] = None,
    values: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME=NUMBER …]", help_behavior_hint="")
    ] = (),
    solve: Annotated[str | None, tyro.conf.arg(metavar="SYMBOL", help_behavior_hint="")] = None,
    value: Annotated[str | None, tyro.conf.arg(metavar="NUMBER", help_behavior_hint="")] = None,
    assume: _FLAG = False,
    latex: _FLAG = False,
    json: _FLAG = False,
) -> int:
    """Show a bound: its value, its hypotheses, its formula, what each symbol means.

    Numbers are exact: 0.1 is one tenth, 1/3 is one third. The value is rounded to the side on which the statement stays
    true. Symbols may be left open: then the formula in them is shown, with its conditions and its growth. Without a
    name all bounds are listed by paper.

    Exit status 3: a hypothesis fails, or is not decided without a symbol that was not given; then there is no value.

    Example: pruneproof bound G1 loss=0.01 V=2.5 --solve k --value 0.05

    Args:
        name: Which bound; default a list of all.
        values: One name=number per symbol; those left out stay open.
        solve: The symbol for which the bound is solved; needs --value.
        value: The value that the bound is to take.
        assume: Take for granted the hypotheses that fail or are not decided.
        latex: Print the statement as LaTeX.
        json: Print JSON; a value beyond the largest float is null.
    """
    if name is None:
        _list_all(json)
        return 0
    bound = named(name)
    if (solve is None) != (value is None):
        raise InvalidValueError("bound: --solve SYMBOL and --value NUMBER go together. Give both.")
    numbers = _numbers(values)
    report = _described(bound, numbers)
    status = (
        _solved(bound, numbers, report, solve, value, assume) if solve else _evaluated(bound, numbers, report, assume)
    )
    if json:
        strict = {key: None if entry in (math.inf, -math.inf) else entry for key, entry in report.items()}
        print(json_text.dumps(strict, indent=2, ensure_ascii=False, allow_nan=False))
    elif latex:
        print("\n".join(report["latex_statement"]))
    else:
        _print(report)
    return status


def _numbers(texts: tuple[str, ...]) -> dict[str, Fraction]:
    values: dict[str, Fraction] = {}
    for text in texts:
        name, number = _parsed(text)
        if name in values:
            raise InvalidValueError(f"bound: {name} is given twice. Pass {name}=NUMBER once.")
        values[name] = number
    return values


def _parsed(text: str) -> tuple[str, Fraction]:
    name, equals, number = text.partition("=")
    if not equals:
        raise InvalidValueError(f"bound: {text!r} is not of the form name=number. Write e.g. k=100, V=2.5e-3 or q=1/3.")
    return name.strip(), _number(number, text)


def _number(number: str, text: str) -> Fraction:
    try:
        numerator, slash, denominator = number.partition("/")
        return _exact(numerator) / (_exact(denominator) if slash else 1)
    except (InvalidOperation, ValueError, ArithmeticError):
        raise InvalidValueError(
            f"bound: {text!r} is not of the form name=number. Write e.g. k=100, V=2.5e-3 or q=1/3."
        ) from None


def _exact(text: str) -> Fraction:
    number = Decimal(text.strip())
    if not number.is_finite() or (number and abs(number.adjusted()) > LARGEST):
        raise ValueError
    return Fraction(number)


def _described(bound: Bound, values: dict[str, Fraction]) -> dict[str, Any]:
    """What is known before a value: names, formula, hypotheses."""
    return {
        "name": bound.name,
        "statement": bound.statement,
        "source": bound.source,
        "status": bound.status,
        "trust": trust(bound),
        "quantity": bound.quantity,
        "sense": bound.sense,
        "suffices": bound.suffices or None,
        "symbols": {symbol.name: meaning for symbol, meaning in bound.symbols.items()},
        "latex": bound.latex(),
        "latex_statement": _as_latex(bound, values),
        "values": {name: str(value) for name, value in values.items()},
        "hypotheses": _hypotheses(bound, values),
        "assumed": False,
        "value": None,
        "conclusion": None,
    }


def _hypotheses(bound: Bound, values: dict[str, Fraction]) -> list[dict[str, Any]]:
    return [_hypothesis(bound, assumption, verdict, values) for assumption, verdict in bound.check(**values)]


def _hypothesis(
    bound: Bound, assumption: Assumption, verdict: bool | None, values: dict[str, Fraction]
) -> dict[str, Any]:
    condition = None if assumption.condition is None else str(bound.substituted(assumption.condition, **values))
    return {
        "text": assumption.text,
        "holds": verdict,
        "condition": condition,
        "decidable": assumption.condition is not None,
    }


def _as_latex(bound: Bound, values: dict[str, Fraction]) -> list[str]:
    relation = {"<=": r"\le", ">=": r"\ge", "==": "="}[bound.sense]
    lines = [rf"\text{{{bound.quantity}}} {relation} {sympy.latex(bound.substituted(bound.expr, **values))}"]
    for assumption in bound.assumptions:
        condition = None if assumption.condition is None else bound.substituted(assumption.condition, **values)
        lines.append(rf"\text{{{assumption.text}}}" if condition is None else sympy.latex(condition))
    return [line for line in lines if line != r"\text{True}"]


def _evaluated(bound: Bound, values: dict[str, Fraction], report: dict[str, Any], assume: bool) -> int:
    """Add the value, or what the formula is in the symbols left open; the exit status."""
    if not values:
        return 0
    failing = any(hypothesis["holds"] is False for hypothesis in report["hypotheses"])
    given = {name.replace("_", "") for name in values}
    if any(str(symbol).replace("_", "") not in given for symbol in bound.expr.free_symbols):
        _open(bound, values, report)
        return UNMET if failing and not assume else 0
    try:
        ball = bound.enclose(**values)
    except HypothesisError as error:
        if not assume:
            report["unmet"] = str(error)
            return UNMET
        report["assumed"] = True
        ball = bound.enclose(assume=True, **values)
    _conclude(bound, ball, report)
    return 0


def _conclude(bound: Bound, ball: arb, report: dict[str, Any]) -> None:
    from pruneproof.theory.arithmetic.balls import rounded

    direction = {"<=": +1, ">=": -1, "==": 0}[bound.sense]
    report |= {"value": rounded(ball, direction), "enclosure": str(ball), "conclusion": bound.concluded(ball)}


def _open(bound: Bound, values: dict[str, Fraction], report: dict[str, Any]) -> None:
    """Add the partly substituted formula and its growth in each open symbol."""
    from pruneproof.theory.theorems.growth import growth

    formula = bound.substituted(bound.expr, **values)
    report["formula"] = str(formula)
    report["growth"] = [
        str(growth(formula, symbol, below_one=_below_one(bound, symbol)))  # pyright: ignore[reportArgumentType]
        for symbol in bound.symbols
        if symbol in formula.free_symbols
    ]


def _below_one(bound: Bound, symbol: sympy.Symbol) -> bool:
    """Whether a hypothesis keeps the symbol below 1."""
    limits = (sympy.Lt(symbol, 1), sympy.Le(symbol, 1))
    conditions = [assumption.condition for assumption in bound.assumptions if assumption.condition is not None]
    return any(limit in sympy.preorder_traversal(condition) for condition in conditions for limit in limits)


def _solved(
    bound: Bound, values: dict[str, Fraction], report: dict[str, Any], symbol: str, text: str | None, assume: bool
) -> int:
    """Add the value of one symbol at which the bound takes a value; the exit status."""
    target = _number(text or "", text or "")
    try:
        ball = bound.solve(symbol, value=target, **values)
    except HypothesisError as error:
        if not assume:
            report["unmet"] = str(error)
            return UNMET
        report["assumed"] = True
        ball = bound.solve(symbol, value=target, assume=True, **values)
    unknown = next(known for known in bound.symbols if known.name.replace("_", "") == symbol.replace("_", ""))
    report |= {"solved": unknown.name, "target": str(target), "solution": float(ball), "enclosure": str(ball)}
    where = f"{unknown} = {float(ball)!r}"
    if _counts(bound, unknown):
        count = _safe_count(bound, unknown, ball, target, values)
        report["solution"] = count
        report["hypotheses"] = _hypotheses(bound, {**values, unknown.name: Fraction(count)})
        where = f"{unknown} = {count} ({float(ball):.6g}, rounded to the safe side)"
    relation = {"<=": "≤", ">=": "≥", "==": "="}[bound.sense]
    report["conclusion"] = f"{bound.quantity} {relation} {float(target):.6g} at {where}"
    return 0


def _counts(bound: Bound, symbol: sympy.Symbol) -> bool:
    conditions = [assumption.condition for assumption in bound.assumptions if assumption.condition is not None]
    return any(sympy.floor(symbol) in condition.atoms(sympy.floor) for condition in conditions)


def _safe_count(bound: Bound, symbol: sympy.Symbol, ball: arb, target: Fraction, values: dict[str, Fraction]) -> int:
    """The whole number next to a crossing at which the bound certainly keeps the target."""
    level = sympy.Rational(target.numerator, target.denominator)
    relation = sympy.Ge if bound.sense == ">=" else sympy.Le
    formula = bound.substituted(bound.expr, **values)
    middle = math.floor(float(ball.mid()))
    kept = [
        count
        for count in range(max(middle - 1, 1), middle + 3)
        if holds(relation(formula.xreplace({symbol: sympy.Integer(count)}), level), {})
    ]
    below = not kept or kept[-1] < middle + 2  # the bound keeps the target on this side of the crossing
    return (kept[-1] if below else kept[0]) if kept else middle


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text.assemble((report["name"], "bold"), f"  {report['statement']}"))
    console.print(Text(f"{report['source']} ({report['status']}); {_trusted(report['trust'])}", "dim"))
    if report["conclusion"]:
        console.print(Text.assemble("\n", (report["conclusion"], "bold")))
        console.print(Text(f"the exact number lies in {report['enclosure']}"))
    if report["assumed"]:
        console.print(
            Text("taken for granted (--assume): the hypotheses below that fail or are not decided", "bold red")
        )
    if "unmet" in report:
        console.print(Text(f"\nno value: {report['unmet']}", "bold red"), soft_wrap=True)
    if "formula" in report:
        relation = {"<=": "≤", ">=": "≥", "==": "="}[report["sense"]]
        subject = f"least {report['quantity']} that is enough" if report["suffices"] else report["quantity"]
        console.print(Text(f"\n{subject} {relation} {report['formula']}", "bold"), soft_wrap=True)
        for line in report["growth"]:
            console.print(Text(f"  {line}"), soft_wrap=True)
    console.print(Text("\nhypotheses"))
    for hypothesis in report["hypotheses"]:
        console.print(Text.assemble(_mark(hypothesis), f" {hypothesis['text']}", (_condition(hypothesis), "dim")))
    symbols = Table("symbol", "value", "meaning", box=None, padding=(0, 2, 0, 0))
    for name, meaning in report["symbols"].items():
        symbols.add_row(Text(name), Text(report["values"].get(name, "")), Text(meaning))
    console.print()
    console.print(symbols)
    console.print(Text(f"\nLaTeX  {report['latex']}"), soft_wrap=True)


_LEVELS = {"symbolic": "computer algebra", "smt": "the solver z3", "certified": "ball arithmetic"}


def _trusted(trust: str) -> str:
    """The level of the weakest proof step in words; what else there is to say as it is."""
    level, *rest = trust.split("; ")
    return "; ".join([f"weakest proof step: {level} ({_LEVELS[level]})" if level in _LEVELS else level, *rest])


def _mark(hypothesis: dict[str, Any]) -> tuple[str, str]:
    if not hypothesis["decidable"]:
        return ("  you must ensure:", "yellow")
    return {True: ("  holds:", "green"), False: ("  FAILS:", "bold red"), None: ("  not decided:", "dim")}[
        hypothesis["holds"]
    ]


def _condition(hypothesis: dict[str, Any]) -> str:
    return f", in symbols {hypothesis['condition']}" if hypothesis["decidable"] and hypothesis["holds"] is None else ""


def _list_all(as_json: bool) -> None:
    if as_json:
        fields = ("name", "statement", "source", "status", "quantity", "sense")
        rows = [
            {name: getattr(bound, name) for name in fields} | {"paper": paper, "trust": trust(bound)}
            for paper, (_, packages) in PAPERS.items()
            for package in packages
            for bound in bounds(package)
        ]
        print(json_text.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    for title, packages in PAPERS.values():
        table = Table("bound", "statement", "status", "trust", box=box.SIMPLE_HEAD, pad_edge=False, title=title)
        table.title_justify = "left"
        for package in packages:
            for bound in bounds(package):
                table.add_row(Text(bound.name), Text(bound.statement), Text(bound.status), Text(trust(bound)))
        Console().print(table)
