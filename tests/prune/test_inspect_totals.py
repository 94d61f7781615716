# torch types what a module holds as Tensor | Module:
# pyright: reportIndexIssue=false
"""A total is of the whole model; what could not be counted is named, or there is no total."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from pruneproof.cli import main
from pruneproof.prune import Masks, inspect_model, magnitude, sparsify


class Tagger(nn.Module):
    """Five steps of a recurrent layer of width 8 and a linear layer to 3 classes: 5·4·8·(8 + 8) + 24 products."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.recurrent = nn.Embedding(20, 8), nn.LSTM(8, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(self.embedding(x))[0][:, -1])


class Block(nn.Module):
    """Attention over 5 tokens of width 8, then a linear layer: 5·(24 + 8)·8 + 2·5·5·8 + 5·24 products."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0])


class Listed(nn.Module):
    """Two matrices in a list, 8 × 6 and 4 × 8, and a scale by name; then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.matrices = nn.ParameterList([torch.randn(8, 6), torch.randn(4, 8)])
        self.scales = nn.ParameterDict({"all": torch.ones(4)})
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        for matrix in self.matrices:
            x = torch.relu(x @ matrix.T)
        return self.head(x * self.scales["all"])


class VisionTransformer(nn.Module):
    """Four patches of an image of 3 × 8 × 8 and a class token, attention of width 8, three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 4, stride=4), nn.Parameter(torch.zeros(1, 1, 8))
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token, self.patches(x).flatten(2).transpose(1, 2)], 1)
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0][:, 0])


PATCHES, PROJECTIONS, PRODUCTS = 4 * 8 * 48, 5 * (24 + 8) * 8, 2 * 5 * 5 * 8
TOTALS = {  # model, inputs, numbers that it holds, products
    "a list of parameters": (Listed, (1, 6), 8 * 6 + 4 * 8 + 4 + 12 + 3, 48 + 32 + 12),
    "a recurrent network": (
        Tagger,
        (torch.zeros(1, 5, dtype=torch.long),),
        20 * 8 + 2 * 4 * 8 * 8 + 2 * 4 * 8 + 24 + 3,
        5 * 4 * 8 * (8 + 8) + 24,
    ),
    "attention": (Block, (1, 5, 8), 24 * 8 + 24 + 8 * 8 + 8 + 24 + 3, PROJECTIONS + PRODUCTS + 5 * 24),
    "a vision transformer": (
        VisionTransformer,
        (1, 3, 8, 8),
        8 * 48 + 8 + 8 + 24 * 8 + 24 + 8 * 8 + 8 + 24 + 3,
        PATCHES + PROJECTIONS + PRODUCTS + 24,
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", TOTALS)
def test_bytes_and_products_counted_by_hand(kind: str, dtype: torch.dtype) -> None:
    model, inputs, numbers, products = TOTALS[kind]
    report = inspect_model(model().to(dtype), input_shape=inputs)
    assert report.dense_bytes == numbers * dtype.itemsize
    assert report.macs == (products, products) and report.uncounted == ()


def test_kept_products_of_a_matrix_in_a_list() -> None:
    """It is no layer's weight, so masks name it; half of the first matrix is kept."""
    masks = Masks({"matrices.0": torch.arange(48).reshape(8, 6) % 2 == 0})
    report = inspect_model(Listed(), masks, input_shape=(1, 6))
    assert report.macs == (24 + 32 + 12, 48 + 32 + 12) and report.dense_bytes == 4 * 99


class Autoencoder(nn.Module):
    """Decodes by the transposed weight of its encoder: 32 products each way."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(torch.relu(self.encoder(x)), self.encoder.weight.t())


def test_products_of_a_recurrent_network() -> None:
    """A user counts the multiplications of a tagger: 2584, not the 24 of its last layer; or no total."""
    counted = inspect_model(Tagger(), input_shape=(torch.zeros(1, 5, dtype=torch.long),)).macs
    assert counted is None or counted[1] == 2584


def test_products_of_an_attention_block() -> None:
    """A user counts the multiplications of an attention block: all projections (and softmax products), or none."""
    counted = inspect_model(Block(), input_shape=(1, 5, 8)).macs
    assert counted is None or counted[1] in (5 * 32 * 8 + 120, 5 * 32 * 8 + 2 * 5 * 5 * 8 + 120)


def test_products_of_a_weight_that_is_used_twice() -> None:
    """A user counts the multiplications of a tied autoencoder: 64, not those of its encoder alone; or no total."""
    counted = inspect_model(Autoencoder(), input_shape=(1, 8)).macs
    assert counted is None or counted[1] == 64


class Crossed(nn.Module):
    """Queries of another length than keys: the projections are used in parts."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x[:, :2], x, x)[0]


