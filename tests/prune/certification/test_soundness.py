"""No point of a ball ever violates its certificate: random pairs of networks, random points, corners, gradient ascent.

Here runs a slice; `make fuzz` runs the same laws on as many cases as one likes.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pruneproof.prune.certification import back_substitution as substitution
from pruneproof.prune.certification import certify, certify_batches, region
from pruneproof.prune.certification import interval_bounds as enclosures
from pruneproof.prune.certification.graph import Add, Lipschitz, MaxPool, Step, float64_copy, trace_pair
from pruneproof.prune.certification.linear_maps import PairMap
from pruneproof.prune.certification.rounding import gamma
from tests import fuzz
from tests.prune.certification.attacks import NETWORKS, ascended, attack, in_ball, pair, violations


@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_random_point_violates(name: str, norm: str, method: str) -> None:
    certified = 0
    for seed in range(3):
        original, pruned, inputs = pair(name, seed)
        for radius in (0.02, 0.2, 1.0):
            record = certify(original, pruned, inputs, radius=radius, norm=norm, method=method)
            points = inputs + in_ball(inputs.shape, radius, norm)
            assert not violations(record, original, pruned, points)
            certified += int(record.certified.sum())
    assert certified  # the law was exercised on something


@pytest.mark.parametrize("name", ["relu", "residual", "max_pool"])
def test_gradient_ascent_finds_no_violation(name: str) -> None:
    radius = 0.2
    for seed in range(3):
        original, pruned, inputs = pair(name, seed)
        record = certify(original, pruned, inputs, radius=radius)
        points = ascended(record, original, pruned, inputs, in_ball(inputs.shape, radius, "inf"))
        assert not violations(record, original, pruned, points)


def test_a_tightened_bound_is_refused() -> None:
    """The false twin: the same search against 60 % of the bound, at a radius where the bound is nearly tight."""
    original, pruned, inputs = pair("relu", 0)
    record = certify(original, pruned, inputs, radius=0.02)
    tightened = replace(record, error_bound=0.6 * record.error_bound)
    points = inputs + in_ball(inputs.shape, 0.02, "inf")
    assert violations(tightened, original, pruned, points)


def _without_slack(patch: pytest.MonkeyPatch) -> None:
    """The same bounds as if floats were exact; the network's own roundings then look like misreadings."""
    patch.setattr(region, "check_trace", lambda *arguments, **options: None)
    for module in (enclosures, substitution):
        free: dict[str, Any] = {"UNIT": 0.0, "TINY": 0.0, "LIBRARY_ERROR": 0.0, "gamma": lambda terms: 0.0}
        free |= {"up": lambda x: x, "down": lambda x: x}
        free["centre"] = lambda low, high: (0.5 * (low + high), 0.5 * (high - low))
        for name in free.keys() & vars(module).keys():
            patch.setattr(module, name, free[name])


def _magnitude(steps: list[Step], reach: Tensor) -> Tensor:
    """The largest that any sum of magnitudes gets on the way to the outputs."""
    reaches = [reach]
    for step in steps[1:]:
        given = [reaches[parent] for parent in step.parents]
        layer = step.operation
        if isinstance(layer, PairMap):
            sizes, offsets = layer.slack, layer.offset
            size = None if sizes is None else torch.maximum(sizes[0], sizes[1])
            image = layer.apply(size, given[0])
            reaches.append(image if offsets is None else image + torch.maximum(offsets[0], offsets[1]))
        elif isinstance(layer, MaxPool):
            reaches.append(functional.max_pool2d(given[0], *layer.settings))
        else:
            reaches.append(given[0] + given[1] if isinstance(layer, Add) else given[0])
    return torch.stack([reach.abs().amax() for reach in reaches]).amax()


@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_rounding_is_charged_and_costs_little(
    name: str, norm: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step errs by at most γ of the largest sum of magnitudes, and the library's error; 64 for all that meets it."""
    original, pruned, inputs = pair(name, 0)
    radius = 0.05
    minimum: Callable[..., Tensor] = vars(substitution)[
        "_minimum"
    ]  # of two relaxations that tie, take one and the same
    monkeypatch.setattr(substitution, "_minimum", lambda *terms: minimum(*terms).round(decimals=9))
    record = certify(original, pruned, inputs, radius=radius, norm=norm, method=method)
    steps = trace_pair(float64_copy(original), float64_copy(pruned), {}, inputs.shape[1:])
    terms = max(step.operation.terms for step in steps if isinstance(step.operation, PairMap))
    library = 2.0**-40 if any(isinstance(step.operation, Lipschitz) for step in steps) else 0.0
    limit = 64 * len(steps) * (gamma(terms) + library) * (1 + float(_magnitude(steps, inputs.abs() + radius)))
    _without_slack(monkeypatch)
    bare = certify(original, pruned, inputs, radius=radius, norm=norm, method=method)
    for charged in (record.error_bound - bare.error_bound, bare.margin - record.margin):
        assert (charged >= 0).all() and charged.any()
        assert (charged <= limit).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_an_inputs_certificate_does_not_depend_on_those_beside_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches, and the units treated at a time, decide how sums are rounded, and nothing else."""
    original, pruned, inputs = pair(name, 1)
    together = certify(original, pruned, inputs, radius=0.1)
    monkeypatch.setattr(substitution, "WORKSPACE", 64)
    monkeypatch.setattr(substitution, "PADDING", 8)
    for batch in (1, 3):
        parts = list(certify_batches(original, pruned, inputs, radius=0.1, batch=batch))
        assert [len(part.certified) for part in parts] == [len(part) for part in inputs.split(batch)]
        apart = region.joined(parts)
        assert torch.equal(apart.certified, together.certified)
        for column in ("error_bound", "margin", "pruned_margin"):
            assert torch.allclose(getattr(apart, column), getattr(together, column), rtol=1e-9, atol=1e-12)


def test_a_short_run_of_the_fuzz_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(24) == 0
    told = capsys.readouterr().out
    assert told.startswith("seeds 0 to 2,") and "24 balls" in told and "evaluated exactly" in told
    assert "wrong answers: 0" in told


def test_an_exact_evaluation_refutes_a_bound_that_is_too_small(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The negative control: the same attack on bounds cut to a tenth; every seed is tried all the same."""

    def tightened(*arguments: Any, **settings: Any) -> Any:
        record = certify(*arguments, **settings)
        return replace(record, error_bound=0.1 * record.error_bound) if settings.get("radius") else record

    monkeypatch.setattr("tests.prune.certification.attacks.certify", tightened)
    with pytest.raises(AssertionError, match="seed 0"):
        attack(0)
    assert fuzz.main(16) == 1
    told = capsys.readouterr().out
    assert "WRONG seed 0" in told and "WRONG seed 1" in told and "16 balls" in told


def test_an_interrupted_run_says_what_was_tried_and_how_to_continue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(seed: int) -> Counter[str]:
        if seed == 2:
            raise KeyboardInterrupt
        return attack(seed)

    monkeypatch.setattr(fuzz, "attack", interrupted)
    assert fuzz.main(80) == 130
    told = capsys.readouterr().out
    assert "seeds 0 to 1," in told and "16 balls" in told
    assert "tests/fuzz.py 64 --first 2" in told
