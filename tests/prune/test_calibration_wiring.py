"""Calibrated pruning by hooks: any wiring gives the masks of running the whole model, and nothing else is touched."""

import copy
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import FileAccessError, InvalidValueError, PruneproofError
from pruneproof.prune import BlockProgress, calibrated, calibrated_sweep, wanda
from pruneproof.prune.calibration import block_by_block
from pruneproof.prune.calibration.survey import Survey
from pruneproof.theory.statistics.exact_tests import tail
from tests.prune.hugging_face import transformers
from tests.test_files import room_for

SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50,
}  # fmt: skip


def tokens(length: int = 7) -> Tensor:
    return torch.randint(0, 50, (4, length))


def bert() -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 6 + [0], [1] * 7])
    return transformers.BertModel(transformers.BertConfig(**SMALL)), lambda: {
        "input_ids": tokens(),
        "attention_mask": mask,
    }


def llama() -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    """A decoder, whose blocks write into a key-value cache that is handed to all of them."""
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_key_value_heads=1, **SMALL)), lambda: {
        "input_ids": tokens()
    }


def gpt2() -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    """Layers that store inputs first, and a head tied to the embedding."""
    config = transformers.GPT2Config(
        vocab_size=50, n_positions=16, n_embd=16, n_layer=3, n_head=2, bos_token_id=1, eos_token_id=2
    )
    return transformers.GPT2LMHeadModel(config), lambda: {"input_ids": tokens()}


def t5() -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    """An encoder whose output every block of the decoder reads."""
    sizes = {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes))
    return model, lambda: {"input_ids": tokens(), "decoder_input_ids": tokens(5)}


def albert() -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    """One block, called three times."""
    return transformers.AlbertModel(transformers.AlbertConfig(embedding_size=8, **SMALL)), lambda: {
        "input_ids": tokens()
    }


def vit() -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    small = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    model = transformers.ViTModel(transformers.ViTConfig(image_size=8, patch_size=4, **small))
    return model, lambda: {"pixel_values": torch.randn(4, 3, 8, 8)}


class Skipping(nn.Module):
    """A U-Net in little: what the first block gives, the last one reads too."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(12, 6)])

    def forward(self, x: Tensor) -> Tensor:
        first = self.down[0](x).relu()
        return self.down[2](torch.cat([self.down[1](first).relu(), first], 1))


class Overwriting(nn.Module):
    """Blocks that write into what they are given, and a counter in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 6)) for _ in range(3)])
        self.norm = nn.BatchNorm1d(6)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("calls").add_(1)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 5)
    )


MODELS: dict[str, Callable[[], tuple[nn.Module, Callable[[], Any]]]] = {
    "bert": bert,
    "llama": llama,
    "gpt2": gpt2,
    "t5": t5,
    "albert": albert,
    "vit": vit,
    "skipping": lambda: (Skipping(), lambda: torch.randn(4, 6)),
    "overwriting": lambda: (Overwriting(), lambda: torch.randn(4, 6)),
    "convolutional": lambda: (convolutional(), lambda: torch.randn(4, 3, 4, 4)),
}
CHAINED = {"bert": 2, "llama": 2, "gpt2": 2, "t5": 2, "vit": 2, "overwriting": 2, "convolutional": 2}


