"""What cannot be pruned is refused in a sentence before any work, and a failure leaves nothing under the final name."""

import json
import resource
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pruneproof.cli import main
from pruneproof.errors import PruneproofError
from pruneproof.prune.checkpoints import open_checkpoint, prune_checkpoint

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of two shards."""
    folder = tmp_path / "dense"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for name, shard in zip("ab", SHARDS, strict=True):
        tensors = {f"{name}.weight": torch.randn(8, 8, generator=generator), f"{name}.bias": torch.zeros(8)}
        save_file(tensors, folder / shard)
    weight_map = {
        f"{name}.{what}": shard for name, shard in zip("ab", SHARDS, strict=True) for what in ("weight", "bias")
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def edit_index(folder: Path, name: str, file: object) -> None:
    path = folder / "model.safetensors.index.json"
    content = json.loads(path.read_text())
    content["weight_map"][name] = file
    path.write_text(json.dumps(content))


def index(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors.index.json").write_bytes(content)


def poison(folder: Path) -> None:
    tensors = load_file(folder / SHARDS[1])
    tensors["b.weight"][3, 3] = torch.nan
    save_file(tensors, folder / SHARDS[1])


def rewrite(folder: Path, file: str, change: Callable[[bytes], bytes]) -> None:
    (folder / file).write_bytes(change((folder / file).read_bytes()))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a shard is missing": (lambda f: (f / SHARDS[1]).unlink(), f"names {SHARDS[1]}, which the folder does not hold"),
    "a shard is cut": (lambda f: rewrite(f, SHARDS[1], lambda content: content[:-1]), "truncated"),
    "a header is cut": (lambda f: rewrite(f, SHARDS[0], lambda content: content[:20]), "truncated"),
    "a shard is empty": (lambda f: rewrite(f, SHARDS[0], lambda content: b""), "is empty"),
    "a shard is a pointer": (
        lambda f: rewrite(f, SHARDS[0], lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:1"),
        "Git LFS pointer",
    ),
    "a shard is a web page": (lambda f: rewrite(f, SHARDS[0], lambda content: b"<!doctype html>" * 9), "HTML"),
    "the index names an absent tensor": (lambda f: edit_index(f, "c.weight", SHARDS[0]), "c.weight"),
    "the index names the wrong shard": (lambda f: edit_index(f, "a.weight", SHARDS[1]), "a.weight"),
    "the index leads out of the folder": (lambda f: edit_index(f, "a.weight", "../a.safetensors"), "no file name"),
    "the index names a number": (lambda f: edit_index(f, "a.weight", 7), "no file name"),
    "the index is no JSON": (index(b"{"), "not JSON"),
    "the index is nested": (
        index(b"[" * 100_000),
        "not JSON",
    ),
    "the index is a list": (
        index(b"[]"),
        "no JSON object",
    ),
    "the index is empty": (index(b"{}"), "weight_map"),
    "two indices": (lambda f: (f / "other.safetensors.index.json").write_text("{}"), "several checkpoints"),
    "no weights": (lambda f: [file.unlink() for file in f.iterdir()], "no safetensors file"),
    "a NaN": (poison, "b.weight holds NaN"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused(damage: str, folder: Path, tmp_path: Path) -> None:
    change, message = DAMAGES[damage]
    prune_checkpoint(folder, tmp_path / "before", density=0.5)  # the negative control: undamaged, it is pruned
    change(folder)
    with pytest.raises(PruneproofError, match=message):
        prune_checkpoint(folder, tmp_path / "pruned", density=0.5)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["before", "dense"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"density": 0.0}, "density"),
        ({"density": 1.5}, "density"),
        ({"density": None}, "density"),
        ({"density": 0.01}, "fewer than there are layers"),
        ({"density": 0.05, "scope": "row"}, "empties every row of a.weight"),
        ({"density": 0.5, "scope": "rows"}, "scope"),
        ({"scope": "3:5"}, "that 5 divides"),
        ({"density": 0.5, "exclude": ["*"]}, "no layer left"),
        ({"density": 0.5, "exclude": ["c"]}, "exclude pattern 'c' matches no tensor"),
        ({"density": 0.5, "include": ["*.bias"]}, "no layer left"),
        ({"density": 0.5, "method": "random"}, "generator"),
    ],
)
def test_what_would_keep_or_leave_nothing_is_refused(
    options: dict[str, object], message: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(PruneproofError, match=message):
        prune_checkpoint(folder, tmp_path / "pruned", **options)  # pyright: ignore[reportArgumentType]
    assert [entry.name for entry in tmp_path.iterdir()] == ["dense"]


@pytest.mark.parametrize("scope", ["row", "2:4"])
def test_rows_that_are_inputs_are_refused(scope: str, tmp_path: Path) -> None:
    """GPT-2 stores (inputs, outputs), as the length of the bias shows."""
    path = tmp_path / "gpt2.safetensors"
    save_file({"c_fc.weight": torch.rand(4, 16), "c_fc.bias": torch.zeros(16)}, path)
    density = 0.5 if scope == "row" else None
    with pytest.raises(PruneproofError, match="other way round"):
        prune_checkpoint(path, tmp_path / "pruned.safetensors", density=density, scope=scope)
    prune_checkpoint(path, tmp_path / "pruned.safetensors", density=0.5)  # a scope without rows does not mind


def test_an_existing_output_is_replaced_only_by_force(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pruned"
    prune_checkpoint(folder, out, density=0.5)
    before = load_file(out / SHARDS[0])
    with pytest.raises(PruneproofError, match="exists"):
        prune_checkpoint(folder, out, density=0.25)
    assert torch.equal(load_file(out / SHARDS[0])["a.weight"], before["a.weight"])
    prune_checkpoint(folder, out, density=0.25, force=True)
    assert open_checkpoint(out).nbytes == open_checkpoint(folder).nbytes
    weights = [load_file(out / shard)[f"{name}.weight"] for name, shard in zip("ab", SHARDS, strict=True)]
    kept = sum(int(weight.count_nonzero()) for weight in weights)
    assert kept == 32
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dense", "pruned"]


@pytest.mark.parametrize(("source", "out"), [("m.safetensors", "p.pt"), ("m.pt", "p.safetensors")])
def test_an_output_named_as_another_kind_of_file_is_refused(source: str, out: str, tmp_path: Path) -> None:
    state = {"weight": torch.rand(4, 16)}
    save_file(state, tmp_path / "m.safetensors")
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(PruneproofError, match="must be named like it"):
        prune_checkpoint(tmp_path / source, tmp_path / out, density=0.5)
    assert not (tmp_path / out).exists()


def test_force_destroys_no_folder_without_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "diary.txt").write_text("precious")
    with pytest.raises(PruneproofError, match="no checkpoint"):
        prune_checkpoint(folder, home, density=0.5, force=True)
    assert (home / "diary.txt").read_text() == "precious"


@pytest.mark.parametrize("out", ["dense", "dense/pruned", "."])
def test_the_checkpoint_itself_is_never_the_output(
    out: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(PruneproofError, match=r"overlap|exist|without a name"):
        prune_checkpoint(Path("dense"), Path(out), density=0.5, force=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_link_to_the_checkpoint_is_not_written_through(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.safetensors"
    link.symlink_to(folder / SHARDS[0])
    with pytest.raises(PruneproofError, match="overlap"):
        prune_checkpoint(folder / SHARDS[0], link, density=0.5, force=True)


def test_what_a_killed_run_left_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pruned.partial").mkdir()
    with pytest.raises(PruneproofError, match=r"pruned\.partial is left"):
        prune_checkpoint(folder, tmp_path / "pruned", density=0.5)


@contextmanager
def longest_file(size: int) -> Generator[None]:
    """Let every write fail that would make a file longer, as the end of a disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 100, 400])
