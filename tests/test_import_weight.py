"""`import pruneproof` costs next to nothing beyond torch, and heavy optional packages load only when they are used."""

import subprocess
import sys

import pytest

HEAVY = ("matplotlib", "sklearn", "distributed", "dask", "pyarrow", "z3", "scipy", "pandas", "rich", "tyro", "torch")


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_package_itself_loads_only_itself() -> None:
    added = modules_after("import pruneproof") - modules_after("import importlib, types, typing")
    assert {name for name in added if not name.startswith("pruneproof")} == set()
    assert {name for name in added if name.startswith("pruneproof")} == {
        "pruneproof",
        "pruneproof._version",
        "pruneproof.errors",
    }


def test_beyond_torch_the_package_adds_nothing() -> None:
    torch = modules_after("import torch")
    added = modules_after("import torch, pruneproof") - torch
    assert added == {"pruneproof", "pruneproof._version", "pruneproof.errors"}


@pytest.mark.parametrize("module", ["pruneproof.claims", "pruneproof.cli", "pruneproof.claims.engine.worker"])
def test_the_engine_loads_nothing_heavy(module: str) -> None:
    loaded = modules_after(f"import {module}")
    assert loaded & set(HEAVY) == set()


def test_no_subpackage_loads_an_extra() -> None:
    loaded = modules_after("import pruneproof.kernels, pruneproof.theory, pruneproof.prune, pruneproof.claims")
    assert loaded & {"matplotlib", "sklearn", "distributed", "dask", "pyarrow", "pandas", "z3"} == set()