def made(name: str) -> tuple[nn.Module, list[Any]]:
    torch.manual_seed(0)
    model, batch = MODELS[name]()
    return model, [batch() for _ in range(3)]


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
@pytest.mark.parametrize("name", MODELS)
def test_blocks_on_stored_inputs_give_the_masks_of_running_the_whole_model(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batches = made(name)
    other, surveyed = copy.deepcopy(model), list[Survey]()
    survey = block_by_block.survey

    def watched(*arguments: Any, **named: Any) -> Survey:
        surveyed.append(survey(*arguments, **named))
        return surveyed[-1]

    def without_storing(*arguments: Any, **named: Any) -> Survey:
        found = survey(*arguments, **named)
        found.replayable.clear()
        return found

    monkeypatch.setattr(block_by_block, "survey", watched)
    first = calibrated(model, batches, method=method, density=0.5, held_out=batches[:1])
    monkeypatch.setattr(block_by_block, "survey", without_storing)
    second = calibrated(other, batches, method=method, density=0.5, held_out=batches[:1])
    order = surveyed[0].order
    assert sum(surveyed[0].follows(b, a) for a, b in itertools.pairwise(order)) >= CHAINED.get(name, 0)
    assert first.masks == second.masks
    assert first.layers == second.layers
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_modes_hooks_buffers_and_other_weights_are_as_before(name: str) -> None:
    model, batches = made(name)
    model.train()
    next(iter(model.children())).eval()
    modes = [module.training for module in model.modules()]
    before, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    inputs = copy.deepcopy(batches)
    result = calibrated(model, batches, density=0.5)
    assert [module.training for module in model.modules()] == modes
    assert hooks(model) == 0
    assert torch.equal(torch.get_rng_state(), generator)
    after, names = model.state_dict(), {id(model.get_parameter(name)) for name in result.masks}
    for key, value in before.items():
        if key in result.masks:
            assert torch.equal(after[key], value * result.masks[key])
        elif id(dict(model.named_parameters(remove_duplicate=False)).get(key)) not in names:
            assert torch.equal(after[key], value)
    for batch, copied in zip(batches, inputs, strict=True):
        pairs = zip(batch.values(), copied.values(), strict=True) if isinstance(batch, dict) else [(batch, copied)]
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_block_that_is_called_several_times_is_measured_over_all_calls_and_pruned_once() -> None:
    torch.manual_seed(0)
    layer, data = nn.Linear(6, 6), torch.randn(32, 6)

    class Repeated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.layer(x).tanh()
            return x

    dense, read = layer.weight.detach().clone(), [data]
    with torch.no_grad():
        for _ in range(2):
            read.append(layer(read[-1]).tanh())
    masks = calibrated(Repeated(), [data], density=0.5).masks
    score = dense.abs() * torch.cat(read).norm(dim=0)
    highest = score >= score.sort(1, descending=True).values[:, 2:3]
    assert torch.equal(masks["layer.weight"], highest)


def test_layers_that_share_a_weight_are_pruned_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    third = model[4]
    assert isinstance(third, nn.Linear)
    third.weight = model[0].weight  # type: ignore[assignment]
    result = calibrated(model, [torch.randn(32, 6)], density=0.5)
    assert list(result.masks) == ["0.weight", "2.weight"]
    assert model[4].weight is model[0].weight
    assert [report.name for report in result.layers] == ["0.weight", "2.weight"]


def test_padding_counts_neither_for_masks_nor_for_errors() -> None:
    model, batches = made("bert")
    other, filled = copy.deepcopy(model), copy.deepcopy(batches)
    for batch in filled:
        batch["input_ids"][batch["attention_mask"] == 0] = 7
    first = calibrated(model, batches, method="sparsegpt", density=0.5, exclude="pooler")
    second = calibrated(other, filled, method="sparsegpt", density=0.5, exclude="pooler")
    assert first.masks == second.masks
    for ours, theirs in zip(first.layers, second.layers, strict=True):
        assert ours.calibration_error == pytest.approx(theirs.calibration_error, rel=1e-5)


def test_the_head_of_a_language_model_and_tied_weights_stay_dense_by_default() -> None:
    model, batches = made("llama")
    assert calibrated(model, batches, density=0.5).dense == ("lm_head.weight",)
    assert "lm_head.weight" in calibrated(model, batches, density=0.5, exclude=()).masks
    tied, batches = made("gpt2")
    result = calibrated(tied, batches, density=0.5)
    assert result.dense == ("lm_head.weight",)
    assert not {"lm_head.weight", "transformer.wte.weight"} & result.masks.keys()


@pytest.mark.parametrize("blocks", ["encoder.layer.*", ["encoder.layer.0", "encoder.layer.1", "encoder.layer.2"]])
def test_blocks_can_be_named(blocks: str | list[str]) -> None:
    model, batches = made("bert")
    other, done = copy.deepcopy(model), list[BlockProgress]()
    expected = calibrated(other, batches, density=0.5).masks
    assert calibrated(model, batches, density=0.5, blocks=blocks, progress=done.append).masks == expected
    assert [block.name for block in done] == [*(f"encoder.layer.{i}" for i in range(3)), "pooler.dense"]
    assert [(block.index, block.total) for block in done] == [(i, 4) for i in (1, 2, 3, 4)]


REFUSED: dict[str, tuple[Callable[[nn.Module, list[Any]], object], type[Exception], str]] = {
    "none": (lambda m, b: calibrated(m, [], density=0.5), ValueError, "no calibration batch"),
    "one": (lambda m, b: calibrated(m, b[0], density=0.5), TypeError, "a list of batches"),
    "text": (
        lambda m, b: calibrated(m, list[Any](["x"]), density=0.5),
        TypeError,
        "batch 0 of batches must be a tensor",
    ),
    "shape": (lambda m, b: calibrated(m, [*b, torch.ones(2, 5)], density=0.5), RuntimeError, "the model on batch 3"),
    "held out": (
        lambda m, b: calibrated(m, b, held_out=[torch.ones(5)], density=0.5),
        RuntimeError,
        "the model on batch 3",
    ),
    "nan": (lambda m, b: calibrated(m, [*b, b[0] * torch.nan], density=0.5), ValueError, r"NaN reaches layers\.0\.1"),
    "row": (lambda m, b: calibrated(m, b, density=0.01), ValueError, r"empties every row of layers\.0\.1\.weight"),
    "density": (lambda m, b: calibrated(m, b, density=1.5), PruneproofError, "density"),
    "no density": (lambda m, b: calibrated(m, b), PruneproofError, "density"),
    "scope": (lambda m, b: calibrated(m, b, density=0.5, scope="global"), ValueError, 'scope must be "row"'),
    "pattern": (lambda m, b: calibrated(m, b, scope="2:4"), ValueError, r"length that 4 divides.*layers\.0\.1\.weight"),
    "method": (lambda m, b: calibrated(m, b, density=0.5, method="wand"), ValueError, "one of magnitude, wanda"),
    "damping": (lambda m, b: calibrated(m, b, density=0.5, damping=0.0), ValueError, "damping must be positive"),
    "exclude": (lambda m, b: calibrated(m, b, density=0.5, exclude="head"), KeyError, "'head' matches no"),
    "everything": (lambda m, b: calibrated(m, b, density=0.5, exclude="layers"), KeyError, "leave nothing to prune"),
    "blocks": (lambda m, b: calibrated(m, b, density=0.5, blocks="block.*"), KeyError, "names no module"),
    "alpha": (lambda m, b: calibrated(m, b, density=0.5, alpha=0.0), ValueError, "alpha must lie"),
    "densities": (lambda m, b: calibrated_sweep(m, b, []), TypeError, "a list of densities"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_before_anything_changes(case: str) -> None:
    call, kind, message = REFUSED[case]
    model, batches = made("overwriting")
    model.train()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(kind, match=message):
        call(model, batches)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert hooks(model) == 0
    assert all(module.training for module in model.modules())


def test_an_activation_that_is_not_a_number_is_named_with_its_layer_and_batch() -> None:
    model, batches = made("bert")
    with torch.no_grad():
        model.get_parameter("encoder.layer.1.output.LayerNorm.bias").fill_(torch.inf)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"reaches encoder\.layer\.2\.attention\.self\.query\.weight in batch 0"):
        calibrated(model, batches, density=0.5)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
def test_a_batch_without_examples_is_refused(method: Literal["wanda", "sparsegpt"]) -> None:
    with pytest.raises(InvalidValueError, match=r"calibrated: the batch has no example.*\(0, 4\)"):
        calibrated(nn.Linear(4, 4), [torch.randn(0, 4)], density=0.5, method=method)
    with pytest.raises(InvalidValueError, match="wanda: the batch has no example"):
        wanda(nn.Linear(4, 4), torch.randn(0, 4), density=0.5)


def test_a_layer_that_no_batch_reaches_is_refused_by_name() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x) if len(x) < 100 else self.second(x)

    with pytest.raises(NotImplementedError, match=r"does not call the layers of second\.weight"):
        calibrated(Branches(), [torch.randn(8, 4)], density=0.5)
    assert list(calibrated(Branches(), [torch.randn(8, 4)], density=0.5, exclude="second").masks) == ["first.weight"]


def test_projections_of_torch_attention_are_refused_by_name() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with pytest.raises(NotImplementedError, match=r"self_attn\.in_proj_weight"):
        calibrated(model, [torch.randn(2, 5, 8)], density=0.5)
    result = calibrated(model, [torch.randn(2, 5, 8)], density=0.5, exclude="self_attn")
    assert list(result.masks) == ["linear1.weight", "linear2.weight"]


class Interrupt:
    """Ctrl-C after some blocks."""

    def __init__(self, blocks: int) -> None:
        self.blocks, self.seen = blocks, list[BlockProgress]()

    def __call__(self, block: BlockProgress) -> None:
        self.seen.append(block)
        if len(self.seen) == self.blocks:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
@pytest.mark.parametrize("same_model", [True, False])
def test_an_interrupted_pruning_goes_on_behind_the_finished_blocks(
    method: str, same_model: bool, tmp_path: Path
) -> None:
    dense, batches = made("bert")
    whole, model = copy.deepcopy(dense), copy.deepcopy(dense)
    expected = calibrated(whole, batches, method=method, density=0.5, held_out=batches[:2])
    with pytest.raises(KeyboardInterrupt):
        calibrated(
            model, batches, method=method, density=0.5, held_out=batches[:2], resume=tmp_path, progress=Interrupt(2)
        )
    for name, value in model.state_dict().items():  # finished blocks are pruned, the others as they were
        finished = name.startswith(("encoder.layer.0.", "encoder.layer.1."))
        assert torch.equal(value, (whole if finished else dense).state_dict()[name])
    if not same_model:
        model = copy.deepcopy(dense)
    done = list[BlockProgress]()
    result = calibrated(
        model, batches, method=method, density=0.5, held_out=batches[:2], resume=tmp_path, progress=done.append
    )
    assert [block.resumed for block in done] == [True, True, False, False]
    assert result.masks == expected.masks
    assert result.layers == expected.layers
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), whole.state_dict().values(), strict=True))


