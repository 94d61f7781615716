"""Bad input is refused with a remedy, and the model is untouched."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruneproof import prune
from pruneproof.errors import InvalidTypeError, PruneproofError, UnsupportedError
from pruneproof.prune import Masks, scores

X, Y = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
METHODS: dict[str, Callable[..., Any]] = {"snip": scores.snip, "grasp": scores.grasp, "grasp_abs": scores.grasp_abs}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


SILENT: dict[str, Callable[[nn.Module, Tensor], object]] = {
    **{name: lambda m, x, score=score: score(m, cross_entropy, (x, Y)) for name, score in METHODS.items()},
    "wanda": scores.wanda,
    **{
        f"calibrated {name}": lambda m, x, name=name: prune.calibrated(m, [x], method=name, density=0.5)
        for name in ("wanda", "sparsegpt", "sipp")
    },
}


@pytest.mark.parametrize("method", SILENT)
def test_a_layer_whose_weights_all_score_zero_is_named(method: str) -> None:
    """Inputs of zeros tell the weights that read them apart by index alone; the layer after reads biases."""
    where = method.split()[0]
    with pytest.warns(UserWarning, match=rf"^{where}: every weight of 0\.weight scores zero") as caught:
        SILENT[method](two_layers(), torch.zeros(12, 4))
    assert len(caught) == 1


@pytest.mark.parametrize("method", [name for name in SILENT if name not in METHODS])
def test_scores_of_zero_are_no_fault_of_weights_that_are_zero(method: str) -> None:
    model = two_layers()
    with torch.no_grad():
        model.get_parameter("2.weight").zero_()
        model.get_parameter("0.weight")[:, 0] = 0
    SILENT[method](model, X)


class Boxed(nn.Module):
    """Puts the logits into a container."""

    def __init__(self, box: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.box = network(), box

    def forward(self, x: Tensor) -> Any:
        """(n, 4) → a container of (n, 3)."""
        return self.box(self.net(x))


MISUSE: dict[str, tuple[Callable[[], nn.Module], Any, Any, str]] = {
    "per-example loss": (
        network,
        lambda o, y: cross_entropy(o, y, reduction="none"),
        (X, Y),
        "loss must be a scalar.*Reduce it",
    ),
    "loss that is a number": (network, lambda o, y: 1.0, (X, Y), "loss must be a scalar"),
    "constant loss": (network, lambda o, y: torch.tensor(1.0), (X, Y), "cannot be differentiated"),
    "detached loss": (network, lambda o, y: cross_entropy(o.detach(), y), (X, Y), "cannot be differentiated"),
    "argmax loss": (network, lambda o, y: (o.argmax(1) == y).float().mean(), (X, Y), "cannot be differentiated"),
    "NaN loss": (network, lambda o, y: cross_entropy(o, y) * float("nan"), (X, Y), "loss must be finite"),
    "infinite input": (network, cross_entropy, (X / 0, Y), "loss must be finite"),
    "no loss": (network, None, (X, Y), "loss must be a function"),
    "loss that is a class": (network, nn.CrossEntropyLoss, (X, Y), "not a class.*an instance of CrossEntropyLoss"),
    "batch as loss": (network, (X, Y), cross_entropy, "loss must be a function.*got tuple"),
    "empty batch": (network, cross_entropy, (X[:0], Y[:0]), r"no example: its inputs have shape \(0, 4\)"),
    "empty named batch": (network, cross_entropy, ({"input": X[:0]}, Y[:0]), "has no example"),
    "no pair": (network, cross_entropy, X, r"must be the pair \(inputs, targets\)"),
    "several devices": (
        lambda: nn.Sequential(network(), nn.Linear(3, 3, device="meta")),
        cross_entropy,
        (X, Y),
        "meta device",
    ),
    "nothing to prune": (lambda: nn.BatchNorm1d(4), cross_entropy, (X, Y), "no weight of a linear, convolutional"),
}


OWN_ERRORS: dict[str, tuple[Callable[[], nn.Module], Any, type[Exception], str]] = {
    "double inputs": (network, (X.double(), Y), RuntimeError, "by the model, called by {}. Pass inputs of the shape"),
    "a feature too few": (network, (X[:, :3], Y), RuntimeError, "by the model, called by {}. Pass inputs of the shape"),
    "a class too many": (network, (X, Y + 1), IndexError, "by the loss, called by {}. Pass one valid target"),
    "a target too few": (network, (X, Y[1:]), ValueError, "by the loss, called by {}. Pass one valid target"),
    "dictionary": (lambda: Boxed(lambda o: {"logits": o}), (X, Y), TypeError, "by the loss, called by {}.*readout="),
    "tuple": (lambda: Boxed(lambda o: (o, o)), (X, Y), TypeError, "by the loss, called by {}.*readout="),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", OWN_ERRORS)
def test_what_the_model_or_the_loss_raises_reaches_the_user_with_a_note(method: str, case: str) -> None:
    build, batch, kind, note = OWN_ERRORS[case]
    with pytest.raises(kind) as caught:
        METHODS[method](build(), cross_entropy, batch, temperature=1.0)
    assert not isinstance(caught.value, PruneproofError)
    assert re.search(note.format(method), caught.value.__notes__[0])


def test_grasp_names_the_temperature_that_its_output_cannot_be_divided_by() -> None:
    """A model that returns its own loss is scored without one."""
    boxed = Boxed(lambda output: {"loss": output.square().mean()})
    with pytest.raises(InvalidTypeError, match=r"temperature divides logits.*(dict).*temperature=1\.0"):
        METHODS["grasp"](boxed, lambda output, _: output["loss"], (X, Y))
    assert METHODS["grasp"](boxed, lambda output, _: output["loss"], (X, Y), temperature=1.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_may_lack_a_class(method: str) -> None:
    """Of a thousand classes, no batch of usual size has an example of each."""
    some = Y != 1
    result = METHODS[method](network(), cross_entropy, (X[some], Y[some]), batch_norm="running")
    assert all(bool(score.isfinite().all()) for score in result.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", MISUSE)
def test_misuse_of_a_score(method: str, case: str) -> None:
    build, loss, batch, message = MISUSE[case]
    model = build()
    modes = [module.training for module in model.modules()]
    before = [tensor.clone() for tensor in model.state_dict().values()]
    with pytest.raises(PruneproofError, match=message) as caught:
        METHODS[method](model, loss, batch)
    assert str(caught.value).startswith(f"{method}:")
    assert modes == [module.training for module in model.modules()]
    same = [a.is_meta or torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True)]
    assert all(same) and all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"batch_norm": "eval"}, "batch_norm must be one of batch, running"),
        ({"temperature": "2"}, r"temperature must be .*got '2' \(str\)"),
        ({"chunk": 0}, "chunk must be a whole number"),
        ({"chunk": 2.5}, "chunk must be a whole number.*got 2.5"),
        ({"chunk": "2"}, "chunk must be a whole number"),
    ],
)
def test_misuse_of_an_option(options: dict[str, Any], message: str) -> None:
    for method in METHODS.values():
        with pytest.raises(PruneproofError, match=message):
            method(network(), cross_entropy, (X, Y), **options)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int8])
def test_weights_that_are_no_real_numbers(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    net[0].weight = nn.Parameter(torch.ones(3, 4, dtype=dtype), requires_grad=False)
    for name, method in METHODS.items():
        with pytest.raises(PruneproofError, match=rf"{name}: 0\.weight holds {str(dtype)[6:]}, not real"):
            method(net, cross_entropy, (X, Y))


def test_derivatives_are_not_to_be_had_in_inference_mode() -> None:
    calls: list[Callable[[], object]] = [
        lambda: scores.snip(network(), cross_entropy, (X, Y)),
        lambda: scores.grasp(network(), cross_entropy, (X, Y)),
        lambda: scores.synflow(network(), (1, 4)),
    ]
    with torch.inference_mode():
        for call in calls:
            with pytest.raises(PruneproofError, match=r"derivatives cannot be taken inside torch\.inference_mode\(\)"):
                call()


def test_synflow_and_wanda_need_a_tensor_and_a_call() -> None:
    with pytest.raises(PruneproofError, match="readout="):
        scores.synflow(Boxed(lambda o: {"logits": o}), (1, 4))
    with pytest.raises(PruneproofError, match="meta device"):
        scores.synflow(nn.Sequential(network(), nn.Linear(3, 3, device="meta")), (1, 4))
    with pytest.raises(PruneproofError, match="meta device"):
        scores.wanda(nn.Sequential(network(), nn.Linear(3, 3, device="meta")), X)
    unused = nn.ModuleDict({"a": nn.Linear(4, 3)})
    unused.forward = lambda x: x  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(PruneproofError, match=r"does not call the layers of a\.weight"):
        scores.wanda(unused, X)


@pytest.mark.parametrize("density", [0.0, -0.1, 1.5, float("nan"), True, 1e-9, 0.05])
def test_a_density_that_must_empty_a_layer_is_refused_before_work(density: float) -> None:
    """35 weights in two layers: 0.05 keeps two, which is one for each; 1e-9 keeps none."""
    calls = list[nn.Module]()

    def loss(output: Tensor, targets: Tensor) -> Tensor:
        calls.append(nn.Identity())
        return cross_entropy(output, targets)

    generator = torch.Generator()
    for call in (
        lambda: prune.snip(network(), loss, (X, Y), density=density),
        lambda: prune.grasp(network(), loss, (X, Y), density=density),
        lambda: prune.synflow(network(), (1, 4), density=density, iterations=2),
        lambda: prune.magnitude(network(), density=density),
        lambda: prune.random(network(), density=density, generator=generator),
    ):
        if density == 0.05:
            assert call().count == 2
        else:
            with pytest.raises(PruneproofError):
                call()
    assert len(calls) == (5 if density == 0.05 else 0)  # GraSP: gradient and product of two halves


def test_one_weight_for_two_layers_is_refused() -> None:
    with pytest.raises(PruneproofError, match=r"fewer than the 2 layers.*at least 0\.0571"):
        prune.magnitude(network(), density=0.03)


@pytest.mark.parametrize("shape", [(1, 5), (4, 4, 5)])
def test_synflow_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError) as caught:
        scores.synflow(network(), shape)
    assert "called by synflow. Pass the shape of a batch" in caught.value.__notes__[0]


@pytest.mark.parametrize("inputs", [5, [1.0, 4.0], (-1, 4)])
def test_synflow_of_what_is_no_shape(inputs: Any) -> None:
    with pytest.raises(PruneproofError, match=r"synflow: (the inputs must be a shape|the sizes of inputs must be)"):
        scores.synflow(network(), inputs)


@pytest.mark.parametrize("inputs", [X.double(), X[:, :3]])
def test_other_methods_on_wrong_inputs(inputs: Tensor) -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    calls: dict[str, Callable[[], object]] = {
        "greedy_subnetwork": lambda: prune.greedy_subnetwork(net, inputs, steps=2),
        "sipp": lambda: prune.sipp(net, inputs, density=0.5, generator=torch.Generator()),
        "inspect_model": lambda: prune.inspect_model(net, input_shape=inputs),
    }
    for name, call in calls.items():
        with pytest.raises(RuntimeError) as caught:
            call()
        assert f"called by {name}. Pass" in caught.value.__notes__[0]


def test_a_model_pruned_by_torch_is_told_how_to_go_on() -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    masks = prune.magnitude(net, density=0.5)
    prune.to_torch_prune(net, masks)
    for call in (
        lambda: masks.apply_(net),
        lambda: masks.enforce(net),
        lambda: prune.to_torch_prune(net, masks),
        lambda: prune.magnitude(net, density=0.5),
    ):
        with pytest.raises(PruneproofError, match="Call make_permanent first"):
            call()
    assert prune.magnitude(prune.make_permanent(net), density=0.5) == masks


def test_a_layer_pruned_by_torch_is_not_passed_over_for_the_others() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
    masks = Masks({"0.weight": torch.rand(3, 4) < 0.5})
    prune.to_torch_prune(net, masks)
    for call in (
        lambda: prune.prunable(net),
        lambda: scores.synflow(net, (1, 4)),
        lambda: scores.snip(net, cross_entropy, (X, Y)),
    ):
        with pytest.raises(PruneproofError, match=r"0\.weight is computed by torch.*Call make_permanent first"):
            call()


def test_a_mask_for_another_model() -> None:
    masks = Masks({"other.weight": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(PruneproofError, match="ake the masks from this model"):
        masks.apply_(network())
    with pytest.raises(PruneproofError, match="ake the masks from this model"):
        prune.to_torch_prune(network(), masks)


def test_a_state_dict_is_no_model_and_a_seed_no_generator() -> None:
    state: Any = network().state_dict()
    calls: list[Callable[[], object]] = [
        lambda: scores.magnitude(state),
        lambda: prune.magnitude(state, density=0.5),
        lambda: scores.snip(state, cross_entropy, (X, Y)),
    ]
    for call in calls:
        with pytest.raises(PruneproofError, match=r"the model must be .*got OrderedDict"):
            call()
    seed: Any = 0
    for call in (
        lambda: scores.random(network(), generator=seed),
        lambda: prune.random(network(), density=0.5, generator=seed),
    ):
        with pytest.raises(PruneproofError, match=r"got 0. Pass torch.Generator\(\).manual_seed"):
            call()


@pytest.mark.parametrize(
    "ask",
    [lambda m: scores.synflow(m, (1, 3)), lambda m: prune.connectivity(m, prune.magnitude(m, density=0.5), (1, 3))],
)
@pytest.mark.parametrize("first", [nn.Embedding(9, 4), nn.EmbeddingBag(9, 12)])
def test_a_shape_of_whole_numbers_is_asked_for_by_an_embedding(
    ask: Callable[[nn.Module], object], first: nn.Module
) -> None:
    model = nn.Sequential(first, nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(UnsupportedError, match=r"looks up whole numbers in an embedding.*Pass the inputs themselves"):
        ask(model)
    if isinstance(first, nn.Embedding):
        assert scores.synflow(model, torch.zeros(1, 3, dtype=torch.long))["2.weight"].all()


def test_inspect_says_what_a_shape_does_not_tell_an_embedding() -> None:
    with pytest.raises(RuntimeError) as raised:
        prune.inspect_model(nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)), input_shape=(1, 3))
    assert "where an embedding looks up whole ones, pass the inputs themselves" in raised.value.__notes__[0]
