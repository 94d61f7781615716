"""`ablation_study`: every variant is trained once, from the same network, under the masks that its name says."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidTypeError, PruneproofError
from pruneproof.prune import AblationStudy, ablation_study, magnitude, scores

DENSITIES = [0.5, 0.25]
Weights = dict[str, Tensor]


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4))


def two_networks() -> Callable[[], nn.Module]:
    generator = torch.Generator().manual_seed(3)

    def build() -> nn.Module:
        model = perceptron()
        for parameter in model.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        return model

    return build


def copied(model: nn.Module) -> Weights:
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.ndim == 2}


def recorded(**options: object) -> tuple[AblationStudy, list[Weights]]:
    """A study whose training changes every weight, and the weights that each training began with."""
    seen: list[Weights] = []

    def train(model: nn.Module) -> None:
        seen.append(copied(model))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.ones(1, 6)).square().sum().backward()
            optimizer.step()

    def kept(model: nn.Module) -> float:
        return float(sum(int(weight.count_nonzero()) for weight in copied(model).values()))

    return ablation_study(two_networks(), train, kept, DENSITIES, **options), seen  # pyright: ignore[reportArgumentType]


def test_every_score_density_and_ablation_is_trained_once_per_repeat() -> None:
    study, _ = recorded(repeats=2, scores={"a": scores.magnitude, "b": scores.magnitude})
    assert len(study.rows) == 2 * (1 + 2 * len(DENSITIES) * 4)
    assert len(set((row.repeat, row.score, row.ablation, row.density) for row in study.rows)) == len(study.rows)


def test_pruned_weights_stay_zero_through_training_in_every_variant() -> None:
    study, _ = recorded()
    total = 6 * 10 + 10 * 4
    assert {row.density: row.value for row in study.rows} == {1.0: total, 0.5: total * 0.5, 0.25: total * 0.25}


def by_variant(study: AblationStudy, seen: list[Weights], density: float) -> Mapping[str, Weights]:
    rows = zip(study.rows, seen, strict=True)
    return {row.ablation: weights for row, weights in rows if row.density in (density, 1.0) and row.repeat == 0}


@pytest.mark.parametrize("density", DENSITIES)
def test_each_ablation_changes_what_its_name_says_and_nothing_else(density: float) -> None:
    study, seen = recorded()
    dense = seen[0]
    start = by_variant(study, seen, density)
    masks = magnitude(two_networks()(), density=density)
    for name, mask in masks.items():
        assert torch.equal(start["none"][name], dense[name] * mask)
        kept = start["shuffle"][name] != 0
        assert int(kept.sum()) == masks.counts[name] and not torch.equal(kept, mask)
        assert torch.equal(start["shuffle"][name], dense[name] * kept)
        assert torch.equal(start["reinitialize"][name] != 0, mask)
        assert not torch.equal(start["reinitialize"][name], start["none"][name])
    kept = torch.cat([weights.abs()[weights != 0] for weights in start["invert"].values()])
    smallest = torch.cat([weights.abs().flatten() for weights in dense.values()]).sort().values[: len(kept)]
    assert torch.equal(kept.sort().values, smallest)


def test_the_same_generator_gives_the_same_study_and_another_one_does_not() -> None:
    def start(seed: int) -> list[Tensor]:
        _, seen = recorded(generator=torch.Generator().manual_seed(seed))
        return [torch.cat([weight.flatten() for weight in weights.values()]) for weights in seen]

    first, again, other = start(0), start(0), start(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_table_and_the_figure_show_the_rows() -> None:
    study, _ = recorded(repeats=2)
    assert len(study.summary().splitlines()) == 1 + 1 + len(DENSITIES) * 4
    pytest.importorskip("matplotlib", reason="needs pruneproof[verify]")
    [panel] = study.figure().axes
    drawn = {line.get_label(): np.asarray(line.get_xydata()) for line in panel.get_lines()}
    assert set(drawn) == {"dense", "as scored", "shuffle", "reinitialize", "invert"}
    assert drawn["invert"].tolist() == [[0.5, 50.0], [0.25, 25.0]]


@pytest.mark.parametrize(
    ("densities", "options"),
    [([], {}), ([0.5], {"scores": {}}), ([0.5], {"repeats": 0}), ([0.5, 1.5], {}), ([1e-6], {}),
     ([0.5], {"scores": {"dense": scores.magnitude}})],
)  # fmt: skip
def test_misuse_is_refused_before_anything_is_trained(densities: list[float], options: dict[str, object]) -> None:
    def train(model: nn.Module) -> None:
        raise AssertionError("was trained")

    with pytest.raises(PruneproofError, match="ablation_study"):
        ablation_study(perceptron, train, lambda model: 0.0, densities, **options)  # pyright: ignore[reportArgumentType]


def test_a_build_that_returns_no_module_is_named() -> None:
    with pytest.raises(InvalidTypeError, match="ablation_study: build"):
        ablation_study(lambda: None, lambda model: None, lambda model: 0.0, [0.5])  # pyright: ignore[reportArgumentType]