def test_a_disk_that_fills_up_leaves_no_half_block_and_the_model_as_the_finished_blocks_left_it(tmp_path: Path) -> None:
    """The second block is larger than what is left; with room again, the same call goes on behind the first."""
    torch.manual_seed(0)
    dense, batches = nn.Sequential(nn.Linear(8, 256), nn.Tanh(), nn.Linear(256, 64)), [torch.randn(512, 8)]
    model, whole = copy.deepcopy(dense), copy.deepcopy(dense)
    expected = calibrated(whole, batches, method="sparsegpt", density=0.5)
    with room_for(20_000), pytest.raises(FileAccessError, match="cannot be written"):
        calibrated(model, batches, method="sparsegpt", density=0.5, resume=tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["block-0000.safetensors", "plan.json"]
    assert torch.equal(model[0].get_parameter("weight"), whole[0].get_parameter("weight"))
    assert torch.equal(model[2].get_parameter("weight"), dense[2].get_parameter("weight"))
    done = list[BlockProgress]()
    again = calibrated(model, batches, method="sparsegpt", density=0.5, resume=tmp_path, progress=done.append)
    assert [block.resumed for block in done] == [True, False]
    assert again.masks == expected.masks
    assert torch.equal(model[2].get_parameter("weight"), whole[2].get_parameter("weight"))


def test_an_interrupted_block_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batches = made("bert")
    before = copy.deepcopy(model.state_dict())

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(block_by_block.OutputErrors, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        calibrated(model, batches, density=0.5)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert hooks(model) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda model, batches: {"density": 0.4},
        lambda model, batches: {"method": "magnitude"},
        lambda model, batches: {"batches": batches[:2]},
        lambda model, batches: {"scope": "layer"},
        lambda model, batches: {"model": model.get_parameter("encoder.layer.2.output.dense.weight").data.mul_(2)},
    ],
    ids=["density", "method", "batches", "scope", "model"],
)
def test_a_folder_of_another_pruning_is_refused(change: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    model, batches = made("bert")
    with pytest.raises(KeyboardInterrupt):
        calibrated(model, batches, density=0.5, resume=tmp_path, progress=Interrupt(1))
    options: dict[str, Any] = {"density": 0.5, "batches": batches}
    options |= {key: value for key, value in change(model, batches).items() if key != "model"}
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="holds another pruning"):
        calibrated(model, options.pop("batches"), resume=tmp_path, **options)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-9], lambda data: b"x" * 64])
