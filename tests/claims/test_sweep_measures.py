"""A measure that workers could not run is refused in one line before any work; the code that they run is compared."""

from pathlib import Path

import pytest

from pruneproof.claims.engine.executors import about, executor_for
from pruneproof.claims.engine.sweep import Grid, read_grid
from pruneproof.cli import main
from pruneproof.commands import sweep
from pruneproof.errors import PruneproofError

STUDY = """
import functools

def train(cell):
    return {"y": 1}

unnamed = lambda cell: {"y": 1}
partial = functools.partial(train)

def plain(function):
    def inner(cell):
        return function(cell)
    return inner

def wrapping(function):
    @functools.wraps(function)
    def inner(cell):
        return function(cell)
    return inner

@plain
def hidden(cell):
    return {"y": 1}

@wrapping
def wrapped(cell):
    return {"y": 1}

class Study:
    @staticmethod
    def run(cell):
        return {"y": 1}

    @classmethod
    def among(cls, cell):
        return {"y": 1}

    def __call__(self, cell):
        return {"y": 1}

study = Study()
"""
BROKEN = {
    "syntax": "def train(cell)",
    "name": "nothing_of_this_name",
    "lines": "raise RuntimeError('one\\ntwo')",
    "leaving": "raise SystemExit(0)",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "measures_study.py").write_text(STUDY)
    (tmp_path / "measures_again.py").write_text("from measures_study import train")
    for name, source in BROKEN.items():
        (tmp_path / f"measures_{name}.py").write_text(source)
    return tmp_path


def read(folder: Path, measure: str) -> Grid:
    (folder / "sweep.toml").write_text(f'measure = "{measure}"\n[axes]\na = [1]')
    return read_grid(folder / "sweep.toml")


@pytest.mark.parametrize(
    ("measure", "complaint"),
    [
        ("measures_syntax:train", "SyntaxError: "),
        ("measures_name:train", "NameError: name 'nothing_of_this_name' is not defined"),
        ("measures_lines:train", "RuntimeError: one two"),
        ("measures_leaving:train", "SystemExit: 0"),
        (":train", "ValueError: Empty module name"),
        ("measures_study:", "AttributeError: "),
        (
            "measures_study:unnamed",
            "measures_study:<lambda>, so that no worker would find it. Use def",
        ),
        ("measures_study:partial", "no worker would find it"),
        ("measures_study:hidden", "measures_study:plain.<locals>.inner"),
        ("measures_study:study", "no worker would find it"),
    ],
)
def test_what_workers_could_not_import_is_refused_in_one_line(folder: Path, measure: str, complaint: str) -> None:
    with pytest.raises(PruneproofError) as caught:
        read(folder, measure)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", ["train", "wrapped", "Study.run", "Study.among"])
def test_what_workers_can_import_is_taken(folder: Path, function: str) -> None:
    assert read(folder, f"measures_study:{function}").name == f"measures_study:{function}"


def test_the_module_that_is_compared_is_the_one_that_defines_the_measure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[frozenset[str]] = []

    def stopped(scheduler: str | None, workers: int | None, measures: frozenset[str]) -> None:
        compared.append(measures)
        raise PruneproofError("stopped")

    monkeypatch.setattr(sweep, "executor_for", stopped)
    read(folder, "measures_again:train")
    assert main(["sweep", str(folder / "sweep.toml"), "--out", str(folder / "out")]) == 2
    assert compared == [frozenset(("measures_study",))]


def test_a_module_without_a_file_can_be_compared() -> None:
    assert about(("math", "sys"))["source of sys"] == about(("sys",))["source of sys"]


def test_workers_beside_a_scheduler_are_refused() -> None:
    refused = pytest.raises(PruneproofError, match="3 local processes cannot be combined with --scheduler")
    with refused, executor_for("tcp://127.0.0.1:1", 3):
        pass
