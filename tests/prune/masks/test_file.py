"""A mask file round-trips as packed bits; whatever deviates is refused; a failed save leaves the old file."""

import io
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from pruneproof import PruneproofError
from pruneproof.prune import Masks
from pruneproof.prune.masks.file import digest

MASKS = Masks(
    {"b.weight": torch.tensor([[True, False, True], [False, False, True]]), "a": torch.ones(9, dtype=torch.bool)}
)
SHAPES = {"b.weight": [2, 3], "a": [9]}
BYTES = {"b.weight": torch.tensor([0b100101], dtype=torch.uint8), "a": torch.tensor([255, 1], dtype=torch.uint8)}
MARKS = {"format": "pruneproof.masks", "version": "2"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "masks.safetensors"


def written(path: Path, tensors: dict[str, Tensor] | None = None, **metadata: str) -> Path:
    """A file like ours with something changed."""
    tensors = BYTES if tensors is None else tensors
    shapes = metadata.pop("shapes", json.dumps(SHAPES))
    save_file(tensors, path, {**MARKS, "shapes": shapes, "digest": digest(shapes, tensors), **metadata})
    return path


def refused(path: Path, message: str) -> None:
    with pytest.raises(PruneproofError, match=message) as caught:
        Masks.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=4), st.data())
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, list[int]], data: st.DataObject
) -> None:
    if not any(map(math.prod, shapes.values())):
        shapes = {**shapes, "one": [1]}
    shapes.pop("__metadata__", None)
    tensors = {
        name: torch.tensor(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=torch.bool).view(shape)
        for name, shape, n in ((name, shape, math.prod(shape)) for name, shape in shapes.items())
    }
    path = tmp_path_factory.getbasetemp() / "round_trip.safetensors"
    masks = Masks(tensors)
    masks.save(path)
    loaded = Masks.load(path)
    assert loaded == masks and list(loaded) == list(masks)


def test_the_format_is_the_documented_one(path: Path) -> None:
    MASKS.save(path)
    assert {name: packed.tolist() for name, packed in load_file(path).items()} == {
        name: packed.tolist() for name, packed in BYTES.items()
    }
    assert Masks.load(written(path)) == MASKS


def test_one_bit_per_weight(path: Path) -> None:
    Masks({"w": torch.ones(1000, 800, dtype=torch.bool)}).save(path)
    assert path.stat().st_size < 100_000 + 400


def test_loading_twice_gives_independent_tensors(path: Path) -> None:
    MASKS.save(path)
    loaded = Masks.load(str(path))
    path.unlink()
    assert loaded == MASKS


def test_every_truncation_and_every_surplus_is_refused(path: Path) -> None:
    MASKS.save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path, "Masks.load")
    for surplus in (b"\0", b"x" * 1000):
        path.write_bytes(content + surplus)
        refused(path, "safetensors cannot read it")


def test_every_flipped_bit_is_seen_or_harmless(path: Path) -> None:
    """A damaged file is refused, or gives the very masks that were saved; never others."""
    MASKS.save(path)
    content = path.read_bytes()
    for position in range(len(content)):
        for bit in (0, 3, 7):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            path.write_bytes(bytes(damaged))
            try:
                loaded = Masks.load(path)
            except PruneproofError:
                continue
            assert loaded == MASKS


@pytest.mark.parametrize("version", ["0", "1", "", "2 "])
def test_refuses_another_version(path: Path, version: str) -> None:
    refused(written(path, version=version), "version '2'")


def test_refuses_another_format(path: Path) -> None:
    refused(written(path, format="pt"), "has the format 'pt'")
    save_file(BYTES, path)
    refused(path, "its header says nothing of masks")


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ("", "header are no JSON"),
        ("{", "header are no JSON"),
        ("[" * 100_000, "header are no JSON"),
        ('{"a": [' + "9" * 5000 + "]}", "header are no JSON"),
        ("[]", "list of sizes per name"),
        ("3", "list of sizes per name"),
        ('{"b.weight": [2, 3], "a": 9}', "list of sizes per name"),
        ('{"b.weight": [2, 3], "a": ["9"]}', "list of sizes per name"),
        ('{"b.weight": [2, 3], "a": [9.0]}', "list of sizes per name"),
        ('{"b.weight": [2, 3], "a": [true]}', "list of sizes per name"),
        ('{"b.weight": [2, 3], "a": [-9]}', "list of sizes per name"),
        ('{"b.weight": [-2, -3], "a": [9]}', "list of sizes per name"),
        ('{"b.weight": [2, 3], "a": [NaN]}', "list of sizes per name"),
        ('{"b.weight": [2, 3], "a": [9223372036854775808]}', "list of sizes per name"),
        ('{"b.weight": [2, 3], "a": [9,' + "1," * 15 + "1]}", "list of sizes per name"),
        ('{"b.weight": [2, 3]}', "its header has shapes of"),
        ('{"b.weight": [2, 3], "a": [9], "../c": [1]}', "its header has shapes of"),
        ("{}", "its header has shapes of"),
        ('{"b.weight": [2, 3], "a": [17]}', r"a of shape \(17,\) takes 3 bytes \(uint8\)"),
        ('{"b.weight": [2, 3], "a": [8]}', r"1 bytes"),
        ('{"b.weight": [2, 3], "a": []}', r"1 bytes"),
        ('{"b.weight": [2, 3], "a": [0]}', r"0 bytes"),
        ('{"b.weight": [2, 3], "a": [4611686018427387904, 4]}', r"a of shape .* bytes \(uint8\)"),
        ('{"b.weight": [5], "a": [9]}', "ones after the last bit of b.weight"),
    ],
)
def test_refuses_shapes_that_do_not_fit(path: Path, shapes: str, message: str) -> None:
    refused(written(path, shapes=shapes), message)