def test_a_damaged_block_is_refused_by_its_path(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    model, batches = made("bert")
    with pytest.raises(KeyboardInterrupt):
        calibrated(model, batches, density=0.5, resume=tmp_path, progress=Interrupt(1))
    path = tmp_path / "block-0000.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(PruneproofError, match=r"block-0000\.safetensors"):
        calibrated(model, batches, density=0.5, resume=tmp_path)


@pytest.mark.alpha(1e-6)
def test_the_bound_for_new_items_fails_no_more_often_than_it_says(salted: Callable[..., int]) -> None:
    """Among held-out samples, a share of at most alpha + beta of bounds lies below the error of one new item."""
    torch.manual_seed(salted("layer"))
    dense, calibration = nn.Linear(12, 6), torch.randn(64, 12)
    above, low, runs = 0, 0, 300
    for run in range(runs):
        layer, generator = copy.deepcopy(dense), torch.Generator().manual_seed(salted("items", run))
        items = torch.randn(61, 12, generator=generator)
        held_out = items[:60]
        (report,) = calibrated(layer, [calibration], density=0.5, held_out=[held_out]).layers
        with torch.no_grad():
            outputs = nn.functional.linear(items, dense.weight)
            errors = (nn.functional.linear(items, layer.weight) - outputs).norm(dim=1) / outputs.norm(dim=1)
        assert report.new_item_bound is not None
        assert report.new_item_bound == pytest.approx(float(errors[:60].max()), rel=1e-4)  # 60 items: the largest
        above += bool(errors[60] > report.new_item_bound)
        low += bool(errors[60] > errors[:60].median())
    assert tail(above, runs, 0.05 + 0.05) > 1e-6
    assert tail(low, runs, 0.05 + 0.05) <= 1e-6  # the median is no such bound


class Moody(nn.Module):
    """A wiring that depends on the batch: large batches skip, pass a gate by name, or take another constant."""

    def __init__(self, mood: str) -> None:
        super().__init__()
        self.mood, self.layers = mood, nn.ModuleList(Gated() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        large, first = len(x) > 8, x
        for layer in self.layers:
            if large and self.mood == "skip":
                x = layer(x + first)
            elif large and self.mood == "name":
                x = layer(x, gate=first.abs())
            else:
                x = layer(x, power=2 if large and self.mood == "constant" else 1)
        return x


class Gated(nn.Module):
    """A layer with a gate or a power."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor, gate: Tensor | None = None, power: int = 1) -> Tensor:
        return self.linear(x if gate is None else x * gate).tanh() ** power


@pytest.mark.parametrize("mood", ["skip", "name", "constant"])
def test_a_wiring_that_changes_from_batch_to_batch_is_followed(mood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, batches = Moody(mood), [torch.randn(4, 6), torch.randn(20, 6)]
    other, survey = copy.deepcopy(model), block_by_block.survey

    def without_storing(*arguments: Any, **named: Any) -> Survey:
        found = survey(*arguments, **named)
        found.replayable.clear()
        return found

    first = calibrated(model, batches, density=0.5)
    monkeypatch.setattr(block_by_block, "survey", without_storing)
    second = calibrated(other, batches, density=0.5)
    assert first.masks == second.masks
    assert first.layers == second.layers
