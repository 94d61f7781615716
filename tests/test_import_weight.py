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


BLOCKED = """
import sys

class Blocked:
    names = {names}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{{name}} is not installed here")

blocked = Blocked()
sys.meta_path.insert(0, blocked)
import pruneproof.prune
blocked.names = blocked.names - {{"sympy"}}  # torch itself loads it once something is compiled or registered
import torch
from torch import nn
from pruneproof.prune import connectivity, magnitude, sipp, snip

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
batch = torch.rand(6, 4), torch.arange(6) % 3
masks = snip(model, nn.functional.cross_entropy, batch, density=0.5)
kept = sipp(model, batch[0], density=0.8, variant="det").masks.count
print(masks.count, connectivity(model, masks, (1, 4)).kept.count, kept)
"""


def test_pruning_needs_nothing_that_only_theorems_and_commands_use() -> None:
    """`pruneproof.prune` without sympy, python-flint, rich and tyro."""
    code = BLOCKED.format(names={"sympy", "flint", "rich", "tyro"})
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["28", "28", "45"], result.stderr
