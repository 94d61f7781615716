# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
"""A refused call leaves the model as it was: every check comes before the first change."""

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import nn

from pruneproof import prune
from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, to_torch_prune
from pruneproof.testing.purity import difference, fingerprint


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def unchanged(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    same = (torch.equal(tensor.float(), before[name].float()) for name, tensor in model.state_dict().items())
    return all(same)


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_model_is_enforced_or_left_alone() -> None:
    """A user enforces masks on a scripted model: they hold, or the library refuses and changes nothing."""
    torch.manual_seed(0)
    model = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    before = state(model)
    try:
        Masks({"0.weight": torch.eye(4) > 0}).enforce(model)
    except PruneproofError:
        assert unchanged(model, before)
    else:
        assert int(model.state_dict()["0.weight"].count_nonzero()) == 4


FIRST, SECOND = torch.eye(8) > 0, torch.ones(2, 8, dtype=torch.bool)
ACTIONS: dict[str, Callable[[Masks, nn.Module], object]] = {"apply": Masks.apply_, "enforce": Masks.enforce}


@pytest.mark.parametrize("name", ACTIONS)
def test_a_dtype_that_cannot_be_masked_comes_second(name: str) -> None:
    """A user masks two layers, the second stored in eight bits: both are masked, or neither is and he is told."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    model[1].weight = nn.Parameter(model[1].weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    before = state(model)
    try:
        ACTIONS[name](Masks({"0.weight": FIRST, "1.weight": SECOND}), model)
    except PruneproofError as error:
        assert "1.weight" in str(error) and unchanged(model, before)
    else:
        assert int(model[0].weight.count_nonzero()) == 8


def shared_memory(model: nn.Module) -> None:
    model[1].weight = nn.Parameter(torch.ones(1, 8).expand(2, 8), requires_grad=False)


def made_in_inference_mode(model: nn.Module) -> None:
    with torch.inference_mode():
        model[1].weight = nn.Parameter(torch.ones(2, 8), requires_grad=False)


def in_compressed_rows(model: nn.Module) -> None:
    model[1].weight = nn.Parameter(torch.ones(2, 8).to_sparse_csr())


def in_eight_bits(model: nn.Module) -> None:
    model[1].weight = nn.Parameter(torch.ones(2, 8).to(torch.float8_e4m3fn), requires_grad=False)


ACTIONS["hand over"] = lambda masks, model: to_torch_prune(model, masks)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("spoil", [shared_memory, made_in_inference_mode, in_compressed_rows, in_eight_bits])
@pytest.mark.parametrize("name", ACTIONS)
def test_a_weight_that_cannot_be_masked_is_named_before_another_is(
    name: str, spoil: Callable[[nn.Module], None]
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    spoil(model)
    first = model[0].weight.detach().clone()
    with pytest.raises(PruneproofError, match=r"1\.weight"):
        ACTIONS[name](Masks({"0.weight": FIRST, "1.weight": SECOND}), model)
    assert torch.equal(model[0].weight, first) and "0.weight" in model.state_dict()
    model[0](torch.ones(1, 8)).sum().backward()
    assert bool(model[0].weight.grad.all())  # no hook is left


BATCH = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
MASKS = Masks({"0.weight": FIRST, "1.weight": SECOND})
OTHERS = Masks({"0.weight": FIRST, "2.weight": SECOND})
OTHER = nn.Linear(8, 3)
REFUSED: dict[str, Callable[[nn.Module], object]] = {
    "magnitude": lambda m: prune.magnitude(m, density=2.0),
    "random": lambda m: prune.random(m, density=0.5, generator=torch.Generator(), exclude="nothing"),
    "snip": lambda m: prune.snip(m, lambda o, y: o.sum().detach(), BATCH, density=0.5),
    "grasp": lambda m: prune.grasp(m, lambda o, y: o, BATCH, density=0.5),
    "synflow": lambda m: prune.synflow(m, (1, 8), density=0.5, readout=lambda o: None),
    "wanda": lambda m: prune.wanda(m, BATCH[0], density=1e-9),
    "sipp": lambda m: prune.sipp(m, BATCH[0], density=0.0001, variant="det"),
    "pfp": lambda m: prune.pfp(m, BATCH[0], density=0.0),
    "imp": lambda m: prune.imp(m, lambda *a: None, [0.5], iterations=0),
    "greedy_subnetwork": lambda m: prune.greedy_subnetwork(m, BATCH[0], steps=0),
    "apply_": OTHERS.apply_,
    "enforce": OTHERS.enforce,
    "to_torch_prune": lambda m: to_torch_prune(m, OTHERS),
    "sparsify": lambda m: prune.sparsify(m, OTHERS),
    "connectivity": lambda m: prune.connectivity(m, OTHERS, (1, 8)),
    "inspect_model": lambda m: prune.inspect_model(m, OTHERS),
    "measure_speed": lambda m: prune.measure_speed(m, (1, 8), formats=("unheard of",)),
    "prunable": lambda m: prune.prunable(m, include="nothing"),
    "grasp_abs": lambda m: prune.grasp_abs(m, lambda o, y: o, BATCH, density=0.5),
    "calibrated": lambda m: prune.calibrated(m, [], density=0.5),
    "calibrated_sweep": lambda m: prune.calibrated_sweep(m, [], [0.5]),
    "certify": lambda m: prune.certify(m, OTHER, BATCH[0]),
    "certify_batches": lambda m: [*prune.certify_batches(m, OTHER, BATCH[0])],
    "certify_population": lambda m: prune.certify_population(m, m, BATCH[0], alpha=2.0),
    "predicted_error": lambda m: prune.predicted_error(m, BATCH[0], {"other.weight": torch.ones(2, 8)}),
    "propagated_error": lambda m: prune.propagated_error(m, OTHER, BATCH[0]),
    "reinitialize": lambda m: prune.reinitialize(m, generator=None),  # pyright: ignore[reportArgumentType]
    "prune_progressively": lambda m: prune.prune_progressively(m, prune.scores.magnitude, [0.5, 0.7]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_public_function_refuses_without_a_trace(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    before = fingerprint(model)
    with pytest.raises(PruneproofError, match=rf"^(Masks\.)?{name}[: ]"):
        REFUSED[name](model)
    assert difference(before, fingerprint(model)) is None


ELSEWHERE = {
    "make_permanent", "release",  # refuse nothing that is a module
    "from_torch_prune", "torch_pruning_importance",  # need models and libraries of their own: test_interop_*.py
}  # fmt: skip


def test_the_sweep_holds_every_function_that_takes_a_model() -> None:
    taking = set[str]()
    for name in prune.__all__:
        function = getattr(prune, name)
        if inspect.isfunction(function):
            first, *_ = inspect.signature(function).parameters
            taking |= {name} if first in ("model", "original") else set()
    assert taking - REFUSED.keys() == ELSEWHERE
