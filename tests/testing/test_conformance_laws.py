"""Every law of `pruneproof.testing` is refused by an implementation that breaks it, and that breaks no other."""

import doctest
import importlib
import itertools
import math
from collections.abc import Callable, Mapping

import pytest
import sympy
import torch
from torch import Tensor, nn

from pruneproof import testing
from pruneproof.prune import Masks, prunable, scores, select
from pruneproof.testing import Law, LawBroken, bound_laws, kernel_laws, method_laws, samples, score_laws
from pruneproof.testing.sample_models import Batch
from pruneproof.theory import Assumption, Bound

Scored = dict[str, Tensor]


def broken(laws: tuple[Law, ...]) -> list[str]:
    """The names of the laws that are refused."""
    found: list[str] = []
    for law in laws:
        try:
            law()
        except LawBroken as error:
            assert str(error).startswith(f"{law.name} ({law.statement}): ")
            found.append(law.name)
    return found


def honest(model: nn.Module, batch: Batch) -> Scored:
    return scores.magnitude(model)


CALLS = itertools.count()


def nameless(model: nn.Module, batch: Batch) -> Scored:
    return {name: score for name, score in honest(model, batch).items() if name != "4.weight"}


def surplus(model: nn.Module, batch: Batch) -> Scored:
    return {**honest(model, batch), "0.bias": torch.ones(8)}


def flat(model: nn.Module, batch: Batch) -> Scored:
    return {name: score.flatten() for name, score in honest(model, batch).items()}


def whole_numbers(model: nn.Module, batch: Batch) -> Scored:
    return {name: (score * 1000).int() for name, score in honest(model, batch).items()}


def not_a_number(model: nn.Module, batch: Batch) -> Scored:
    return {name: score / 0 * 0 for name, score in honest(model, batch).items()}


def trains_batch_norm(model: nn.Module, batch: Batch) -> Scored:
    model.train()
    model(batch[0])
    model.train(False)
    return honest(model, batch)


def moves_statistics(model: nn.Module, batch: Batch) -> Scored:
    """The modes stay as they are; BatchNorm's statistics do not."""
    model(batch[0])
    return honest(model, batch)


def leaves_gradients(model: nn.Module, batch: Batch) -> Scored:
    next(model.parameters()).grad = torch.zeros_like(next(model.parameters()))
    return honest(model, batch)


def thaws(model: nn.Module, batch: Batch) -> Scored:
    model.requires_grad_(True)
    return honest(model, batch)


def leaves_a_hook(model: nn.Module, batch: Batch) -> Scored:
    model.register_forward_hook(lambda module, inputs, output: None)
    return honest(model, batch)


def draws(model: nn.Module, batch: Batch) -> Scored:
    torch.rand(1)
    return honest(model, batch)


def flips_a_zero(model: nn.Module, batch: Batch) -> Scored:
    """Equal by value, other bits."""
    state = list(model.state_dict().values())[1]
    state[0] = -0.0 if not state[0].signbit() else 0.0
    return honest(model, batch)


def counts_calls(model: nn.Module, batch: Batch) -> Scored:
    call = next(CALLS)
    return {name: score * (1 + call) for name, score in honest(model, batch).items()}


def first_come(model: nn.Module, batch: Batch) -> Scored:
    return {name: torch.arange(weight.numel()).double().view_as(weight) for name, weight in prunable(model).items()}


@pytest.mark.parametrize(
    ("score", "law"),
    [
        (nameless, "names"), (surplus, "names"), (flat, "names"), (whole_numbers, "names"), (not_a_number, "order"),
        (trains_batch_norm, "purity"), (moves_statistics, "purity"), (leaves_gradients, "purity"), (thaws, "purity"),
        (leaves_a_hook, "purity"), (draws, "purity"),
        (flips_a_zero, "purity"), (counts_calls, "determinism"), (first_come, "equivariance"),
    ],
)  # fmt: skip
def test_a_score_that_breaks_a_law_is_refused(score: Callable[[nn.Module, Batch], Scored], law: str) -> None:
    laws = {each.name: each for each in score_laws(score)}
    with pytest.raises(LawBroken, match=law):
        laws[law]()
    others = {"names", "order", "purity", "determinism"} - {law}
    if score not in (nameless, surplus, flat, not_a_number, trains_batch_norm, flips_a_zero):  # these break more
        assert not others & set(broken(score_laws(score, equivariant=False)))


