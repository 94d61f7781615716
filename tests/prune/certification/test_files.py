"""A certificate file: what certify wrote, check accepts; whatever is altered, check refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pruneproof import PruneproofError
from pruneproof.cli import main
from pruneproof.prune.certification import certify, check_certificate, write_certificate

NAMED = "certified_factory:mlp"
FACTORY = """
from torch import nn
def mlp():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints, data, a factory, and the certificate that the command line makes of them."""
    (tmp_path / "certified_factory.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    generator = torch.Generator().manual_seed(0)
    shapes = {"0.weight": (8, 4), "0.bias": (8,), "2.weight": (3, 8), "2.bias": (3,)}
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(state, tmp_path / "dense.safetensors")
    pruned = {name: tensor * (tensor.abs() > 0.1) for name, tensor in state.items()}
    save_file(pruned, tmp_path / "sparse.safetensors")
    save_file({"inputs": torch.randn(40, 4, generator=generator)}, tmp_path / "test.safetensors")
    assert main(_arguments(tmp_path)) == 0
    return tmp_path


def _arguments(folder: Path) -> list[str]:
    files = [str(folder / name) for name in ("dense.safetensors", "sparse.safetensors", "test.safetensors")]
    settings = ["--factory", NAMED, "--radius", "0.05", "--out", str(folder / "certificate.json")]
    return ["certify", files[0], files[1], "--data", files[2], *settings]


def test_an_honest_certificate_is_accepted(folder: Path) -> None:
    content = json.loads((folder / "certificate.json").read_text())
    assert 0 < sum(content["region"]["certified"]) < 40
    assert check_certificate(folder / "certificate.json", factory=NAMED) == []


def test_the_command_line_confirms_and_refuses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "certificate.json"
    assert main(["check", str(path), "--factory", NAMED]) == 0
    assert "confirmed" in capsys.readouterr().out
    path.write_text(path.read_text().replace('"norm": "inf"', '"norm": "2"'))
    assert main(["check", str(path), "--factory", NAMED]) == 1
    assert "refused" in capsys.readouterr().out


def test_it_may_be_moved_with_its_files(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    new = tmp_path_factory.mktemp("elsewhere")
    for file in folder.glob("*.*[sn]"):
        (new / file.name).write_bytes(file.read_bytes())
    assert check_certificate(new / "certificate.json", factory=NAMED) == []


def _first(content: dict[str, Any], key: str, change: Callable[[Any], Any]) -> None:
    content["region"][key][0] = change(content["region"][key][0])


ALTERATIONS: dict[str, Callable[[dict[str, Any]], None]] = {
    "smaller bound": lambda c: _first(c, "error_bound", lambda x: x * (1 - 1e-6)),
    "larger bound": lambda c: _first(c, "error_bound", lambda x: x * (1 + 1e-6)),
    "bound as text": lambda c: _first(c, "error_bound", str),
    "certified flipped": lambda c: _first(c, "certified", lambda x: not x),
    "another class": lambda c: _first(c, "predicted", lambda x: (x + 1) % 3),
    "one input fewer": lambda c: c["region"]["certified"].pop(),
    "larger radius": lambda c: c["region"].update(radius=0.06),
    "another norm": lambda c: c["region"].update(norm="2"),
    "another statement": lambda c: c["region"].update(statement="Everything is certified."),
    "fewer disagreements": lambda c: c["population"].update(disagreement_bound=0.0),
    "more confidence": lambda c: c["population"].update(alpha=0.01),
    "a field added": lambda c: c["population"].update(remark="trust me"),
    "a claim added": lambda c: c.update(claim="holds for radius 100"),
    "an accuracy added": lambda c: c["original"].update(accuracy=1.0),
    "a population added": lambda c: c["data"].update(population="everybody"),
    "a field taken away": lambda c: c["region"].pop("statement"),
    "inputs as a float": lambda c: c["data"].update(inputs=40.0),
    "points as a float": lambda c: c["population"].update(points=40.0),
    "original hash": lambda c: c["original"].update(sha256="0" * 64),
    "pruned hash": lambda c: c["pruned"].update(sha256="0" * 64),
    "data hash": lambda c: c["data"].update(sha256="0" * 64),
    "another verdict": lambda c: c.update(verdict="40 of 40 balls certified"),
    "number of inputs": lambda c: c["data"].update(inputs=41),
    "one hash for both": lambda c: c["original"].update(sha256=c["pruned"]["sha256"]),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_certificate_is_refused(folder: Path, alteration: str) -> None:
    path = folder / "certificate.json"
    content = json.loads(path.read_text())
    ALTERATIONS[alteration](content)
    path.write_text(json.dumps(content))
    assert check_certificate(path, factory=NAMED)


@pytest.mark.parametrize("version", [True, 2.0, 1, "2"])
def test_another_version_is_refused(folder: Path, version: object) -> None:
    path = folder / "certificate.json"
    content = json.loads(path.read_text()) | {"version": version}
    path.write_text(json.dumps(content))
    assert main(["check", str(path), "--factory", NAMED]) == 1
    with pytest.raises(PruneproofError, match="version 2"):
        check_certificate(path, factory=NAMED)


@pytest.mark.parametrize("file", ["dense.safetensors", "sparse.safetensors", "test.safetensors"])
def test_an_altered_file_is_refused(folder: Path, file: str) -> None:
    tensors = load_file(folder / file)
    first = next(iter(tensors.values()))
    first.view(-1)[0] += 1e-6
    save_file(tensors, folder / file)
    assert check_certificate(folder / "certificate.json", factory=NAMED)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "network", "version": 2}', '{"kind": "other"}'])
def test_a_broken_certificate_is_an_error(folder: Path, content: str) -> None:
    (folder / "certificate.json").write_text(content)
    with pytest.raises(PruneproofError, match="check"):
        check_certificate(folder / "certificate.json", factory=NAMED)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--factory", "certified_factory:cnn"), ("--factory", "nowhere"), ("--data", "absent.safetensors")],
)
def test_missing_things_are_named_on_the_command_line(
    folder: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = _arguments(folder)
    arguments[arguments.index(option) + 1] = value
    assert main(arguments) == 2
    assert value in capsys.readouterr().err


def test_a_truncated_checkpoint_is_an_error(folder: Path) -> None:
    path = folder / "dense.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(PruneproofError, match="safetensors"):
        check_certificate(folder / "certificate.json", factory=NAMED)


EVIL = """
from pathlib import Path
Path("imported").touch()
def leave():
    raise SystemExit(0)
