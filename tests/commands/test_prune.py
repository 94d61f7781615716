"""`pruneproof prune` takes the scopes that the library takes, and refuses in one line before any work."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import nn

from pruneproof.cli import main
from pruneproof.prune import Masks, magnitude, scores, select, wanda

NETS = """
from torch import nn


def net():
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def pooled():
    return nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2, dilation=2), nn.Flatten(), nn.Linear(1, 2))


def odd():
    return nn.Linear(6, 2)


def loads():
    raise AssertionError("the model was built")
"""


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pruned_nets.py").write_text(NETS)
    save_model(network(), str(tmp_path / "model.safetensors"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def ran(*options: str, factory: str = "net") -> int:
    asked = ["prune", "model.safetensors", "--factory", f"pruned_nets:{factory}", "--out", "pruned.safetensors"]
    return main([*asked, *options])


def test_a_pattern_needs_no_density(folder: Path) -> None:
    assert ran("--scope", "2:4", "--masks", "masks.safetensors") == 0
    expected = magnitude(network(), scope="2:4")
    assert Masks.load(folder / "masks.safetensors") == expected
    pruned = load_file(folder / "pruned.safetensors")
    assert all(torch.equal(pruned[name] != 0, mask) for name, mask in expected.items())
    assert ran("--scope", "1:4", "--density", "0.25", "--force") == 0


def test_synflow_takes_a_pattern(folder: Path) -> None:
    assert ran("--scope", "2:4", "--method", "synflow", "--input-shape", "1", "8", "--masks", "m.safetensors") == 0
    assert Masks.load(folder / "m.safetensors") == select(scores.synflow(network(), (1, 8)), scope="2:4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--density, the kept fraction, is missing. Pass e.g. --density 0.1"),
        (["--scope", "erk"], "--density, the kept fraction, is missing"),
        (
            ["--scope", "rows", "--density", "0.5"],
            "--scope must be global, layer, row, erk or N:M",
        ),
        (["--scope", "4:2"], "--scope: a pattern is two numbers n:m"),
        (["--scope", "2:4", "--density", "0.25"], '--density: scope "2:4" fixes the density at 2/4'),
        (["--method", "random", "--density", "0.5", "--seed", "9" * 23], "--seed must lie between -2^63 and 2^64 - 1"),
        (["--method", "random", "--density", "0.5", "--seed", f"-{2**63 + 1}"], "--seed must lie between"),
    ],
)
def test_misuse_is_told_in_one_line_before_any_work(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(*options, factory="loads") == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not (folder / "pruned.safetensors").exists()


@pytest.mark.parametrize("seed", [-(2**63), 2**64 - 1])
def test_every_seed_of_torch_is_one(folder: Path, seed: int) -> None:
    assert ran("--method", "random", "--density", "0.5", "--seed", str(seed)) == 0


def test_a_pattern_that_does_not_fit_the_layers_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(nn.Linear(6, 2), str(folder / "model.safetensors"))
    assert ran("--scope", "2:4", factory="odd") == 2
    assert "each output of weight has 6 weights" in capsys.readouterr().err


def test_a_network_that_the_certificate_cannot_follow_is_pruned_all_the_same(folder: Path) -> None:
    torch.manual_seed(0)
    pool = nn.MaxPool2d(2, dilation=2)
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), pool, nn.Flatten(), nn.Linear(1, 2))
    save_model(net, str(folder / "model.safetensors"))
    options = ["--density", "0.5", "--method", "synflow", "--input-shape", "1", "1", "3", "3"]
    assert ran(*options, factory="pooled") == 0
    assert (folder / "pruned.safetensors").is_file()


def test_wanda_compares_weights_of_one_output(folder: Path) -> None:
    inputs = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    save_file({"inputs": inputs}, "batch.safetensors")
    assert ran("--method", "wanda", "--density", "0.5", "--batch", "batch.safetensors", "--masks", "m.safetensors") == 0
    assert Masks.load(folder / "m.safetensors") == wanda(network(), inputs, density=0.5)
    kept = load_file(folder / "pruned.safetensors")["0.weight"] != 0
    assert kept.sum(1).tolist() == [4] * 8


@pytest.mark.parametrize("method", ["magnitude", "random", "synflow", "wanda"])
@pytest.mark.parametrize("options", [["--exclude", "2"], ["--include", "0.weight", "1.*", "--exclude", "2.*"]])
def test_what_is_excluded_stays_dense(
    folder: Path, method: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"inputs": torch.randn(16, 8)}, "batch.safetensors")
    needed = {"wanda": ["--batch", "batch.safetensors"], "synflow": ["--input-shape", "1", "8"]}.get(method, [])
    if "1.*" in options:  # an activation has no weight
        assert ran("--method", method, "--density", "0.25", *needed, *options) == 2
        assert "'1.*'" in capsys.readouterr().err
        assert not (folder / "pruned.safetensors").exists()
        return
    assert ran("--method", method, "--density", "0.25", *needed, *options) == 0
    dense, pruned = network().state_dict(), load_file(folder / "pruned.safetensors")
    assert torch.equal(pruned["2.weight"], dense["2.weight"])
    assert int((pruned["0.weight"] != 0).sum()) == 16


@pytest.mark.parametrize("method", ["wanda", "snip", "grasp"])
def test_a_batch_without_inputs_is_refused(folder: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("--method", method, "--density", "0.5") == 2
    assert "Pass --batch FILE with the tensor" in capsys.readouterr().err
    save_file({"targets": torch.zeros(3)}, "batch.safetensors")
    assert ran("--method", method, "--density", "0.5", "--batch", "batch.safetensors") == 2
    assert "holds ['targets']" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["snip", "grasp", "grasp_abs"])
@pytest.mark.parametrize("shape", [(8,), (8, 1), (8, 4)])
def test_targets_that_are_no_classes_are_refused(
    folder: Path, method: str, shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"inputs": torch.randn(8, 8), "targets": torch.rand(shape)}, folder / "batch.safetensors")
    assert ran("--method", method, "--density", "0.5", "--batch", "batch.safetensors") == 2
    told = capsys.readouterr().err
    assert f"the targets of --method {method} must be" in told and f"got Tensor of shape {shape}, torch.float32" in told
    assert told.count("\n") == 1 and not (folder / "pruned.safetensors").exists()


def test_inputs_of_a_wrong_shape_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"inputs": torch.randn(8, 7), "targets": torch.arange(8) % 4}, folder / "batch.safetensors")
    assert ran("--method", "snip", "--density", "0.5", "--batch", "batch.safetensors") == 2
    told = capsys.readouterr().err
    assert ". Raised by the model, called by snip. " in told
    assert "it was given Tensor of shape (8, 7), torch.float32." in told


def test_a_batch_of_zeros_is_warned_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"inputs": torch.zeros(8, 8)}, folder / "batch.safetensors")
    assert ran("--method", "wanda", "--density", "0.5", "--batch", "batch.safetensors") == 0
    assert "warning: wanda: every weight of 0.weight scores zero on this batch" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--masks"])
@pytest.mark.parametrize("path", [".", "..", "/"])
def test_a_folder_is_no_file_to_write(folder: Path, option: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"--out": "pruned.safetensors", "--masks": "masks.safetensors"} | {option: path}
    before = {*folder.iterdir()}
    assert main(["prune", "model.safetensors", "--density", "0.5", "--force", *sum(asked.items(), ())]) == 2
    told = capsys.readouterr().err
    assert any(word in told for word in ("is a folder", "must be a file", "overlap"))
    assert "does not exist" not in told and told.count("\n") == 1
    assert {*folder.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("junk.pt", b"junk" * 40, "neither a file of torch.save, as its name says, nor a safetensors file"),
        ("junk.bin", b"\0" * 100, "neither a file of torch.save, as its name says, nor a safetensors file"),
        ("none.pt", b"", "none.pt is empty"),
        ("junk.safetensors", b"junk" * 40, "not a complete safetensors file"),
    ],
)
def test_a_file_of_no_known_format_is_told_by_its_name(
    folder: Path, name: str, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_bytes(content)
    for command in (["inspect", name], ["prune", name, "--density", "0.5", "--out", "out"]):
        assert main(command) == 2
        assert said in capsys.readouterr().err