@pytest.mark.parametrize("score", [nameless, surplus, flat, whole_numbers])
def test_scores_of_wrong_names_shapes_or_types_break_equivariance_by_a_law(score: Callable[..., Scored]) -> None:
    assert {"names", "equivariance"} <= set(broken(score_laws(score)))


def test_our_scores_obey() -> None:
    loss = nn.functional.cross_entropy
    ours: dict[str, Callable[[nn.Module, Batch], Mapping[str, Tensor]]] = {
        "magnitude": honest,
        "snip": lambda model, batch: scores.snip(model, loss, batch),
        "grasp": lambda model, batch: scores.grasp(model, loss, batch),
        "grasp_abs": lambda model, batch: scores.grasp_abs(model, loss, batch),
        "synflow": lambda model, batch: scores.synflow(model, (1, *batch[0].shape[1:])),
        "wanda": lambda model, batch: scores.wanda(model, batch[0]),
    }
    assert {name: broken(score_laws(score)) for name, score in ours.items()} == {name: [] for name in ours}


def random_scores(model: nn.Module, batch: Batch) -> Scored:
    return scores.random(model, generator=torch.Generator().manual_seed(1))


def test_a_random_score_is_not_equivariant() -> None:
    assert broken(score_laws(random_scores, equivariant=False)) == []
    assert broken(score_laws(random_scores)) == ["equivariance"]


def pruned(model: nn.Module, batch: Batch, density: float) -> Masks:
    return select(honest(model, batch), density=density)


def rounds_down(model: nn.Module, batch: Batch, density: float) -> Masks:
    total = sum(weight.numel() for weight in prunable(model).values())
    return select(honest(model, batch), count=max(1, int(density * total)))


def one_too_many(model: nn.Module, batch: Batch, density: float) -> Masks:
    """The published rule: everything above the threshold's own value, ties and all."""
    total = sum(weight.numel() for weight in prunable(model).values())
    return select(honest(model, batch), count=min(total, pruned(model, batch, density).count + 1))


def renamed(model: nn.Module, batch: Batch, density: float) -> Masks:
    return Masks({name.replace("weight", "bias"): mask for name, mask in pruned(model, batch, density).items()})


def zeroes_the_model(model: nn.Module, batch: Batch, density: float) -> Masks:
    masks = pruned(model, batch, density)
    masks.apply_(model)
    return masks


def another_each_time(model: nn.Module, batch: Batch, density: float) -> Masks:
    generator = torch.Generator().manual_seed(next(CALLS))
    return select(scores.random(model, generator=generator), density=density)


def another_at_each_density(model: nn.Module, batch: Batch, density: float) -> Masks:
    sign = 1 if density > 0.3 else -1
    return select({name: sign * score for name, score in honest(model, batch).items()}, density=density)


def by_index(model: nn.Module, batch: Batch, density: float) -> Masks:
    return select({name: torch.zeros_like(weight) for name, weight in prunable(model).items()}, density=density)


@pytest.mark.parametrize(
    ("method", "laws"),
    [
        (rounds_down, ["counts"]), (one_too_many, ["counts"]), (zeroes_the_model, ["purity"]),
        (renamed, ["names", "equivariance"]),
        (another_each_time, ["determinism", "nestedness", "equivariance"]), (another_at_each_density, ["nestedness"]),
        (by_index, ["equivariance"]), (pruned, []),
    ],
)  # fmt: skip
def test_a_method_that_breaks_a_law_is_refused(
    method: Callable[[nn.Module, Batch, float], Masks], laws: list[str]
) -> None:
    assert broken(method_laws(method)) == laws