def fail():
    raise ZeroDivisionError("boom")
"""


def test_nothing_is_imported_because_a_certificate_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "certified_evil.py").write_text(EVIL)
    path = folder / "certificate.json"
    path.write_text(path.read_text().replace(NAMED, "certified_evil:leave"))
    assert main(["check", str(path)]) == 2
    assert main(["check", str(path), "--factory", NAMED]) == 2
    assert not (folder / "imported").exists()
    assert main(["check", str(path), "--factory", "certified_evil:leave"]) == 2


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("certified_evil:leave", "SystemExit: 0"),
        ("certified_evil:fail", "ZeroDivisionError: boom"),
        ("certified_evil", "needs package.module:function"),
        ("certified_evil:absent", "importable"),
    ],
)
@pytest.mark.parametrize("command", ["certify", "inspect"])
def test_a_failing_factory_is_told_in_one_line(
    folder: Path, command: str, factory: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "certified_evil.py").write_text(EVIL.replace('Path("imported").touch()', ""))
    arguments = _arguments(folder) if command == "certify" else ["inspect", _arguments(folder)[1], "--factory", ""]
    arguments[arguments.index("--factory") + 1] = factory
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1


def test_an_unwritable_certificate_is_refused_before_any_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pruneproof.prune.certification.certificate.build_certificate", None)  # work would fail
    arguments = _arguments(folder)
    arguments[-1] = str(folder / "absent" / "certificate.json")
    assert main(arguments) == 2
    assert "folder" in capsys.readouterr().err
    with pytest.raises(PruneproofError, match="writable"):
        write_certificate(folder / "absent" / "certificate.json", {})


def test_inputs_of_another_dtype_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"inputs": torch.ones(40, 4, dtype=torch.float64)}, folder / "test.safetensors")
    assert main(_arguments(folder)) == 2
    assert "points that the networks take" in capsys.readouterr().err


def test_an_infinite_bound_is_null(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """40 points say nothing of a quantile of 99 %: at confidence 0.95 it takes ln 0.05/ln 0.99 = 298.1."""
    capsys.readouterr()
    assert main([*_arguments(folder), "--beta", "0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quantile_bound"] is None


@pytest.mark.parametrize("max_units", [-1, True, 1.5])
def test_refine_is_a_number_of_units(max_units: Any) -> None:
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(PruneproofError, match="max_units"):
        certify(layer, layer, torch.ones(1, 2), max_units=max_units)


@pytest.mark.parametrize("out", ["dense.safetensors", "sparse.safetensors", "test.safetensors", "notes.txt"])
def test_a_certificate_replaces_nothing_but_a_certificate(
    folder: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.txt").write_text('{"kind": "shopping"}')
    before = (folder / out).read_bytes()
    arguments = _arguments(folder)
    arguments[-1] = str(folder / out)
    assert main(arguments) == 2
    assert (folder / out).read_bytes() == before
    capsys.readouterr()
    assert main(_arguments(folder)) == 0
    assert "certificate.json held before was replaced" in capsys.readouterr().err


def test_a_state_of_torch_save_is_recognised(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(load_file(folder / "dense.safetensors"), folder / "dense.pt")
    arguments = [text.replace("dense.safetensors", "dense.pt") for text in _arguments(folder)]
    assert main(arguments) == 2
    assert "an archive of torch.save" in capsys.readouterr().err


def test_the_networks_may_lie_in_another_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--root` says where; the hashes say that they are the ones."""
    apart = folder / "apart"
    apart.mkdir()
    path = (folder / "certificate.json").rename(apart / "certificate.json")
    asked = ["check", str(path), "--factory", NAMED]
    assert main(asked) == 2
    assert "there is no file" in capsys.readouterr().err
    assert main([*asked, "--root", str(folder)]) == 0
    assert main([*asked, "--root", str(folder / "absent")]) == 2
    tensors = load_file(folder / "dense.safetensors")
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, folder / "dense.safetensors")
    assert main([*asked, "--root", str(folder)]) == 1
