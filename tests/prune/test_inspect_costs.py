"""The report counts bytes and multiplications exactly and promises no speed that is not there."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import nn

from pruneproof.cli import main
from pruneproof.errors import InvalidValueError
from pruneproof.prune import (
    Masks,
    connectivity,
    inspect_model,
    inspection,
    magnitude,
    measure_speed,
    select,
    sparsify,
    synflow,
)

FACTORY = "torch.nn:Identity"
NET = """
from torch import nn


def net():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
"""


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inspected_nets.py").write_text(NET)
    save_model(network(), str(tmp_path / "model.safetensors"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "model.safetensors"


def test_bytes() -> None:
    net = network()
    report = inspect_model(magnitude(net, density=0.25).apply_(net))
    assert report.dense_bytes == 4 * (48 + 8 + 32 + 4)
    kept = sum(layer.kept for layer in report.layers)
    assert kept == 20 and report.density == 0.25
    bits = 4 * 8 + 4 * 4  # one 32-bit word for each of 8 + 4 rows
    assert report.packed_bytes == 4 * (8 + 4) + 4 * kept + bits


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Linear(6, 8), (1, 6), 48),
        (nn.Linear(6, 8), (1, 5, 6), 240),
        (nn.Conv2d(2, 3, 3), (1, 2, 5, 5), 3 * 2 * 9 * 9),
        (nn.Conv2d(4, 4, 3, groups=4, padding=1, stride=2), (1, 4, 6, 6), 4 * 9 * 9),
        (nn.ConvTranspose2d(2, 3, 2, stride=2), (1, 2, 4, 4), 2 * 3 * 4 * 16),
        (nn.Conv1d(2, 5, 3), (1, 2, 7), 5 * 2 * 3 * 5),
    ],
)
def test_multiplications(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    """Outputs × inputs × kernel at every position; a transposed convolution multiplies at every input position."""
    weight = layer.get_parameter("weight")
    half = Masks({"weight": torch.arange(weight.numel()).view_as(weight) % 2 == 0})
    report = inspect_model(layer, half, input_shape=shape)
    assert report.macs == (macs * half.count // half.total, macs)
    assert inspect_model(layer).macs is None


def test_no_speed_is_promised_for_unstructured_zeros() -> None:
    layer = nn.Linear(64, 64)
    assert inspect_model(layer).layers[0].speed == "dense"
    scores = {"weight": torch.rand(64, 64, generator=torch.Generator().manual_seed(0))}
    assert inspect_model(layer, select(scores, density=0.5)).layers[0].speed == "no speed-up expected on dense kernels"
    assert inspect_model(layer, select(scores, scope="2:4")).layers[0].speed.startswith("2:4 pattern")
    rows = Masks({"weight": torch.arange(64)[:, None].expand(64, 64) < 32})
    assert "empty rows" in inspect_model(layer, rows).layers[0].speed


@pytest.mark.parametrize("format", ["csr16", "bsr64", "masked"])
def test_a_sparsified_model_is_counted_as_it_is_stored(format: str) -> None:
    net = network()
    masks = magnitude(net, density=0.25)
    plain, report = (
        inspect_model(m, input_shape=(1, 6)) for m in (masks.apply_(net), sparsify(net, masks, format=format))
    )
    assert [layer.name for layer in report.layers] == ["0.weight", "2.weight"]
    assert (report.density, report.macs) == (plain.density, plain.macs) == (0.25, (20, 80))
    held = sparsify(net, masks, format=format)
    tensors = {id(t): t.numel() * t.element_size() for t in [*held.parameters(), *held.buffers()]}
    assert report.dense_bytes == sum(tensors.values())
    assert all(layer.speed.startswith(f"{format}") for layer in report.layers)
    (single,) = inspect_model(sparsify(net[0], Masks({"weight": masks["0.weight"]}), format=format)).layers
    assert single.name == "weight"


def test_a_masked_layer_holds_its_weights_and_a_bit_for_each_in_whole_words() -> None:
    layer = nn.Linear(40, 8)
    report = inspect_model(sparsify(layer, Masks({"weight": torch.arange(320).view(8, 40) % 3 == 0}), format="masked"))
    assert report.layers[0].dense_bytes == 8 * 40 * 4 + 8 * 2 * 4  # a row of 40 bits takes two words
    assert report.other_bytes == 8 * 4


def test_inspecting_changes_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    before, state = [tensor.clone() for tensor in net.state_dict().values()], torch.get_rng_state()
    inspect_model(net, input_shape=(1, 1, 5, 5))
    assert all(torch.equal(a, b) for a, b in zip(before, net.state_dict().values(), strict=True))
    assert torch.equal(state, torch.get_rng_state()) and net.training and net[2].training


def test_the_commands_prune_and_inspect(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, masks = checkpoint.with_name("pruned.safetensors"), checkpoint.with_name("masks.safetensors")
    asked = ["prune", str(checkpoint), "--factory", "inspected_nets:net", "--density", "0.25", "--out", str(out)]
    assert main([*asked, "--masks", str(masks)]) == 0
    expected = magnitude(network(), density=0.25)
    assert Masks.load(masks) == expected
    pruned, whole = load_file(out), load_file(checkpoint)
    assert all(torch.equal(pruned[n], torch.where(m, whole[n], 0)) for n, m in expected.items())
    capsys.readouterr()
    assert main(["inspect", str(out), "--factory", "inspected_nets:net", "--input-shape", "1", "6", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["kept_macs"], report["macs"], report["file_bytes"]) == (20, 80, out.stat().st_size)
    assert main(["inspect", str(out)]) == 0
    assert "weights kept: 20 of 80 (25.00%)" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["random", "snip", "grasp", "grasp_abs", "synflow"])
def test_every_method_runs_from_the_command_line(checkpoint: Path, method: str) -> None:
    save_file({"inputs": torch.randn(8, 6), "targets": torch.arange(8) % 4}, checkpoint.with_name("batch.safetensors"))
    out = checkpoint.with_name("pruned.safetensors")
    asked = ["prune", str(checkpoint), "--factory", "inspected_nets:net", "--density", "0.5", "--out", str(out)]
    options = {"random": ["--seed", "1"], "synflow": ["--input-shape", "1", "6"]}
    asked += ["--method", method, *options.get(method, ["--batch", "batch.safetensors"])]
    assert main(asked) == 0
    weights = [tensor for tensor in load_file(out).values() if tensor.ndim == 2]
    assert sum(int(weight.count_nonzero()) for weight in weights) == 40


@pytest.mark.parametrize(
    "change",
    [
        ["--factory", "no.such:net"],
        ["--factory", "inspected_nets:other"],
        ["--factory", FACTORY],
        ["--density", "0"],
        ["--density", "1.5"],
        ["--method", "snip"],
        ["--method", "synflow"],
        ["--out", "no/such/folder/x.safetensors"],
        ["--batch", "model.safetensors"],
        ["--seed", "1"],
        ["--input-shape", "6"],
        ["--masks", "pruned.safetensors"],
        ["--masks", "./model.safetensors"],
    ],
)
def test_misuse_writes_nothing(checkpoint: Path, change: list[str]) -> None:
    out = checkpoint.with_name("pruned.safetensors")
    asked = {"--factory": "inspected_nets:net", "--density": "0.5", "--out": str(out)} | {change[0]: change[1]}
    assert main(["prune", str(checkpoint), *(word for pair in asked.items() for word in pair)]) == 2
    assert not out.exists()


def test_the_checkpoint_is_not_overwritten(checkpoint: Path) -> None:
    before = checkpoint.read_bytes()
    asked = ["prune", str(checkpoint), "--factory", "inspected_nets:net", "--density", "0.5"]
    assert main([*asked, "--out", f"../{checkpoint.parent.name}/{checkpoint.name}"]) == 2
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("method", ["magnitude", "synflow"])
def test_a_dead_network_is_told(checkpoint: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["prune", str(checkpoint), "--factory", "inspected_nets:net", "--density", "0.25"]
    asked += ["--out", str(checkpoint.with_name("pruned.safetensors")), "--method", method]
    asked += ["--input-shape", "1", "6"] * (method == "synflow")
    assert main(asked) == 0 and "warning" not in capsys.readouterr().err
    weights = load_file(checkpoint)
    weights["2.weight"] *= 0
    save_file(weights, checkpoint)
    assert main([*asked, "--force"]) == 0
    told = capsys.readouterr().err
    assert "keeps nothing of 2.weight: the output" in told and "--scope erk" in told and told.count("\n") == 1
    assert ("output no longer" in told) == (method == "synflow")


def test_a_wrong_input_shape_is_told_in_one_line(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["inspect", str(checkpoint), "--factory", "inspected_nets:net", "--input-shape", "1", "17"]
    assert main(asked) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("ask", "more"), [(inspect_model, {}), (synflow, {"density": 0.5}), (connectivity, {"masks": None})]
)
@pytest.mark.parametrize("empty", [(0, 6), (3, 0), (-1, 6), torch.zeros(0, 6)])
def test_an_empty_batch_is_refused(ask: Callable[..., object], more: Mapping[str, object], empty: object) -> None:
    options = {**more, **({"masks": magnitude(network(), density=0.5)} if "masks" in more else {})}
    with pytest.raises(ValueError, match=rf"{ask.__name__}: (the sizes of inputs must be|the batch has no example)"):
        ask(network(), input_shape=empty, **options)


def test_an_empty_batch_is_not_timed() -> None:
    with pytest.raises(ValueError, match="measure_speed: the sizes of inputs must be at least 1, got 0×6"):
        measure_speed(network(), (1, 6), batches=[0])


def test_the_multiplications_of_a_batch_are_those_of_all_its_examples(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["inspect", str(checkpoint), "--factory", "inspected_nets:net", "--input-shape"]
    assert main([*asked, "0", "6"]) == 2
    assert "the sizes of inputs must be at least 1, got 0×6" in capsys.readouterr().err
    for batch in (1, 7):
        assert main([*asked, str(batch), "6"]) == 0
        text = capsys.readouterr().out
        assert f"kept weights: {80 * batch} of {80 * batch}\n" in text
        assert f"MACs are those of one pass over inputs of shape {batch}×6\n" in text
        assert main([*asked, str(batch), "6", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["input_shape"] == [batch, 6]


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}", b"not a checkpoint"])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(content)
    assert main(["inspect", str(broken)]) == 2
    assert main(["inspect", str(tmp_path / "missing.safetensors")]) == 2
    assert "safetensors" in capsys.readouterr().err


def test_speeds_are_medians_of_pairs_with_their_order_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that says so, dense runs take 6 s and sparse ones 1 to 15 s."""
    net = network()
    times = {True: [1.0, 1.0, *[6.0] * 15], False: [1.0, 1.0, *map(float, range(1, 16))]}  # dense or not
    seen: list[tuple[int, int]] = []

    def seconds_of(model: nn.Sequential, inputs: object) -> float:
        return times[type(model[0]) is nn.Linear].pop(0)

    monkeypatch.setattr(inspection, "_seconds", seconds_of)
    (speed,) = measure_speed(
        net, (1, 6), batches=[8], formats=["csr16"], progress=lambda done, total: seen.append((done, total))
    )
    ratios = sorted(6 / number for number in range(1, 16))
    assert (speed.dense_seconds, speed.sparse_seconds, speed.ratio) == (6, 8, 6 / 8)
    assert (speed.low, speed.high) == (ratios[3], ratios[11])
    assert seen == [(number, 15) for number in range(1, 16)]


def test_speed_is_not_measured_where_nothing_is_sparse() -> None:
    with pytest.raises(InvalidValueError, match="nothing to compare"):
        measure_speed(nn.Sequential(nn.Conv2d(1, 2, 3)), (1, 1, 4, 4))


def test_the_command_measures_on_request(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["inspect", str(checkpoint), "--measure"]
    assert main(command) == 2
    assert "--measure runs the model" in capsys.readouterr().err
    command += ["--factory", "inspected_nets:net", "--input-shape", "1", "6"]
    assert main(command) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("measured, ")]
    assert [line.split(":")[0] for line in lines] == [
        f"measured, {format}, batch {batch}" for format in ("csr16", "bsr") for batch in (1, 8, 64)
    ]
    assert main([*command, "--json"]) == 0
    speeds = json.loads(capsys.readouterr().out)["speeds"]
    assert len(speeds) == 6 and all(0 < speed["low"] <= speed["ratio"] <= speed["high"] for speed in speeds)
