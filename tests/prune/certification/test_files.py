"""A certificate file: what certify wrote, check accepts; whatever is altered, check refuses."""

import json
import shutil
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save, save_file

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


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("dense.safetensors", "original weights"),
        ("sparse.safetensors", "pruned weights"),
        ("test.safetensors", "inputs"),
    ],
)
def test_an_altered_file_is_refused_by_name(folder: Path, file: str, part: str) -> None:
    tensors = load_file(folder / file)
    first = next(iter(tensors.values()))
    first.view(-1)[0] += 1e-6
    save_file(tensors, folder / file)
    (wrong,) = check_certificate(folder / "certificate.json", factory=NAMED)
    assert f"the {part} in {file} are not those the certificate was made for" in wrong


def test_exchanged_weights_are_refused_as_such(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for old, new in (("dense", "aside"), ("sparse", "dense"), ("aside", "sparse")):
        (folder / f"{old}.safetensors").rename(folder / f"{new}.safetensors")
    assert main(["check", str(folder / "certificate.json"), "--factory", NAMED]) == 1
    assert "the two weight files were exchanged: dense.safetensors holds the pruned" in capsys.readouterr().out


def test_other_code_of_the_network_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certified_factory.nn.ReLU", torch.nn.LeakyReLU)
    wrong = check_certificate(folder / "certificate.json", factory=NAMED)
    assert all("or the code that builds the network was changed" in line for line in wrong) and len(wrong) == 2


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("dense.st", "Did you mean {folder}/dense.safetensors?"),
        ("Spars.safetensors", "Did you mean {folder}/sparse.safetensors?"),
        ("absent.safetensors", "Check the name."),
        ("nowhere/dense.safetensors", "The folder {folder}/nowhere does not exist either."),
        (".", "It is a folder: name a file in it."),
    ],
)
def test_a_missing_file_suggests_those_that_resemble_it(
    folder: Path, name: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = _arguments(folder)
    arguments[1] = str(folder / name)
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"there is no file {folder / name}. {advice.format(folder=folder)}\n")


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
    error = capsys.readouterr().err
    assert all(part in error for part in value.split(":"))  # a module and its function are named apart


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
        ("certified_evil", "'certified_evil' names no factory. Write the module, a colon and the function"),
        ("certified_evil:lead", "has no function lead. Did you mean leave? It has leave, fail"),
        ("certified_evli:leave", "there is no module certified_evli. Did you mean certified_evil"),
        ("certified_evil:Path", "returned PosixPath, not a torch.nn.Module"),
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
    assert "called by certify_population. Pass points of its shape and dtype" in capsys.readouterr().err


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


