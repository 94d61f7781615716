"""Every example in a docstring runs and prints what it says; every public name has one."""

import doctest
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("kernels", "theory", "prune", "claims")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def _modules() -> list[str]:
    """Dotted names of all modules, command modules included."""
    files = [file.relative_to(ROOT) for name in PACKAGES for file in (ROOT / name).rglob("*.py")]
    source = ROOT / "src" / "pruneproof"
    files += [file.relative_to(source) for name in ("", "commands", "testing") for file in (source / name).glob("*.py")]
    dotted = {".".join(("pruneproof", *file.with_suffix("").parts)).removesuffix(".__init__") for file in files}
    return sorted(dotted)


@pytest.mark.parametrize("name", _modules())
def test_docstring_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write a file
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.failed == 0


def _public(package: ModuleType) -> dict[str, object]:
    exported = {name: value for name, value in vars(package).items() if not name.startswith("_")}
    return {
        name: value
        for name, value in exported.items()
        if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__.startswith("pruneproof.")
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_has_an_example(name: str) -> None:
    package = importlib.import_module(f"pruneproof.{name}")
    without = [key for key, value in _public(package).items() if ">>>" not in (inspect.getdoc(value) or "")]
    assert without == []


def test_a_wrong_example_is_seen() -> None:
    """The negative control: an example whose printed answer is wrong must fail."""
    control = ModuleType("control", ">>> 1 + 1\n3\n")
    assert doctest.testmod(control, optionflags=FLAGS, report=False).failed == 1
    sys.stdout.flush()
