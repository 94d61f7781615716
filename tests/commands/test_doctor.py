"""`pruneproof doctor` tells what is missing and what for, and never calls a kernel measured that no GPU has run."""

import json

import pytest

from pruneproof.cli import main
from pruneproof.commands import doctor
from pruneproof.environment import EXTRAS
from pruneproof.errors import PruneproofError
from pruneproof.kernels import operations


def test_it_tells_versions_and_what_is_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"pruneproof", "python", "torch", "source", "cores"} <= found["environment"].keys()
    unmeasured = {op.name for op in operations() if not op.measured_on}
    assert {line.partition(":")[0] for line in found["not measured"]} == unmeasured
    assert main(["doctor"]) == 0
    assert "not yet measured on a GPU" in capsys.readouterr().out or not unmeasured


@pytest.mark.parametrize("backend", ["reference", "triton"])
def test_it_tells_which_backend_was_asked_for(
    backend: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRUNEPROOF_BACKEND", backend)
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backend"] == f"{backend}, as PRUNEPROOF_BACKEND says"
    monkeypatch.setenv("PRUNEPROOF_BACKEND", f"{backend}s")
    assert main(["doctor", "--json"]) == 2
    assert "the environment variable PRUNEPROOF_BACKEND must be one of" in capsys.readouterr().err


def test_a_missing_extra_is_named_with_its_purpose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(doctor, "find_spec", nothing)
    assert main(["doctor", "--json"]) == 0
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert len(missing) == len(EXTRAS)
    assert any(line.startswith("matplotlib for the pictures") for line in missing)


def test_a_command_without_its_extra_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pruneproof import environment as extras

    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(extras, "find_spec", nothing)
    with pytest.raises(PruneproofError, match=r"pip install 'pruneproof\[verify\]'"):
        extras.require("verify", "matplotlib")
    assert main(["report"]) == 2
    assert "need the package matplotlib" in capsys.readouterr().err