def test_an_interruption_keeps_the_balls_that_were_finished(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches of 16 of the 40 inputs: Ctrl-C after the second leaves a certificate of 32, and an honest one."""

    def interrupted(meter: object, done: int, total: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    whole = json.loads((folder / "certificate.json").read_text())
    with monkeypatch.context() as patch:
        patch.setattr("pruneproof.progress.Meter.__call__", interrupted)
        assert main(_arguments(folder)) == 130
    assert "first 32 of 40" in capsys.readouterr().err
    content = json.loads((folder / "certificate.json").read_text())
    assert content["region"]["error_bound"] == whole["region"]["error_bound"][:32]
    assert content["data"] == whole["data"] and content["population"] == whole["population"]
    assert check_certificate(folder / "certificate.json", factory=NAMED) == []
    content["region"]["certified"][0] = not content["region"]["certified"][0]  # the negative control
    (folder / "certificate.json").write_text(json.dumps(content))
    assert check_certificate(folder / "certificate.json", factory=NAMED)


def test_an_interruption_before_the_first_batch_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    before = (folder / "certificate.json").read_bytes()
    monkeypatch.setattr("pruneproof.prune.certification.certificate.certify_batches", interrupted)
    assert main(_arguments(folder)) == 130
    assert (folder / "certificate.json").read_bytes() == before


def test_certificate_and_bundle_are_two_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder / "certificate.json")
    assert main([*_arguments(folder), "--bundle", path]) == 2
    assert f"both name {path}" in capsys.readouterr().err


@pytest.fixture
def bundle(folder: Path) -> Path:
    """The certificate of `folder` with its files, and the loose files gone."""
    path = folder / "packed.zip"
    assert main([*_arguments(folder), "--bundle", str(path)]) == 0
    for file in [*folder.glob("*.safetensors"), folder / "certificate.json"]:
        file.unlink()
    return path


def _repack(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_bundle_holds_all_that_a_stranger_needs(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    path = Path(shutil.copy(bundle, elsewhere))
    assert main(["check", path.name, "--factory", NAMED]) == 0
    assert [file.name for file in elsewhere.iterdir()] == [path.name]  # nothing is left unpacked
    about = json.loads(zipfile.ZipFile(path).read("bundle.json"))
    assert about["factory"] == NAMED and about["versions"]["torch"] == version("torch")


def test_what_a_bundle_says_of_itself_is_not_said_to_be_confirmed(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def other_versions(members: dict[str, bytes]) -> None:
        about = json.loads(members["bundle.json"])
        members["bundle.json"] = json.dumps(about | {"versions": {"torch": "0.1"}}).encode()

    _repack(bundle, other_versions)
    assert main(["check", str(bundle), "--factory", NAMED]) == 0
    assert "not checked: what bundle.json in it says, the versions" in capsys.readouterr().out


def test_a_bundle_replaces_nothing(bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bundle.read_bytes()
    assert main([*_arguments(folder), "--bundle", str(bundle)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert bundle.read_bytes() == before


def test_loose_files_and_bundles_are_not_mixed(bundle: Path, folder: Path) -> None:
    assert main(["check", str(bundle), "--factory", NAMED, "--root", str(folder)]) == 2


def _other_weights(members: dict[str, bytes]) -> None:
    state = load(members["pruned.safetensors"])
    next(iter(state.values())).view(-1)[0] += 1e-6
    members["pruned.safetensors"] = save(state)


def _other_bound(members: dict[str, bytes]) -> None:
    content = json.loads(members["certificate.json"])
    content["region"]["error_bound"][0] /= 2
    members["certificate.json"] = json.dumps(content).encode()


@pytest.mark.parametrize("change", [_other_weights, _other_bound])
def test_a_bundle_that_was_tampered_with_is_refused(bundle: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    _repack(bundle, lambda members: None)
    assert main(["check", str(bundle), "--factory", NAMED]) == 0  # repacked alone, it is as good as before
    _repack(bundle, change)
    assert main(["check", str(bundle), "--factory", NAMED]) == 1


def _outside(part: str, key: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        content = json.loads(members["certificate.json"])
        content[part][key] = "../" + content[part][key]
        members["certificate.json"] = json.dumps(content).encode()

    return change


MALFORMED: dict[str, Callable[[dict[str, bytes]], Any]] = {
    "a member missing": lambda m: m.pop("pruned.safetensors"),
    "a member too many": lambda m: m.update({"notes.txt": b""}),
    "a name that leads out": lambda m: m.update({"../evil.py": m.pop("bundle.json")}),
    "an absolute name": lambda m: m.update({"/tmp/evil.py": m.pop("bundle.json")}),
    "a certificate of files outside": _outside("original", "checkpoint"),
    "a certificate of inputs outside": _outside("data", "file"),
    "no certificate": lambda m: m.update({"certificate.json": b"[]"}),
}


@pytest.mark.parametrize("change", MALFORMED)
def test_a_malformed_bundle_is_refused_in_one_line(
    bundle: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _repack(bundle, MALFORMED[change])
    before = {*bundle.parent.rglob("*")}
    capsys.readouterr()
    assert main(["check", str(bundle), "--factory", NAMED]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {*bundle.parent.rglob("*")} == before


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs differ in which of the two they read."""
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("pruned.safetensors", archive.read("original.safetensors"))
    assert main(["check", str(bundle), "--factory", NAMED]) == 2
    assert "once each" in capsys.readouterr().err


def test_a_bundle_that_unpacks_to_more_than_it_is_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members | {"inputs.safetensors": bytes(10**7)}).items():
            archive.writestr(name, content)
    assert main(["check", str(bundle), "--factory", NAMED]) == 2
    assert "compressed" in capsys.readouterr().err


def test_a_directory_that_lies_about_sizes_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Entries that overlap: each is no larger than the file, all of them together are."""
    content = bytearray(bundle.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 20 : at + 28] = (len(content) - 100).to_bytes(4, "little") * 2
        at = content.find(b"PK\x01\x02", at + 4)
    bundle.write_bytes(content)
    assert main(["check", str(bundle), "--factory", NAMED]) == 2
    assert "Nothing was unpacked" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [5, 300, -30])
def test_a_truncated_bundle_is_refused(bundle: Path, kept: int) -> None:
    bundle.write_bytes(bundle.read_bytes()[:kept])
    assert main(["check", str(bundle), "--factory", NAMED]) == 2


CNN = """
from torch import nn
from torch.nn import functional as F
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
        self.drop, self.head = nn.Dropout(), nn.Linear(8, 3)
    def forward(self, x):
        x = self.drop(F.relu(self.norm(self.conv(x)))).flatten(1)
        return F.log_softmax(self.head(F.dropout(x, training=self.training)), dim=1)
def left_in_training():
    return Net().train()
def evaluating():
    return Net().eval()
"""


def test_a_factory_may_leave_its_network_in_training_mode(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dropout and BatchNorm as they are deployed: the same numbers as for a network in evaluation mode."""
    (folder / "certified_cnn.py").write_text(CNN)
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv.weight": (2, 1, 3, 3), "conv.bias": (2,), "head.weight": (3, 8), "head.bias": (3,)}
    shapes |= {f"norm.{name}": (2,) for name in ("weight", "bias", "running_mean", "running_var")}
    state = {name: torch.rand(shape, generator=generator) + 0.1 for name, shape in shapes.items()}
    save_file(state, folder / "dense.safetensors")
    save_file(state | {"head.weight": state["head.weight"].clamp(min=0.2)}, folder / "sparse.safetensors")
    save_file({"inputs": torch.rand(4, 1, 4, 4, generator=generator)}, folder / "test.safetensors")
    found = []
    for factory in ("left_in_training", "evaluating"):
        arguments = _arguments(folder)
        arguments[arguments.index("--factory") + 1] = f"certified_cnn:{factory}"
        capsys.readouterr()
        assert main(arguments) == 0
        assert "of 4 balls" in capsys.readouterr().out
        found.append(json.loads((folder / "certificate.json").read_text()))
    assert found[0]["region"] == found[1]["region"] and found[0]["population"] == found[1]["population"]
