"""A checkpoint pruned piece by piece is the checkpoint pruned in memory, and nothing else in it changes."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pruneproof.errors import InvalidValueError
from pruneproof.kernels import top_k_masks
from pruneproof.prune import Masks, select
from pruneproof.prune.checkpoints import find_layers, open_checkpoint, prune_checkpoint, ranking, streaming

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 64 bytes, so that every tensor is cut into several."""
    monkeypatch.setattr(streaming, "PIECE", 64)


def write_shards(folder: Path, shards: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Write a sharded checkpoint with side files; returns its tensors in the order of the files."""
    folder.mkdir()
    weight_map = dict[str, str]()
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt", "licence": "mine"})
        weight_map |= dict.fromkeys(tensors, name)
    index = {"metadata": {"total_size": 1, "note": "kept"}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    stored = {name: tensor for tensors in shards for name, tensor in tensors.items()}
    return {tensor.name: stored[tensor.name] for tensor in open_checkpoint(folder).tensors}


def read_all(folder: Path) -> dict[str, Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def assert_masked(dense: dict[str, Tensor], pruned: dict[str, Tensor], masks: Masks) -> None:
    """Bit for bit: pruned weights are +0, all else is as it was."""
    for name, tensor in dense.items():
        expected = tensor.masked_fill(~masks[name], 0) if name in masks else tensor
        kind = BITS[tensor.element_size()]
        assert torch.equal(pruned[name].view(kind), expected.view(kind)), name


def layers(*dtypes: torch.dtype, values: int | None = None) -> list[dict[str, Tensor]]:
    """Three shards of odd shapes; with `values`, entries are few whole numbers, so that most of them are equal."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        if values is None:
            return torch.randn(shape, generator=generator)
        return torch.randint(-values, values + 1, shape, generator=generator) * torch.tensor(-1.0)  # −0 among them

    shapes: list[list[tuple[str, tuple[int, ...]]]] = [
        [("a.weight", (17, 12)), ("a.bias", (17,))],
        [("b.weight", (8, 20)), ("norm.weight", (8,))],
        [("c.weight", (6, 4, 3, 3)), ("embed_tokens.weight", (30, 4)), ("d.weight", (1, 12))],
    ]
    cycle = [dtypes[number % len(dtypes)] for number in range(7)]
    flat = iter(cycle)
    return [{name: draw(*shape).to(next(flat)) for name, shape in shard} for shard in shapes]


DTYPES = [
    (torch.bfloat16,),
    (torch.float16,),
    (torch.float32,),
    (torch.float64,),
    (torch.bfloat16, torch.float16),
    (torch.float32, torch.bfloat16, torch.float64),
]


@pytest.mark.parametrize("values", [None, 2, 0])
@pytest.mark.parametrize("dtypes", DTYPES, ids=str)
@pytest.mark.parametrize("density", [0.02, 0.37, 0.5, 1.0])
def test_global_magnitude_is_top_k_of_all_tensors(
    dtypes: tuple[torch.dtype, ...], values: int | None, density: float, tmp_path: Path
) -> None:
    dense = write_shards(tmp_path / "dense", layers(*dtypes, values=values))
    report = prune_checkpoint(tmp_path / "dense", tmp_path / "pruned", density=density)
    names = ["a.weight", "b.weight", "c.weight", "d.weight"]
    names.sort(key=list(dense).index)
    count = int(density * sum(dense[name].numel() for name in names) + 0.5)
    kept = top_k_masks([dense[name].abs() for name in names], count)
    masks = Masks(dict(zip(names, kept, strict=True)))
    assert_masked(dense, read_all(tmp_path / "pruned"), masks)
    assert report.kept == count
    assert {layer.name: layer.kept for layer in report.layers} == masks.counts


@pytest.mark.parametrize("value", [1.0, torch.nan])
def test_the_number_of_threads_is_what_it_was(value: float, tmp_path: Path) -> None:
    save_file({"a.weight": torch.full((4, 4), value)}, tmp_path / "dense.safetensors")
    threads, during = torch.get_num_threads(), set[int]()
    torch.set_num_threads(3)
    try:
        with nullcontext() if value == 1 else pytest.raises(InvalidValueError, match="NaN"):
            prune_checkpoint(
                tmp_path / "dense.safetensors",
                tmp_path / "pruned.safetensors",
                density=0.5,
                progress=lambda done, total: during.add(torch.get_num_threads()),
            )
        assert during == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("scope", ["layer", "row", "erk", "2:4", "1:2", "5:12"])
@pytest.mark.parametrize("values", [None, 2])
def test_other_scopes_are_those_of_select(scope: str, values: int | None, tmp_path: Path) -> None:
    dense = write_shards(tmp_path / "dense", layers(torch.bfloat16, torch.float32, values=values))
    density = None if ":" in scope else 0.4
    names = ["a.weight", "c.weight", "d.weight"] + ["b.weight"] * (scope != "5:12")  # whose rows 12 does not divide
    report = prune_checkpoint(
        tmp_path / "dense", tmp_path / "pruned", density=density, scope=scope, exclude=["b"] * (scope == "5:12")
    )
    scores = {name: dense[name].abs() for name in dense if name in names}
    masks = select(scores, density=density, scope=scope)
    assert_masked(dense, read_all(tmp_path / "pruned"), masks)
    assert {layer.name: layer.kept for layer in report.layers} == masks.counts


@pytest.mark.parametrize("scope", ["global", "layer", "row", "2:4"])
def test_random_keeps_an_exact_count_and_repeats_with_its_seed(scope: str, tmp_path: Path) -> None:
    dense = write_shards(tmp_path / "dense", layers(torch.bfloat16))

    def prune(name: str, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        density, out = None if ":" in scope else 0.5, tmp_path / name
        report = prune_checkpoint(
            tmp_path / "dense", out, density=density, method="random", scope=scope, generator=generator
        )
        pruned = read_all(tmp_path / name)
        kept = {layer.name: int(pruned[layer.name].count_nonzero()) for layer in report.layers}
        assert kept == {layer.name: layer.kept for layer in report.layers}  # no weight of these was zero before
        return pruned

    first, again, other = prune("first", 1), prune("again", 1), prune("other", 2)
    assert all(torch.equal(first[name], again[name]) for name in dense)
    assert not all(torch.equal(first[name], other[name]) for name in dense)


def test_headers_index_and_side_files_are_kept(tmp_path: Path) -> None:
    write_shards(tmp_path / "dense", layers(torch.bfloat16))
    (tmp_path / "dense" / "pytorch_model.bin").write_bytes(b"the dense weights once more")
    (tmp_path / "dense" / ".cache").mkdir()
    (tmp_path / "dense" / ".gitattributes").write_text("*.safetensors filter=lfs")
    report = prune_checkpoint(tmp_path / "dense", tmp_path / "pruned", density=0.5)
    before, after = open_checkpoint(tmp_path / "dense"), open_checkpoint(tmp_path / "pruned")
    assert [file.header for file in before.files] == [file.header for file in after.files]
    for name in ("model.safetensors.index.json", "config.json", "1_Pooling/config.json", ".gitattributes"):
        assert (tmp_path / "pruned" / name).read_bytes() == (tmp_path / "dense" / name).read_bytes()
    assert report.left == (".cache", "pytorch_model.bin")
    assert not {"pytorch_model.bin", ".cache"} & {entry.name for entry in (tmp_path / "pruned").iterdir()}


def test_a_weight_stored_twice_stays_one_weight(tmp_path: Path) -> None:
    """Equal tensors get equal masks, also where ties are cut, and count once; copies of an embedding stay dense."""
    weight = torch.tensor([[1.0, 1.0, 2.0, 1.0], [1.0, -1.0, 1.0, 1.0]])
    embedding = torch.rand(5, 4)
    tensors = {"first.weight": weight, "second.weight": weight.clone(), "third.weight": torch.ones(2, 4)}
    tensors |= {"embed.weight": embedding, "lm_head.weight": embedding.clone()}
    save_file(tensors, tmp_path / "dense.safetensors")
    report = prune_checkpoint(tmp_path / "dense.safetensors", tmp_path / "pruned.safetensors", density=0.25)
    pruned = load_file(tmp_path / "pruned.safetensors")
    assert (report.kept, report.total) == (4, 16)
    assert torch.equal(pruned["first.weight"], torch.tensor([[1.0, 1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0]]))
    assert torch.equal(pruned["second.weight"], pruned["first.weight"])
    assert not pruned["third.weight"].any()
    assert torch.equal(pruned["lm_head.weight"], embedding)
    assert report.roles is not None and report.roles.left_out["lm_head.weight"] == "tied to embed.weight"


def test_what_was_taken_as_what_is_listed(tmp_path: Path) -> None:
    write_shards(tmp_path / "dense", layers(torch.float32))
    roles = find_layers(open_checkpoint(tmp_path / "dense"), exclude=["b"])
    assert {layer.tensor.name: layer.kind for layer in roles.layers} == {
        "a.weight": "linear",
        "c.weight": "convolution",
        "d.weight": "linear",
    }
    assert roles.left_out == {
        "a.bias": 'not named "weight"',
        "b.weight": "excluded",
        "norm.weight": "one dimension",
        "embed_tokens.weight": "embedding by its name",
    }
    only = find_layers(open_checkpoint(tmp_path / "dense"), include=["embed_tokens.weight", "[ab]"])
    assert [layer.tensor.name for layer in only.layers] == ["a.weight", "b.weight", "embed_tokens.weight"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_threshold_is_found_by_counting(dtype: torch.dtype) -> None:
    """Keys in the order of the magnitudes, −0 equal to 0, infinities above all numbers."""
    values = torch.tensor([-0.0, 0.0, 1e-30, -1.5, 1.5, torch.inf, -torch.inf], dtype=dtype)
    keys = ranking.magnitude_keys(values, dtype)
    assert torch.equal(keys[:, None] < keys, values.abs()[:, None] < values.abs())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_infinite_weights_are_the_largest(dtype: torch.dtype, tmp_path: Path) -> None:
    weight = torch.tensor([[1.0, -torch.inf, 3.0, torch.inf], [2.0, 4.0, -5.0, torch.inf]], dtype=dtype)
    save_file({"0.weight": weight}, tmp_path / "dense.safetensors")
    prune_checkpoint(tmp_path / "dense.safetensors", tmp_path / "pruned.safetensors", density=0.5)
    expected = [[0.0, -torch.inf, 0.0, torch.inf], [0.0, 0.0, -5.0, torch.inf]]
    assert load_file(tmp_path / "pruned.safetensors")["0.weight"].tolist() == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kept", [3, 8, 11, 16, 20, 24])
def test_a_tied_weight_uses_up_its_ties_once(kept: int, dtype: torch.dtype, tmp_path: Path) -> None:
    """All magnitudes are equal, so that the first weights survive; a copy between them counts for none."""
    weight = torch.tensor([[1.0, -1.0, 1.0, 1.0], [1.0, -1.0, 1.0, 1.0]], dtype=dtype)
    others = {"b.weight": torch.ones(4, 2, dtype=dtype), "d.weight": torch.ones(8, 1, dtype=dtype)}
    save_file({"a.weight": weight, "c.weight": weight.clone(), **others}, tmp_path / "dense.safetensors")
    report = prune_checkpoint(tmp_path / "dense.safetensors", tmp_path / "pruned.safetensors", density=kept / 24)
    pruned = load_file(tmp_path / "pruned.safetensors")
    flat = torch.cat([pruned[f"{name}.weight"].flatten() for name in "abd"])
    assert torch.equal(flat != 0, torch.arange(24) < kept)
    assert torch.equal(pruned["c.weight"], pruned["a.weight"])
    assert report.kept == kept
