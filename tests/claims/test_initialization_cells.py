"""A cell does what it says: prunes its weights, applies the ablation, trains under the mask, from its seed alone."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pruneproof.claims.claim import Scale
from pruneproof.claims.data.cifar import TEST_FILE, TRAIN_FILES
from pruneproof.claims.data.images import brought_label, digits_label, read_images
from pruneproof.claims.data.root import VARIABLE
from pruneproof.claims.initialization import ai3_shuffle, measure, setting
from pruneproof.claims.initialization.measure import pruned as measured
from pruneproof.claims.initialization.setting import MLP_INPUT, digits_cnn, digits_mlp
from pruneproof.claims.training.single import train
from pruneproof.claims.training.trainer import Recipe, Trainer
from pruneproof.errors import FileFormatError
from pruneproof.prune import Masks, balanced_batch, connectivity, prunable, scores
from tests.claims.idx_files import write_idx

SHORT = Recipe(epochs=2, batch=100, drops=(1,))
METHODS = ("random", "random uniform", "random ERK", "snip", "grasp", "grasp_abs", "synflow", "magnitude")


def pruned(cell: dict[str, Any]) -> list[dict[str, Any]]:
    return [asdict(row) for row in measured(cell)]


@pytest.fixture(autouse=True)
def short_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred images for two epochs: enough to see what a cell does."""
    whole = setting.digit_images(digits_label())
    few = setting.Images(whole.train_x[:200], whole.train_y[:200], whole.test_x[:50], whole.test_y[:50])
    short = replace(setting.SETTINGS["cnn"], images=lambda data: few, recipe=SHORT, rewind=1)
    monkeypatch.setitem(setting.SETTINGS, "cnn", short)
    monkeypatch.setattr(measure, "digit_images", lambda data: few)
    monkeypatch.setattr(measure, "DIGITS_RECIPE", SHORT)
    monkeypatch.setattr(measure, "SYNFLOW_ITERATIONS", 5)


def early(**changes: object) -> dict[str, object]:
    cell = {
        "kind": "early",
        "network": "cnn",
        "data": "digits",
        "seed": 0,
        "method": "snip",
        "density": 0.05,
        "ablation": "none",
        "at": 0,
    }
    return cell | changes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ablation", ["none", "shuffle", "reinitialize", "invert"])
def test_an_early_cell(method: str, ablation: str) -> None:
    (row,) = pruned(early(method=method, ablation=ablation))
    assert row["kept"] == 714  # the nearest whole number to 5 % of 14,288
    assert 0 <= row["accuracy"] <= 1 and json.loads(json.dumps(row)) == row
    assert pruned(early(method=method, ablation=ablation)) == [row]


def test_steps_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train to `at`, then from there on, or from the start again; everything under the cell's seed."""
    calls = list[tuple[int, int | None, int, bool]]()

    def recorded(
        model: nn.Module, *data: object, seed: int, start: int, stop: int | None, **others: object
    ) -> nn.Module:
        calls.append((start, stop, seed, others["masks"] is not None))
        return model

    monkeypatch.setattr(measure, "train", recorded)
    for change in ({}, {"at": 3}, {"at": 3, "restart": True, "seed": 7}):
        pruned(early(**change))
    assert calls == [
        (0, 0, 0, False), (0, None, 0, True), (0, 3, 0, False),
        (3, None, 0, True), (0, 3, 7, False), (0, None, 7, True),
    ]  # fmt: skip
    assert pruned(early())[0]["layers"] != pruned(early(seed=1))[0]["layers"]


def test_the_dense_network_and_the_tickets() -> None:
    rows = pruned({"kind": "late", "network": "cnn", "data": "digits", "seed": 0, "density": 0.05})
    assert [row["variant"] for row in rows] == ["dense", "after", "ticket", "ticket shuffle", "ticket reinitialize"]
    assert [row["kept"] for row in rows] == [14_288, 714, 714, 714, 714]
    assert rows[1]["layers"] == rows[2]["layers"] == rows[3]["layers"] == rows[4]["layers"]