def test_sixteen_dimensions_are_the_most(path: Path) -> None:
    shape = '{"b.weight": [2, 3], "a": [9' + ", 1" * 15 + "]}"
    assert Masks.load(written(path, shapes=shape))["a"].shape == (9, *[1] * 15)


@pytest.mark.parametrize(
    "packed",
    [
        torch.tensor([-1, 1], dtype=torch.int8),
        torch.tensor([255, 1], dtype=torch.float32),
        torch.tensor([True, True]),
        torch.tensor([[255, 1]], dtype=torch.uint8),
        torch.tensor([255, 1, 0], dtype=torch.uint8),
    ],
)
def test_refuses_another_dtype_or_shape_of_bytes(path: Path, packed: Tensor) -> None:
    refused(written(path, {**BYTES, "a": packed}), r"a of shape \(9,\) takes 2 bytes \(uint8\)")


@pytest.mark.parametrize("last", [0b11, 0b10000001, 255])
def test_refuses_bits_behind_the_last(path: Path, last: int) -> None:
    packed = torch.tensor([255, last], dtype=torch.uint8)
    refused(written(path, {**BYTES, "a": packed}), "ones after the last bit of a")


def test_refuses_a_huge_header(path: Path) -> None:
    """A header said to be larger than the file, larger than any, or not JSON."""
    for length in (10**6, 2**40, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", length) + b"{}")
        refused(path, "safetensors cannot read it")
    path.write_bytes(struct.pack("<Q", 2) + b"{{")
    refused(path, "safetensors cannot read it")


def test_refuses_a_pickle_without_opening_it(path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(path.parent / "sprung"),)

    torch.save({"a": Trap()}, path)
    refused(path, "safetensors cannot read it")
    assert not (path.parent / "sprung").exists()


def test_refuses_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no file .*none")
    refused(tmp_path, "no file")


def test_refuses_an_empty_shape_that_no_tensor_has(path: Path) -> None:
    tensors = {**BYTES, "a": torch.zeros(0, dtype=torch.uint8)}
    for sizes in ([2**62, 2**62, 0], [0, 2**63 - 1, 2]):
        refused(written(path, tensors, shapes=json.dumps({**SHAPES, "a": sizes})), "no tensor has the shape")


@pytest.mark.parametrize("wrong", [None, b"masks", 3, "", "a\0b", io.BytesIO()])
def test_what_is_no_path_is_refused(wrong: Any) -> None:
    with pytest.raises(PruneproofError, match=r"Masks\.load: the path of a file is needed"):
        Masks.load(wrong)
    with pytest.raises(PruneproofError, match=r"Masks\.save: the path of a file is needed"):
        MASKS.save(wrong)


def test_a_parameter_with_the_name_of_the_header_is_refused(path: Path) -> None:
    with pytest.raises(PruneproofError, match="reserves the name __metadata__"):
        Masks({"__metadata__": torch.tensor([True])}).save(path)
    assert not path.exists()


def test_names_are_never_paths(tmp_path: Path) -> None:
    masks = Masks({"../escape": torch.tensor([True]), "/etc/escape": torch.tensor([False])})
    (tmp_path / "inner").mkdir()
    masks.save(tmp_path / "inner" / "masks")
    assert Masks.load(tmp_path / "inner" / "masks") == masks
    assert [file.name for file in tmp_path.rglob("*")] == ["inner", "masks"]


def test_saving_replaces_and_leaves_nothing_else(path: Path) -> None:
    path.write_text("older")
    MASKS.save(path)
    assert Masks.load(path) == MASKS and list(path.parent.iterdir()) == [path]


def test_a_failed_save_keeps_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("older")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PruneproofError, match="No space left"):
        MASKS.save(path)
    assert path.read_text() == "older" and list(path.parent.iterdir()) == [path]


def test_a_killed_save_keeps_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing under the final name is touched before the new content is complete on the disk."""
    path.write_text("older")
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        order.append(f"fsync, final name holds {path.read_text()}")
        fsync(descriptor)

    def watched_replace(source: Path, target: Path) -> None:
        order.append("replace")
        assert Masks.load(source) == MASKS
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    MASKS.save(path)
    assert order == ["fsync, final name holds older", "replace"]


def test_an_impossible_target_is_refused(tmp_path: Path) -> None:
    for target in (tmp_path / "missing" / "masks", tmp_path):
        with pytest.raises(PruneproofError, match="cannot be written"):
            MASKS.save(target)
    assert list(tmp_path.iterdir()) == []


def test_another_name_for_a_mask_is_noticed(path: Path) -> None:
    MASKS.save(path)
    path.write_bytes(path.read_bytes().replace(b"b.weight", b"c.weight"))
    refused(path, "it is damaged")


def test_swapped_shapes_of_one_size_are_noticed(path: Path) -> None:
    MASKS.save(path)
    path.write_bytes(path.read_bytes().replace(b"[2, 3]", b"[3, 2]"))
    refused(path, "it is damaged")


@pytest.mark.parametrize("sizes", [[0, 2**63], [0, -1], [2**62, 4], ["9"], 9])
def test_a_header_of_no_tensor_is_refused_in_one_line(path: Path, sizes: Any) -> None:
    """The sizes that safetensors itself keeps of the bytes, which its reader would hand to torch."""
    MASKS.save(path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["a"]["shape"] = sizes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    refused(path, "Masks.load: this is no file of masks")
