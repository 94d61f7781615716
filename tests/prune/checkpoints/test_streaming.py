"""A checkpoint pruned piece by piece is the checkpoint pruned in memory, and nothing else in it changes."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pruneproof.cli import main
from pruneproof.errors import InvalidValueError
from pruneproof.kernels import top_k_masks
from pruneproof.prune import Masks, inspect_model, magnitude, select
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


TWICE = torch.tensor([[1.0, 1.0, 2.0, 1.0], [1.0, -1.0, 1.0, 1.0]])


class Pair(nn.Module):
    """Two layers of equal weights, tied or not, a third one, and a head that is tied to an embedding."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(4, 2, bias=False) for _ in range(3))
        self.embed, self.lm_head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        with torch.no_grad():
            for layer, weight in ((self.first, TWICE), (self.second, TWICE), (self.third, torch.ones(2, 4))):
                layer.weight.copy_(weight)
        self.lm_head.weight = self.embed.weight
        if tied:
            self.second.weight = self.first.weight


@pytest.mark.parametrize("saved", ["as it is", "tensor by tensor", "by safetensors"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("density", [0.25, 0.3, 0.5])
def test_what_is_tied_in_a_file_is_what_shares_its_memory_there(
    tied: bool, saved: str, density: float, tmp_path: Path
) -> None:
    """The file's weights are those of the model that it was saved from, or of one that ties nothing."""
    state = Pair(tied).state_dict()
    if saved != "as it is":
        state = {name: value.clone() for name, value in state.items()}
    dense, out = tmp_path / "dense", tmp_path / "pruned"
    save_file(state, dense) if saved == "by safetensors" else torch.save(state, dense)
    report = prune_checkpoint(dense, out, density=density)
    pruned = load_file(out) if saved == "by safetensors" else torch.load(out)
    known = tied and saved == "as it is"
    model = Pair(known)
    expected = magnitude(model, density=density)
    assert (report.kept, report.total) == (expected.count, expected.total) == (expected.count, 16 if known else 24)
    assert all(torch.equal(pruned[name], state[name] * mask) for name, mask in expected.items())
    if known:
        assert pruned["second.weight"].data_ptr() == pruned["first.weight"].data_ptr()
    assert torch.equal(pruned["lm_head.weight"], state["embed.weight"])
    assert report.roles is not None and report.roles.identical == (
        () if known else (("first.weight", "second.weight"),)
    )
    why = report.roles.left_out["lm_head.weight"]
    assert why == f"{'tied' if saved == 'as it is' else 'identical'} to embed.weight"


@pytest.mark.parametrize("saved", ["as it is", "by safetensors"])
def test_patterns_reach_the_other_names_of_a_weight_only_where_it_is_tied(saved: str, tmp_path: Path) -> None:
    state = Pair(True).state_dict()
    path, known = tmp_path / "dense", saved == "as it is"
    torch.save(state, path) if known else save_file({name: value.clone() for name, value in state.items()}, path)
    checkpoint = open_checkpoint(path)
    excluded = find_layers(checkpoint, exclude=["second"])
    assert [layer.tensor.name for layer in excluded.layers] == (
        ["third.weight"] if known else ["first.weight", "third.weight"]
    )
    (only,) = find_layers(checkpoint, include=["second"]).layers
    assert (only.tensor.name, [copy.name for copy in only.copies]) == (
        "second.weight",
        ["first.weight"] if known else [],
    )
    if known:
        with pytest.raises(InvalidValueError, match="tied to embed"):
            find_layers(checkpoint, include=["lm_head.weight"])
    else:  # spelled out in full, as for an embedding
        assert [layer.tensor.name for layer in find_layers(checkpoint, include=["lm_head.weight"]).layers] == [
            "lm_head.weight"
        ]


@pytest.mark.parametrize("transposed", [False, True])
def test_inspect_counts_a_tied_weight_once_as_the_library_does(
    transposed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Pair(True)
    if transposed:  # not contiguous in the file, so read into new memory, once
        model.first.weight = model.second.weight = nn.Parameter(TWICE.T.contiguous().T)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    expected = inspect_model(model)
    assert main(["inspect", str(tmp_path / "model.pt"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(layer["total"] for layer in found["layers"]) == expected.total == 16
    assert found["dense_bytes"] == found["file_bytes"] == expected.dense_bytes


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
    """All magnitudes are equal, so that the first weights survive; a second name counts for none."""
    weight = torch.tensor([[1.0, -1.0, 1.0, 1.0], [1.0, -1.0, 1.0, 1.0]], dtype=dtype)
    others = {"b.weight": torch.ones(4, 2, dtype=dtype), "d.weight": torch.ones(8, 1, dtype=dtype)}
    torch.save(
        {"a.weight": weight, "b.weight": others["b.weight"], "c.weight": weight, **others}, tmp_path / "dense.pt"
    )
    report = prune_checkpoint(tmp_path / "dense.pt", tmp_path / "pruned.pt", density=kept / 24)
    pruned = torch.load(tmp_path / "pruned.pt")
    flat = torch.cat([pruned[f"{name}.weight"].flatten() for name in "abd"])
    assert torch.equal(flat != 0, torch.arange(24) < kept)
    assert torch.equal(pruned["c.weight"], pruned["a.weight"])
    assert report.kept == kept
