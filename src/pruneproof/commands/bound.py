"""Evaluate a bound, or list them all."""

import json as json_text
import math
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, Any

import tyro

from pruneproof.errors import PruneproofError, UnknownNameError, did_you_mean
from pruneproof.theory import Bound, bounds
from pruneproof.theory.theorems.catalogue import trust

LARGEST = 400  # decimal exponent: beyond it exact arithmetic would fill the memory before anything could be said


def main(
    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")] = None,
    values: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME=NUMBER …]", help_behavior_hint="")
    ] = (),
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Show a bound: its value, the assumptions that fail, its formula in LaTeX, what each symbol means.

    Numbers are exact: 0.1 is one tenth, 1/3 is one third. The enclosure contains the exact value; the value is its end
    on the side where the statement stays true. Without a name all bounds are listed.

    Example: pruneproof bound G1 k=100 V=2.5 loss=0.01

    Args:
        name: which bound; default a list of all.
        values: one name=number per symbol; without any the bound is explained only.
        json: print JSON; a value beyond the largest float is null.
    """
    if name is None:
        _list_all(json)
        return 0
    found = _named(name)
    told = _describe(found, _numbers(values))
    if json:
        strict = {key: None if value in (math.inf, -math.inf) else value for key, value in told.items()}
        print(json_text.dumps(strict, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print(told)
    return 0


def _named(name: str) -> Bound:
    known = {bound.name.casefold(): bound for bound in bounds()}
    if name.casefold() not in known:
        meant = did_you_mean(name, [bound.name for bound in known.values()])
        raise UnknownNameError(f"bound: no bound is called {name!r}.{meant} `pruneproof bound` lists them.")
    return known[name.casefold()]


def _numbers(texts: tuple[str, ...]) -> dict[str, Fraction]:
    values: dict[str, Fraction] = {}
    for text in texts:
        name, number = _parsed(text)
        if name in values:
            remedy = f"pass {name}=NUMBER once"
            raise PruneproofError("bound", required="one number per symbol", received=f"{name} twice", remedy=remedy)
        values[name] = number
    return values


def _parsed(text: str) -> tuple[str, Fraction]:
    name, _, number = text.partition("=")
    try:
        numerator, slash, denominator = number.partition("/")
        return name.strip(), _exact(numerator) / (_exact(denominator) if slash else 1)
    except (InvalidOperation, PruneproofError, ValueError, ArithmeticError):
        remedy = "write e.g. k=100, V=2.5e-3 or q=1/3"
        raise PruneproofError("bound", required="name=number", received=text, remedy=remedy) from None


def _exact(text: str) -> Fraction:
    number = Decimal(text.strip())
    if not number.is_finite() or (number and abs(number.adjusted()) > LARGEST):
        raise ValueError
    return Fraction(number)


def _describe(bound: Bound, values: dict[str, Fraction]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": bound.name,
        "statement": bound.statement,
        "source": bound.source,
        "status": bound.status,
        "trust": trust(bound),
        "symbols": {symbol.name: meaning for symbol, meaning in bound.symbols.items()},
        "sense": bound.sense,
        "latex": bound.latex(),
        "values": {name: str(value) for name, value in values.items()},
        "assumptions": [{"text": one.text, "holds": holds} for one, holds in bound.check(**values)],
    }
    if values:
        ball = bound.enclose(**values)
        told |= {"value": bound.bound(**values), "enclosure": str(ball)}
    return told


def _print(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text.assemble((told["name"], "bold"), f"  {told['statement']}"))
    console.print(Text(f"{told['source']} ({told['status']}); trust: {told['trust']}", "dim"))
    if "value" in told:
        console.print(Text.assemble("\nmeasured quantity ", told["sense"], " ", (repr(told["value"]), "bold")))
        console.print(Text(f"enclosure {told['enclosure']}"))
    if any(one["holds"] is False for one in told["assumptions"]):
        console.print(Text("an assumption fails: the statement says nothing at these values", "bold red"))
    console.print(Text("\nassumptions"))
    for one in told["assumptions"]:
        console.print(Text.assemble(_mark(one["holds"]), f" {one['text']}"))
    symbols = Table("symbol", "value", "meaning", box=None, padding=(0, 2, 0, 0))
    for name, meaning in told["symbols"].items():
        symbols.add_row(Text(name), Text(told["values"].get(name, "")), Text(meaning))
    console.print()
    console.print(symbols)
    console.print(Text(f"\nLaTeX  {told['latex']}"), soft_wrap=True)


def _mark(holds: bool | None) -> tuple[str, str]:
    return {True: ("  holds", "green"), False: ("  FAILS", "bold red"), None: ("  not decided by the values", "dim")}[
        holds
    ]


def _list_all(as_json: bool) -> None:
    if as_json:
        fields = ("name", "statement", "source", "status", "sense")
        rows = [{name: getattr(one, name) for name in fields} | {"trust": trust(one)} for one in bounds()]
        print(json_text.dumps(rows, indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("bound", "statement", "status", "trust", box=box.SIMPLE_HEAD, pad_edge=False)
    for one in bounds():
        table.add_row(Text(one.name), Text(one.statement), Text(one.status), Text(trust(one)))
    Console().print(table)