def test_kept_products_of_a_projection_used_in_parts() -> None:
    """Only query weights are kept: 2 positions times the kept third of the projection, and all of the rest."""
    model = Crossed()
    mask = torch.arange(24)[:, None].expand(24, 8) < 8
    report = inspect_model(model, Masks({"attention.in_proj_weight": mask}), input_shape=(1, 5, 8))
    (projection,) = [layer for layer in report.layers if layer.name == "attention.in_proj_weight"]
    assert (projection.kept_macs, projection.macs) == (2 * 64, 2 * 64 + 5 * 128)
    assert report.other_macs == 2 * 2 * 5 * 8


class Scaled(nn.Module):
    """Multiplies by something made from a weight: what is kept of the products cannot be told."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.linear(x, self.layer.weight * 2))


def test_what_cannot_be_counted_is_named_and_there_is_no_total() -> None:
    report = inspect_model(Scaled(), input_shape=(1, 8))
    assert report.macs is None and report.uncounted == ("layer.weight",)
    assert [layer.macs for layer in report.layers] == [None, 24]


def test_a_layer_that_is_not_called_is_named_too() -> None:
    model = nn.Sequential(nn.Linear(8, 3))
    model.unused = nn.Linear(4, 4)
    model.forward = lambda x: model[0](x)  # pyright: ignore[reportAttributeAccessIssue]
    assert inspect_model(model, input_shape=(1, 8)).uncounted == ("unused.weight",)


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_products_of_other_recurrent_layers(kind: type[nn.Module]) -> None:
    gates = 3 if kind is nn.GRU else 1
    report = inspect_model(kind(6, 8, batch_first=True), input_shape=(1, 5, 6))
    assert report.macs == (5 * gates * 8 * (6 + 8), 5 * gates * 8 * (6 + 8))


def test_the_printed_total_of_a_normed_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user prunes a checkpoint with weight norm: "all" means all 320 weights, or the rest is named."""
    (tmp_path / "nets_of_the_totals.py").write_text(
        "from torch import nn\nfrom torch.nn.utils.parametrizations import weight_norm\n"
        "def net():\n    return nn.Sequential(weight_norm(nn.Linear(16, 16)), nn.ReLU(), nn.Linear(16, 4))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(16, 16))
    save_model(nn.Sequential(normed, nn.ReLU(), nn.Linear(16, 4)), str(tmp_path / "dense.st"))
    arguments = ["--factory", "nets_of_the_totals:net", "--density", "0.1", "--out", str(tmp_path / "pruned.st")]
    main(["prune", str(tmp_path / "dense.st"), *arguments])
    said = capsys.readouterr()
    assert "320" in said.out or "0.weight" in said.out + said.err or "parametriz" in said.out + said.err


def test_a_convolution_in_a_pattern() -> None:
    """A user prunes a convolution to 2:4 and reads what to expect: what is promised is there after `sparsify`."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 8))
    masks = magnitude(model, scope="2:4")
    masks.apply_(model)
    promised = "after sparsify" in inspect_model(model, input_shape=(1, 4, 3, 3)).layers[0].speed
    assert promised == (type(sparsify(model, masks)[0]) is not nn.Conv2d)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_inspecting_in_training_mode_leaves_the_state_alone() -> None:
    """A user inspects a spectrally normed network between two training steps; its power iteration must not advance."""
    torch.manual_seed(0)
    model = nn.Sequential(spectral_norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 3)).train()
    before = state(model)
    inspect_model(model)
    after = model.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def test_inspecting_with_inputs_leaves_the_state_alone() -> None:
    """The same user also counts multiplications; the state is that of before, buffers included."""
    torch.manual_seed(0)
    model = nn.Sequential(spectral_norm(nn.Conv2d(2, 4, 3)), nn.Flatten(), nn.Linear(4, 3)).train()
    before = state(model)
    inspect_model(model, input_shape=(1, 2, 3, 3))
    after = model.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
