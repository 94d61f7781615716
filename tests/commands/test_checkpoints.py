"""`pruneproof prune` and `inspect` on checkpoints as people have them: a copy differs in its zeros alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pruneproof.cli import main
from pruneproof.prune import Masks, magnitude

NETS = """
import torch
from torch import nn


def net():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.body, self.head = nn.Embedding(40, 16), nn.Linear(16, 16), nn.Linear(16, 40, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.body(self.embedding(x)).relu().mean(1))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).relu())


class Buffered(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("table", torch.ones(3), persistent=False)

    def forward(self, x):
        return self.layer(x)
"""
PREFIX = "nets_of_the_checkpoints"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with factories."""
    (tmp_path / f"{PREFIX}.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def network(dtype: torch.dtype = torch.bfloat16) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)).to(dtype)


def prune(source: str, *options: str, out: str = "pruned.st", factory: str | None = None, density: str = "0.5") -> int:
    model = [] if factory is None else ["--factory", f"{PREFIX}:{factory}"]
    return main(["prune", source, *model, "--density", density, "--out", out, *options])


@pytest.mark.parametrize("factory", [None, "net"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_checkpoint_keeps_its_precision_and_its_header(factory: str | None, dtype: torch.dtype) -> None:
    """The factory builds float32; the file stays as it was, byte for byte, but for the zeros."""
    model = network(dtype)
    save_file(model.state_dict(), "dense.st", metadata={"format": "pt", "licence": "mine"})
    assert prune("dense.st", factory=factory) == 0
    dense, pruned = load_file("dense.st"), load_file("pruned.st")
    masks = magnitude(model, density=0.5)
    assert all(torch.equal(pruned[name], dense[name] * masks[name]) for name in masks)
    assert all(torch.equal(pruned[name], dense[name]) for name in dense if name not in masks)
    assert {tensor.dtype for tensor in pruned.values()} == {dtype}
    assert Path("pruned.st").stat().st_size == Path("dense.st").stat().st_size
    with safe_open("pruned.st", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "licence": "mine"}


@pytest.mark.parametrize("factory", [None, "Tied"])
def test_an_embedding_stored_with_its_head_stays_dense(factory: str | None) -> None:
    shared = torch.randn(40, 16)
    body = {"body.weight": torch.randn(16, 16), "body.bias": torch.zeros(16)}
    save_file({"embedding.weight": shared, "head.weight": shared.clone(), **body}, "dense.st")
    assert prune("dense.st", factory=factory) == 0
    pruned = load_file("pruned.st")
    assert int(pruned["body.weight"].count_nonzero()) == 128
    assert torch.equal(pruned["embedding.weight"], shared) and torch.equal(pruned["head.weight"], shared)


@pytest.mark.parametrize("names", [("first",), ("second",), ("first", "second")])
def test_a_tied_weight_is_pruned_under_all_names_that_the_file_has(names: tuple[str, ...]) -> None:
    shared = torch.randn(8, 8)
    weights = {f"{name}.weight": shared.clone() for name in names}
    save_file({**weights, "first.bias": torch.zeros(8), "second.bias": torch.zeros(8)}, "dense.st")
    assert prune("dense.st", factory="Shared") == 0
    pruned = load_file("pruned.st")
    assert set(pruned) == {*weights, "first.bias", "second.bias"}
    layer = nn.Linear(8, 8)
    layer.weight.data = shared
    expected = magnitude(layer, density=0.5)["weight"]
    assert all(torch.equal(pruned[name], shared * expected) for name in weights)


def test_a_tied_weight_with_two_contents_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    weights = {"first.weight": torch.randn(8, 8), "second.weight": torch.randn(8, 8)}
    save_file({**weights, "first.bias": torch.zeros(8), "second.bias": torch.zeros(8)}, "dense.st")
    assert prune("dense.st", factory="Shared") == 2
    assert "different numbers for first.weight and second.weight" in capsys.readouterr().err


def drop(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(name)


def add(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.update({name: tensor})


DIFFERENCES = {
    "none": (lambda state: None, None, ""),
    "a buffer of integers is missing": (drop("steps"), None, "steps"),
    "a buffer of integers is extra": (add("position_ids", torch.arange(4)), None, "position_ids"),
    "a computed buffer is extra": (add("table", torch.ones(3)), None, "table"),
    "frequencies are extra": (add("rotary.inv_freq", torch.ones(3)), None, "rotary.inv_freq"),
    "a bias is missing": (drop("layer.bias"), "--allow-missing", "layer.bias"),
    "a weight is extra": (add("head.weight", torch.ones(3, 4)), "--allow-extra", "head.weight"),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_differences_between_file_and_model_are_listed(difference: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Harmless ones pass with a note; others only if the user says so, and then with a note too."""
    change, option, named = DIFFERENCES[difference]
    state = {"layer.weight": torch.randn(4, 4), "layer.bias": torch.ones(4), "steps": torch.tensor(3)}
    change(state)
    save_file(state, "dense.st")
    if option is not None:
        assert prune("dense.st", factory="Buffered") == 2
        refusal = capsys.readouterr().err
        assert named in refusal and option in refusal and refusal.count("\n") == 1
        assert not Path("pruned.st").exists()
    assert prune("dense.st", *([option] if option else []), factory="Buffered") == 0
    assert ("note: " in capsys.readouterr().err) == bool(named)
    pruned = load_file("pruned.st")
    assert set(pruned) == set(state)  # what the file held it holds, no more and no less
    assert all(torch.equal(pruned[name], state[name]) for name in state if name != "layer.weight")
    assert int(pruned["layer.weight"].count_nonzero()) == 8
    assert main(["inspect", "dense.st", "--factory", f"{PREFIX}:Buffered", *([option] if option else [])]) == 0


def test_another_shape_is_refused_with_both(capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"layer.weight": torch.ones(4, 5), "layer.bias": torch.ones(4), "steps": torch.tensor(0)}, "dense.st")
    assert prune("dense.st", "--allow-missing", factory="Buffered") == 2
    assert "layer.weight of shape (4, 5) where the model has (4, 4)" in capsys.readouterr().err


@pytest.mark.parametrize("factory", [None, "net"])
def test_a_folder_of_shards_is_pruned_into_a_folder(factory: str | None, folder: Path) -> None:
    model = network()
    (folder / "dense").mkdir()
    state = model.state_dict()
    shards = {"a.safetensors": ["0.weight", "2.bias"], "b.safetensors": ["0.bias", "2.weight"]}
    for file, names in shards.items():
        save_file({name: state[name] for name in names}, folder / "dense" / file)
    weight_map = {name: file for file, names in shards.items() for name in names}
    (folder / "dense" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "dense" / "tokenizer.json").write_text("{}")
    assert prune("dense/", "--masks", "masks.st", factory=factory, out="pruned/") == 0
    masks = magnitude(model, density=0.5)
    assert Masks.load("masks.st") == masks
    for file, names in shards.items():
        pruned = load_file(folder / "pruned" / file)
        assert all(torch.equal(pruned[n], state[n] * masks[n] if n in masks else state[n]) for n in names)
    assert {entry.name for entry in (folder / "pruned").iterdir()} == {
        *shards,
        "model.safetensors.index.json",
        "tokenizer.json",
    }
    assert main(["inspect", "pruned"]) == 0


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("key", [None, "state_dict"])
@pytest.mark.parametrize("factory", [None, "net"])
def test_a_file_of_torch_save_is_read_and_written_as_one(
    factory: str | None, key: str | None, old_format: bool
) -> None:
    model = network(torch.float32)
    saved = model.state_dict() if key is None else {key: model.state_dict(), "epoch": 3}
    torch.save(saved, "dense.pt", _use_new_zipfile_serialization=not old_format)
    assert main(["inspect", "dense.pt"]) == 0
    assert prune("dense.pt", out="pruned.pt", factory=factory) == 0
    loaded = torch.load("pruned.pt", weights_only=True)
    pruned = loaded if key is None else loaded[key]
    masks = magnitude(model, density=0.5)
    expected = {n: t * masks[n] if n in masks else t for n, t in model.state_dict().items()}
    assert all(torch.equal(pruned[name], tensor) for name, tensor in expected.items())
    assert key is None or loaded["epoch"] == 3


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path("executed").touch, ()  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(
    ("saved", "message"), [(_Code(), "weights_only"), ({"epoch": 3}, "no state dict"), ([1, 2], "no state dict")]
)
def test_a_file_of_torch_save_runs_no_code(
    saved: object, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(saved, "dense.pt")
    assert prune("dense.pt", out="pruned.pt") == 2
    assert message in capsys.readouterr().err
    assert sorted(entry.name for entry in folder.iterdir() if entry.name != "__pycache__") == [
        "dense.pt",
        f"{PREFIX}.py",
    ]


@pytest.mark.parametrize("factory", [None, "net"])
def test_an_existing_output_is_replaced_by_force_alone(factory: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(network().state_dict(), "dense.st")
    for name in ("pruned.st", "masks.st"):
        Path(name).write_bytes(b"something precious")
        other = {"pruned.st": ["--masks", "m.st"], "masks.st": ["--masks", "masks.st"]}[name]
        out = {"pruned.st": "pruned.st", "masks.st": "p.st"}[name]
        assert prune("dense.st", *other, factory=factory, out=out) == 2
        refusal = capsys.readouterr().err
        assert "--force" in refusal and name in refusal
        assert Path(name).read_bytes() == b"something precious"
        assert not Path("m.st").exists() and not Path("p.st").exists()
    assert prune("dense.st", "--masks", "masks.st", "--force", factory=factory) == 0
    assert Masks.load("masks.st").density == 0.5


@pytest.mark.parametrize("method", ["snip", "grasp", "synflow"])
def test_a_method_that_runs_the_model_asks_for_it(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(network().state_dict(), "dense.st")
    assert prune("dense.st", "--method", method) == 2
    assert "--factory" in capsys.readouterr().err


def test_the_program_reads_json(capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"0.weight": torch.randn(4, 4), "wte.weight": torch.randn(4, 4)}, "dense.st")
    assert prune("dense.st", "--json", "--method", "random", "--seed", "7") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["layers"] == [{"name": "0.weight", "shape": [4, 4], "kept": 8, "total": 16}]
    assert answer["left_out"] == {"wte.weight": "embedding by its name"}
    assert (answer["out"], answer["density"]) == ("pruned.st", 0.5)
    assert main(["inspect", "pruned.st", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["density"] == 0.5 and answer["left_out"] == {"wte.weight": "embedding by its name"}


def test_patterns_choose_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    state = {f"layers.{number}.{name}.weight": torch.randn(4, 4) for number in range(2) for name in ("up", "down")}
    save_file(state, "dense.st")
    assert prune("dense.st", "--include", "layers.1", "*.up", "--exclude", "layers.0.*") == 0
    pruned = load_file("pruned.st")
    assert [int(pruned[name].count_nonzero()) for name in ("layers.0.up.weight", "layers.0.down.weight")] == [16, 16]
    assert sum(int(pruned[f"layers.1.{name}.weight"].count_nonzero()) for name in ("up", "down")) == 16
    assert "left out, excluded: 1 tensor (layers.0.up.weight)" in capsys.readouterr().out


@pytest.mark.parametrize("length", [640, 0x213C])
def test_the_length_of_a_header_is_not_taken_for_another_format(length: int) -> None:
    """A file begins with this number, whose bytes are also those of a pickle or of a tag."""
    header = b'{"0.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}'.ljust(length)
    content = torch.arange(1.0, 17.0).numpy().tobytes()
    Path("dense.st").write_bytes(length.to_bytes(8, "little") + header + content)
    assert prune("dense.st") == 0
    assert load_file("pruned.st")["0.weight"].flatten().tolist() == [0.0] * 8 + [float(n) for n in range(9, 17)]