@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
def test_our_selection_obeys_in_every_scope(scope: str) -> None:
    def method(model: nn.Module, batch: Batch, density: float) -> Masks:
        return select(honest(model, batch), density=density, scope=scope)

    assert broken(method_laws(method)) == []


GENERATOR = torch.Generator().manual_seed(0)
PAIRS = [
    (torch.randn(m, n, generator=GENERATOR), torch.randn(n, k, generator=GENERATOR))
    for m, n, k in [(3, 5, 2), (1, 1, 1), (4, 0, 2), (7, 13, 5)]
]


def product_error(x: Tensor, y: Tensor) -> Tensor:
    """γ_n |x| |y| for float32, n terms."""
    n = x.shape[1] * 2**-24
    return n / (1 - n) * (x.abs() @ y.abs())


def forgets_a_term(x: Tensor, y: Tensor) -> Tensor:
    return x[:, 1:] @ y[1:] if x.shape[1] > 5 else x @ y


def half_precision(x: Tensor, y: Tensor) -> Tensor:
    return (x.bfloat16() @ y.bfloat16()).to(x.dtype)


def biased(x: Tensor, y: Tensor) -> Tensor:
    """Too little for the tolerance to see where terms are large; integers see it."""
    return x @ y + 1e-9 if x.shape[1] else x @ y


def in_place(x: Tensor, y: Tensor) -> Tensor:
    result = x @ y
    x.neg_()
    return result


def unstable(x: Tensor, y: Tensor) -> Tensor:
    return x @ y + (next(CALLS) % 2) * 2**-30


def reads_memory(x: Tensor, y: Tensor) -> Tensor:
    """Takes the storage as it lies, as a kernel does that ignores strides."""
    return x.as_strided(x.shape, (x.shape[1], 1)) @ y


def detached(x: Tensor, y: Tensor) -> Tensor:
    return x.detach() @ y


def wrong_shape(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y).T


@pytest.mark.parametrize(
    ("kernel", "laws"),
    [
        (torch.matmul, set[str]()),
        (forgets_a_term, {"oracle", "integers"}),
        (half_precision, {"oracle"}),
        (in_place, {"purity", "determinism"}),
        (unstable, {"determinism", "integers"}),
        (reads_memory, {"layout"}),
        (detached, {"gradient"}),
        (wrong_shape, {"oracle", "integers"}),
        (biased, {"integers"}),
    ],
)
def test_a_kernel_that_breaks_a_law_is_refused(kernel: Callable[..., Tensor], laws: set[str]) -> None:
    inputs = [tuple(each.clone() for each in pair) for pair in PAIRS]
    found = set(broken(kernel_laws(kernel, torch.matmul, inputs, product_error, gradient=True)))
    assert laws <= found and (laws or not found)
    if kernel in (reads_memory, detached, biased):
        assert found == laws


def test_a_kernel_with_several_outputs_and_exact_equality() -> None:
    from pruneproof.kernels import top_k_masks

    def by_sorting(*tensors: Tensor) -> list[Tensor]:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        kept = torch.zeros(len(flat), dtype=torch.bool)
        kept[flat.argsort(descending=True, stable=True)[:4]] = True
        parts = kept.split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def above_the_threshold(*tensors: Tensor) -> list[Tensor]:
        kth = torch.cat([tensor.reshape(-1) for tensor in tensors]).sort(descending=True).values[3]
        return [tensor >= kth for tensor in tensors]

    inputs = [(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([[2.0, 2.0], [2.0, 0.5]])), PAIRS[3]]
    assert broken(kernel_laws(lambda *x: top_k_masks(x, 4), by_sorting, inputs)) == []
    assert broken(kernel_laws(above_the_threshold, by_sorting, inputs)) == ["oracle", "integers"]


N = sympy.Symbol("n", positive=True, integer=True)
LOG = Bound("H", "H_n <= 1 + log n", "calculus", "derived", {N: "terms"}, (), 1 + sympy.log(N), "<=")
INSTANCES = [{"n": 1}, {"n": 2}, {"n": 50}]