def test_densities_share_a_dense_network_that_none_of_them_changes() -> None:
    cell = {"kind": "late", "network": "cnn", "data": "digits", "seed": 1}
    first, other = pruned(cell | {"density": 0.05}), pruned(cell | {"density": 0.2})
    assert first[0]["accuracy"] == other[0]["accuracy"] and first[1]["layers"] != other[1]["layers"]
    assert pruned(cell | {"density": 0.05}) == first


def test_the_ablations_reach_the_network() -> None:
    """Replacing any of them by the identity in the cell turns this red."""
    model = digits_cnn(0)
    data = setting.SETTINGS["cnn"].images("digits")
    batch = balanced_batch(data.train_x, data.train_y, generator=torch.Generator().manual_seed(0))
    masks = measure.masks_of(model, "snip", 0.05, batch, (1, 1, 8, 8), seed=0)
    same, kept = measure.ablated(model, masks, "none", 0)
    assert same is model and kept is masks
    same, kept = measure.ablated(model, masks, "shuffle", 0)
    assert same is model and kept != masks and kept.counts == masks.counts
    fresh, kept = measure.ablated(model, masks, "reinitialize", 0)
    assert kept is masks
    assert all(not torch.equal(w, fresh.get_parameter(n)) for n, w in prunable(model).items())
    inverted = measure.masks_of(model, "snip", 0.05, batch, (1, 1, 8, 8), seed=0, inverted=True)
    score = scores.snip(model, cross_entropy, batch)
    highest = max(float(score[n][m].max()) for n, m in inverted.items() if m.any())
    assert highest <= min(float(score[n][m].min()) for n, m in masks.items() if m.any())


