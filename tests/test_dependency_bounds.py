"""Each lower bound of a dependency admits only releases with which the library can be installed and started."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

TRITON_OF_TORCH = {"2.8.0": "3.4.0", "2.9.0": "3.5.0", "2.9.1": "3.5.1"}  # which each pins on Linux


@pytest.fixture(scope="module")
def bounds() -> dict[str, SpecifierSet]:
    file = Path(__file__).parents[1] / "pyproject.toml"
    listed = tomllib.loads(file.read_text("utf-8"))["project"]["dependencies"]
    return {requirement.name: requirement.specifier for requirement in map(Requirement, listed)}


@pytest.mark.parametrize("release", ["0.9.0", "0.9.1", "0.9.13"])
def test_releases_with_which_no_command_starts(release: str, bounds: dict[str, SpecifierSet]) -> None:
    """A user has a command-line library without the flags that the commands declare: the installer must replace it."""
    assert release not in bounds["tyro"]


@pytest.mark.parametrize("torch", TRITON_OF_TORCH)
def test_every_torch_that_is_admitted_has_a_triton_that_is_admitted(
    torch: str, bounds: dict[str, SpecifierSet]
) -> None:
    """A user keeps the torch he has: if the library admits it, an installer can find a triton for both."""
    assert torch not in bounds["torch"] or TRITON_OF_TORCH[torch] in bounds["triton"]
