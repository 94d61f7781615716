"""Every statement of the five papers is found under its own name, and its symbols however they are spelled."""

import pytest

import pruneproof.theory as theory
from pruneproof.errors import PruneproofError

STATEMENTS = ("G1", "G2", "G3", "P1", "T1", "T2", "T3-threshold", "S1", "S2", "S3", "S4", "S6", "N1", "N2", "N3")


def test_each_statement_is_in_the_catalogue_once() -> None:
    names = [bound.name for bound in theory.bounds()]
    assert len(names) == len(set(names))
    assert [name for name in STATEMENTS if name not in names] == []


def test_a_symbol_may_be_written_without_its_underscore() -> None:
    bound = next(bound for bound in theory.bounds() if bound.name == "T3-threshold")
    plain = {symbol.name: 0.5 if symbol.name == "q" else 2 for symbol in bound.symbols} | {"k": 100}
    assert bound.bound(**plain) == bound.bound(**{name.replace("_", ""): value for name, value in plain.items()})
    with pytest.raises(PruneproofError, match="one of its symbols"):
        bound.bound(**plain, L1=1)
    for call in (bound.bound, bound.check):
        with pytest.raises(PruneproofError, match="L_0 is given twice"):
            call(**plain, L0=3)


def test_modules_are_reached_as_attributes() -> None:
    assert theory.theorems.bounds is theory.bounds
    assert not hasattr(theory, "no_such_module")