@pytest.mark.parametrize("method", METHODS)
def test_the_network_starts_from_its_own_weights(method: str) -> None:
    """No control is drawn from masked weights: every kept weight starts non-zero, and the network is as it was."""
    model = digits_cnn(3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = setting.SETTINGS["cnn"].images("digits")
    batch = balanced_batch(data.train_x, data.train_y, generator=torch.Generator().manual_seed(0))
    masks = measure.masks_of(model, method, 0.05, batch, (1, 1, 8, 8), seed=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(bool(before[name][mask].all()) for name, mask in masks.items())


def test_stacked_perceptrons_are_the_networks_and_train_like_them() -> None:
    """One program against a loop over networks: the same steps, products blocked otherwise, float32."""
    data = setting.SETTINGS["cnn"].images("digits")
    x, y = data.train_x.flatten(1), data.train_y
    networks = [digits_mlp(seed) for seed in range(3)]
    masks = [measure.masks_of(net, "random", 0.3, (x, y), MLP_INPUT, seed=i) for i, net in enumerate(networks)]
    nets, kept = measure.stacked(list(zip(networks, masks, strict=True)), seed=9)
    before = nets.logits(x)
    assert all(torch.allclose(before[i].T, net(x), atol=1e-5) for i, net in enumerate(networks))
    recipe = Recipe(epochs=3, batch=200)  # one batch: the order of the data cannot matter
    Trainer(nets, x, y, recipe).run(mask=kept)
    after = nets.logits(x)
    for index, (net, mask) in enumerate(zip(networks, masks, strict=True)):
        train(net, x, y, recipe, seed=0, masks=mask)
        assert torch.allclose(after[index].T, net(x), atol=1e-4)
        assert not torch.allclose(before[index], after[index], atol=1e-1)
        assert not nets.weights[0][index][~mask["0.weight"]].any()


def test_a_perceptron_cell_covers_methods_and_variants() -> None:
    rows = pruned({"kind": "perceptrons", "data": "digits", "seed": 0, "density": 0.05})
    assert [(row["method"], row["variant"]) for row in rows] == [
        ("random ERK", "none"),
        *((method, variant) for method in measure.METHODS for variant in measure.VARIANTS),
    ]
    assert all(row["kept"] == 870 for row in rows)
    units = {(row["method"], row["variant"]): row["live"]["0.weight"] for row in rows}
    assert units["synflow", "none"] < 40 < 80 < units["synflow", "shuffle"]
    assert units["synflow", "shuffle within live units"] <= units["synflow", "none"]


def test_a_pooled_batch_has_ten_of_each_class() -> None:
    data = setting.digit_images(digits_label())
    x, y = balanced_batch(data.train_x, data.train_y, generator=torch.Generator().manual_seed(0))
    assert y.bincount().tolist() == [10] * 10
    rows = {image.numpy().tobytes() for image in data.train_x.contiguous()}
    assert all(image.contiguous().numpy().tobytes() in rows for image in x)


def test_large_networks_have_the_published_shapes() -> None:
    """ResNet-20: 22 prunable tensors with its two shortcuts; VGG-16: thirteen convolutions and a linear layer."""
    for build, weights, total in ((setting.resnet20, 22, 270_896), (setting.vgg16, 14, 14_715_584)):
        net: nn.Module = build(0)
        assert len(prunable(net)) == weights
        assert sum(weight.numel() for weight in prunable(net).values()) == total
        device = next(net.parameters()).device
        assert net.eval()(torch.zeros(2, 3, 32, 32, device=device)).shape == (2, 10)
        everything = Masks({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(net).items()})
        assert connectivity(net, everything, (1, 3, 32, 32)).cut == ()


@pytest.mark.filterwarnings("ignore:read_cifar10")  # the images are made here, and are called unknown
def test_a_large_network_runs_from_cifar_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred random images in the original format, one step: the whole published path but its length."""
    generator = np.random.default_rng(0)
    for name in (*TRAIN_FILES, TEST_FILE):
        records = generator.integers(0, 256, (20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        (tmp_path / name).write_bytes(records.tobytes())
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    one = replace(setting.SETTINGS["resnet20"], recipe=Recipe(epochs=1, batch=128))
    monkeypatch.setitem(setting.SETTINGS, "resnet20", one)
    cells = [cell for cell in ai3_shuffle.grid(Scale.FULL, 1) if cell["network"] == "resnet20"]
    assert {cell["data"] for cell in cells} == {setting.cifar_label()} and len(cells) > 8
    assert str(setting.cifar_label()).startswith("unknown data in CIFAR-10's format (sha256 ")
    for ablation in ("none", "shuffle"):
        (row,) = pruned(early(network="resnet20", ablation=ablation, data=setting.cifar_label()))
        assert row["kept"] == 13_545 and len(row["layers"]) == 22
    with pytest.raises(FileFormatError, match="needs CIFAR-10 of somebody else"):
        pruned(early(network="resnet20", data="CIFAR-10 of somebody else"))


def test_brought_images_are_a_network_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their cells carry the hash of the files, and are measured like those of the digits."""
    write_idx(tmp_path, 0, train=600, side=28)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    cells = [cell for cell in ai3_shuffle.grid(Scale.STANDARD, 1) if cell["network"] == "image cnn"]
    assert {cell["data"] for cell in cells} == {brought_label()}
    assert not [cell for cell in ai3_shuffle.grid(Scale.QUICK, 1) if cell["network"] == "image cnn"]
    monkeypatch.setitem(setting.SETTINGS, "image cnn", replace(setting.SETTINGS["image cnn"], recipe=SHORT))
    (row,) = pruned(cells[0])
    assert row["kept"] == 714 and row["data"] == brought_label()
    more = [cell for cell in ai3_shuffle.grid(Scale.STANDARD, 99) if cell["network"] == "image cnn"]
    assert len({cell["seed"] for cell in more}) == setting.IMAGE_SEEDS


def test_brought_images_are_some_of_the_training_and_all_test_images_standardised_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(tmp_path, 3, train=600, side=28)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    raw = read_images(str(brought_label()))
    data = setting.brought_images(str(brought_label()))  # all 600, in another order
    expected = (raw.test_x - raw.train_x.mean()) / raw.train_x.std()
    assert torch.allclose(data.test_x[:, 0], expected, atol=1e-5)
    assert abs(float(data.train_x.mean())) < 1e-5 and float(data.train_x.std()) == pytest.approx(1, abs=1e-5)
    setting.brought_images.cache_clear()
    monkeypatch.setattr(setting, "IMAGES", 100)
    assert len(setting.brought_images(str(brought_label())).train_x) == 100
