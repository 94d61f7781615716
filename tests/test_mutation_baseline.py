"""The stored results of mutation testing: nine of ten mutants are killed, and every survivor has a reason.

`make mutate` finds them anew, in hours; this holds what is stored of it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

BASELINE: dict[str, Any] = json.loads((Path(__file__).parent / "mutation" / "baseline.json").read_text("utf-8"))
PACKAGES = ("prune", "theory")


def test_both_packages_are_there() -> None:
    assert set(BASELINE) >= set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_nine_of_ten_mutants_are_killed(package: str) -> None:
    found = BASELINE[package]
    assert found["tried"] >= 100
    assert found["killed"] >= 0.9 * found["tried"]


@pytest.mark.parametrize("package", BASELINE)
def test_every_survivor_has_a_reason(package: str) -> None:
    found = BASELINE[package]
    assert len(found["survivors"]) <= found["tried"] - found["killed"]
    assert not [name for name, reason in found["survivors"].items() if len(reason) < 15 or reason == "unexplained"]


@pytest.mark.parametrize("package", BASELINE)
def test_every_survivor_is_a_change_of_a_line_that_is_still_there(package: str) -> None:
    root = Path(__file__).parents[1]
    for name in BASELINE[package]["survivors"]:
        file, change = name.split(": ", 1)
        assert change.split(" => ")[0] in (root / file).read_text("utf-8"), name