def test_a_disk_that_fills_up_leaves_nothing(size: int, folder: Path, tmp_path: Path) -> None:
    """The header, the first and the last tensor of a shard are cut."""
    with longest_file(size), pytest.raises(PruneproofError, match="could not be written"):
        prune_checkpoint(folder, tmp_path / "pruned", density=0.5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["dense"]
    with longest_file(1 << 20):
        prune_checkpoint(folder, tmp_path / "pruned", density=0.5)


def test_a_disk_without_room_is_noticed_first(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(PruneproofError, match="100 free"):
        prune_checkpoint(folder, tmp_path / "pruned", density=0.5)


def test_a_stop_in_the_middle_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """Ctrl-C while the second shard is written."""
    passed: list[int] = []

    def interrupt(done: int, total: int) -> None:
        passed.append(done)
        if len(passed) > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune_checkpoint(folder, tmp_path / "pruned", density=0.5, progress=interrupt)
    assert [entry.name for entry in tmp_path.iterdir()] == ["dense"]


def hostile(shape: list[int], kind: str = "F32", size: int = 0) -> bytes:
    header = json.dumps({"0.weight": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


HOSTILE = {
    "a dimension beyond 64 bits": hostile([2**63, 0]),
    "dimensions beyond 64 bits": hostile([2**40, 2**40, 0]),
    "a negative dimension": hostile([0, -1]),
    "a dtype without a name": hostile([4, 4], "X", 64),
    "data of another length": hostile([4, 4], "F32", 32),
    "no header": (2**62).to_bytes(8, "little") + b"{}",
    "nested brackets": (100_000).to_bytes(8, "little") + b"[" * 100_000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("options", [[], ["--factory", "torch.nn:Identity", "--allow-extra"]], ids=["weights", "model"])
def test_a_hostile_header_is_refused_in_one_line(
    content: bytes, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    for command in (["inspect"], ["prune", "--density", "0.5", "--out", str(tmp_path / "out.safetensors")]):
        assert main([command[0], str(tmp_path / "model.safetensors"), *command[1:], *options]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_flipped_bytes_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a byte of the file becomes, nothing but a sentence is raised, and a copy is complete or not there."""
    monkeypatch.chdir(tmp_path)
    save_file({"0.weight": torch.randn(4, 4), "0.bias": torch.ones(4)}, "dense.safetensors", metadata={"format": "pt"})
    content = Path("dense.safetensors").read_bytes()
    generator = torch.Generator().manual_seed(0)
    outcomes = set[bool]()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= int(torch.randint(1, 256, (), generator=generator))
        Path("flipped.safetensors").write_bytes(changed)
        try:
            prune_checkpoint(Path("flipped.safetensors"), Path("pruned.safetensors"), density=0.5, force=True)
        except PruneproofError:
            outcomes.add(False)
        else:
            outcomes.add(True)
            assert Path("pruned.safetensors").stat().st_size == len(content)
    assert outcomes == {False, True}
    assert not Path("pruned.safetensors.partial").exists()