def harmonic(instance: Mapping[str, float]) -> float:
    return math.fsum(1 / i for i in range(1, int(instance["n"]) + 1)) * (1 - 1e-14)  # 2n roundings, against the bound


def tight(instance: Mapping[str, float]) -> float:
    return 1 + math.log(instance["n"]) / 2


def test_a_bound_holds_and_its_control_does_not() -> None:
    assert broken(bound_laws(LOG, harmonic, INSTANCES, tight)) == []
    assert broken(bound_laws(LOG, harmonic, iter(INSTANCES), tight)) == []  # instances may be read once only


def test_a_false_bound_is_refused() -> None:
    false = Bound("F", "H_n <= log n", "nowhere", "derived", {N: "terms"}, (), sympy.log(N), "<=")
    assert broken(bound_laws(false, harmonic, INSTANCES, tight)) == ["bound"]


def test_a_lower_bound_and_an_equality() -> None:
    lower = Bound("L", "H_n >= log n", "calculus", "derived", {N: "terms"}, (), sympy.log(N), ">=")
    assert broken(bound_laws(lower, harmonic, INSTANCES, lambda instance: 1.1)) == []
    assert broken(bound_laws(lower, lambda instance: -1.0, INSTANCES, lambda instance: 1.1)) == ["bound"]
    equal = Bound("E", "n = n", "logic", "derived", {N: "terms"}, (), 2 * N, "==")
    double = {1.0: 2.0, 2.0: 4.0, 50.0: 100.0}
    assert broken(bound_laws(equal, lambda instance: double[instance["n"]], INSTANCES, lambda instance: 2.0)) == []
    assert broken(bound_laws(equal, lambda instance: 2.0, INSTANCES, lambda instance: 0.0)) == ["bound"]


def test_instances_that_could_refute_nothing_are_refused() -> None:
    assert broken(bound_laws(LOG, harmonic, [{"n": 1}], lambda instance: 1.0)) == ["control"]
    assert broken(bound_laws(LOG, harmonic, [], tight)) == ["assumptions", "control"]


def test_instances_outside_the_assumptions_are_refused() -> None:
    assumption = Assumption("n is at most ten", sympy.Le(N, 10))
    narrow = Bound("H", "H_n <= 1 + log n", "calculus", "derived", {N: "terms"}, (assumption,), 1 + sympy.log(N), "<=")
    assert broken(bound_laws(narrow, harmonic, INSTANCES, tight)) == ["assumptions"]
    assert broken(bound_laws(narrow, harmonic, INSTANCES[:2], tight)) == []


def test_samples_are_new_at_every_call_and_draw_nothing() -> None:
    state = torch.get_rng_state()
    first, second = samples(), samples()
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(first, second, strict=True):
        assert one.model is not other.model and torch.equal(one.batch[0], other.batch[0])
        assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))
    assert not torch.equal(samples(1)[0].batch[0], first[0].batch[0])


def test_permuted_samples_compute_the_same_function() -> None:
    for sample in samples():
        order = torch.arange(sample.units).flip(0)
        moved = sample.permuted(order)
        for mode in (True, False):
            inputs = sample.batch[0]
            outputs, others = sample.model.train(mode)(inputs), moved.model.train(mode)(inputs)
            assert (outputs - others).abs().max() <= 1e-12 * outputs.abs().max()
        assert not all(
            torch.equal(a, b) for a, b in zip(sample.model.parameters(), moved.model.parameters(), strict=True)
        )


@pytest.mark.parametrize(
    "name", ["bounds", "kernels", "law", "methods", "purity", "sample_models", "scores", "strategies"]
)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(f"pruneproof.testing.{name}")
    assert doctest.testmod(module, optionflags=doctest.IGNORE_EXCEPTION_DETAIL).failed == 0


def test_every_public_name_has_an_example() -> None:
    public = [value for name, value in vars(testing).items() if callable(value) and not name.startswith("_")]
    assert len(public) == 8 and all(">>>" in (value.__doc__ or "") for value in public)
