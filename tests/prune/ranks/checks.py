"""What each rank of `test_ranks.py` runs: checks that collect what is wrong, and print it as JSON.

    python checks.py RANK RANKS FOLDER CHECK …

Every rank draws the same network. It has shards of uneven size, and layers of three and of one output, whose shards
are empty on some ranks.
"""

import copy
import itertools
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from pruneproof import prune
from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks

RANK, RANKS, FOLDER = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
SCOPES = ("global", "layer", "erk", "row")
UNIT = 2.0**-24  # unit roundoff of float32
cross_entropy = nn.functional.cross_entropy
Wrong = Iterable[object]


def network(bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    sizes = (16, 33, 16, 3, 1, 5)
    layers = [nn.Linear(inputs, outputs, bias) for inputs, outputs in itertools.pairwise(sizes)]
    return nn.Sequential(*(module for layer in layers for module in (layer, nn.Tanh())))


def sharded(model: nn.Module | None = None, *, each: bool = True, **options: Any) -> Any:
    """A model under `fully_shard`, layer by layer and as a whole, or only as a whole."""
    model, options = network() if model is None else model, {"mesh": init_device_mesh("cpu", (RANKS,))} | options
    for layer in model.children():
        if each and isinstance(layer, nn.Linear):
            fully_shard(layer, **options)
    return fully_shard(model, **options)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(rank: int = RANK) -> tuple[Tensor, Tensor]:
    """The examples of one rank: all ranks have as many."""
    return torch.randn(8, 16, generator=generator(rank)), torch.arange(8) % 5


def refusal(action: Callable[[], object]) -> str:
    """What a call that must be refused says."""
    try:
        action()
    except PruneproofError as error:
        return f"{type(error).__name__} {error}"
    except Exception as error:
        return f"no sentence: {type(error).__name__} {error}"
    return "accepted"


def whole(tensor: Any) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


# ------------------------------------------------------------------------------------------------------------ ranking


def ranking() -> Wrong:
    """Masks of shards are those of the whole model, ties included, and have its placements if asked."""
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        one, other = network().to(dtype), network().to(dtype)
        with torch.no_grad():
            for model in (one, other):  # ties, zeros of both signs, a constant layer
                model[2].get_parameter("weight").mul_(8).round_().div_(8)
                model[4].get_parameter("weight").fill_(0.125)
        sharded(other)
        asked: list[dict[str, Any]] = [{"density": 0.3, "scope": scope} for scope in SCOPES]
        asked[-1]["exclude"] = "8"  # whose rows have one weight
        asked.append({"density": 0.9, "exclude": "0"})
        for options in asked:
            masks = prune.magnitude(one, **options)
            if prune.magnitude(other, **options) != masks:
                yield dtype, "magnitude", options
            draws = [prune.random(model, generator=generator(), **options) for model in (one, other)]
            if draws[0] != draws[1]:
                yield dtype, "random", options
            parts: dict[str, Any] = masks.sharded_like(other)
            for name, part in parts.items():
                like: Any = other.get_parameter(name)
                if part.placements != like.placements or not torch.equal(part.full_tensor(), masks[name]):
                    yield dtype, "placements", name
            if Masks(parts) != masks:
                yield dtype, "masks of shards", options


def placements() -> Wrong:
    """Any placement on one or two dimensions: the masks of `select` on the whole scores."""
    shapes = [(7, 5), (RANKS, 4), (1, 9), (6, 7, 2)]
    values = [torch.randn(shape, generator=generator(i)).mul(2).round() / 2 for i, shape in enumerate(shapes)]
    values[1][0, :2] = torch.tensor([0.0, -0.0])
    values[3][0, 0, 0] = float("inf")
    scores = {str(i): value for i, value in enumerate(values)}
    single: list[list[Placement]] = [[Shard(0)], [Shard(1)], [Replicate()]]
    meshes: list[tuple[Any, list[list[Placement]]]] = [(init_device_mesh("cpu", (RANKS,)), single)]
    if RANKS == 4:
        double: list[list[Placement]] = [
            [Shard(0), Shard(1)],
            [Replicate(), Shard(0)],
            [Shard(1), Replicate()],
            [Shard(0), Shard(0)],
        ]
        meshes.append((init_device_mesh("cpu", (2, 2)), double))
    for mesh, choices in meshes:
        for placed in choices:
            parts: dict[str, Tensor] = {name: distribute_tensor(value, mesh, placed) for name, value in scores.items()}
            for count in (1, 10, 60, 120):
                if prune.select(parts, count=count) != prune.select(scores, count=count):
                    yield placed, count
            for scope in ("row", "layer"):
                if prune.select(parts, density=0.4, scope=scope) != prune.select(scores, density=0.4, scope=scope):
                    yield placed, scope


# ----------------------------------------------------------------------------------------------- scores that see data


def gamma(roundings: int) -> float:
    """Bound of the relative error of a product of so many factors 1 + δ, |δ| ≤ 2⁻²⁴ (Higham 2002, lemma 3.1)."""
    return roundings * UNIT / (1 - roundings * UNIT)


def wanda() -> Wrong:
    """|w|·√(Σ over ranks of Σ x²), up to the rounding of the sum over ranks: each rank's own sum is a given number.

    Both sides round a root and a product: RANKS − 1 sums and four roundings in all.
    """
    alone = [prune.scores.wanda(network(), batch(rank)[0]) for rank in range(RANKS)]
    expected = {name: sum(each[name].double().square() for each in alone) for name in alone[0]}
    for each in (True, False):
        model = sharded(each=each)
        found = {name: whole(score) for name, score in prune.scores.wanda(model, batch()[0]).items()}
        for name, squares in expected.items():
            exact = torch.as_tensor(squares).sqrt()
            if not bool(((found[name] - exact).abs() <= gamma(RANKS + 3) * exact).all()):
                yield each, name, float(((found[name] - exact).abs() / exact).max())
            if torch.equal(found[name], alone[RANK][name]):
                yield each, name, "the batches of the other ranks do not count"
        if not all(isinstance(parameter, DTensor) for parameter in model.parameters()):
            yield each, "left gathered"
        for scope in ("layer", "row"):
            options: Any = {"density": 0.5, "scope": scope, "exclude": "8"}
            kept = {name: score for name, score in found.items() if name != "8.weight"}
            if prune.wanda(model, batch()[0], **options) != prune.select(kept, density=0.5, scope=scope):
                yield each, scope


def snip() -> Wrong:
    """|w · mean over ranks of the gradient|, up to the rounding of the mean (RANKS operations) and of the product."""
    gradients: dict[str, list[Tensor]] = {}
    for rank in range(RANKS):
        model = network()
        inputs, targets = batch(rank)
        cross_entropy(model(inputs), targets).backward()
        for name, weight in prune.prunable(model).items():
            assert weight.grad is not None
            gradients.setdefault(name, []).append(weight.grad.double())
    weights = {name: weight.detach().double() for name, weight in prune.prunable(network()).items()}
    for each in (True, False):
        model = sharded(each=each)
        model(batch()[0]).sum().backward()
        before = [whole(parameter.grad).clone() for parameter in model.parameters()]
        found = prune.scores.snip(model, cross_entropy, batch())
        for name, terms in gradients.items():
            exact = (weights[name] * sum(terms) / RANKS).abs()
            slack = gamma(RANKS + 1) * weights[name].abs() * sum(term.abs() for term in terms) / RANKS
            if not bool(((whole(found[name]) - exact).abs() <= slack).all()):
                yield each, name, float(((whole(found[name]) - exact).abs() - slack).max())
        if not all(torch.equal(whole(p.grad), g) for p, g in zip(model.parameters(), before, strict=True)):
            yield each, "the gradients that were there have changed"
        masks = prune.snip(model, cross_entropy, batch(), density=0.3)
        if masks != prune.select({name: whole(score) for name, score in found.items()}, density=0.3):
            yield each, "masks"


def tensor_parallel() -> Wrong:
    """All ranks read the same batch, and one layer is plain: Wanda and SNIP are those of the whole model.

    In float64 to the precision of float32, which leaves 29 bits to what the sums of the ranks round differently.
    """
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 12), nn.Tanh(), nn.Linear(12, 5)).double()
    plan: Any = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    data = batch(0)[0].double(), batch(0)[1]
    model: Any = parallelize_module(copy.deepcopy(plain), init_device_mesh("cpu", (RANKS,)), plan)
    if prune.magnitude(model, density=0.3) != prune.magnitude(plain, density=0.3):
        yield "magnitude"
    for scored in (lambda m: prune.scores.wanda(m, data[0]), lambda m: prune.scores.snip(m, cross_entropy, data)):
        found, expected = scored(model), scored(plain)
        for name, score in expected.items():
            if not bool(((whole(found[name]) - score).abs() <= UNIT * score.max()).all()):
                yield name


# ----------------------------------------------------------------------------------------------------------- refusals


def nan_on_one_rank() -> Wrong:
    """Every rank refuses what is NaN on the last one, and the group goes on working."""
    for scope in SCOPES:
        model = sharded()
        part: Any = model[0].weight.to_local()
        with torch.no_grad():
            part[-1:, 0] = torch.nan if RANK == RANKS - 1 else 1.0
        said = refusal(lambda model=model, scope=scope: prune.magnitude(model, density=0.9, scope=scope))
        if "NaN" not in said or (RANK == RANKS - 1) != ("0.weight" in said):
            yield scope, said
    model, (inputs, targets) = sharded(), batch()
    if RANK == RANKS - 1:
        inputs[0, 0] = torch.nan
    if "NaN" not in (said := refusal(lambda: prune.wanda(model, inputs, density=0.9))):
        yield "wanda", said
    if "finite" not in (said := refusal(lambda: prune.snip(model, cross_entropy, (inputs, targets), density=0.9))):
        yield "snip", said
    if (said := refusal(lambda: prune.magnitude(model, density=0.3))) != "accepted":
        yield "after the refusals", said


def different_models() -> Wrong:
    """Other names, shapes, copies or densities on one rank are refused on all; the same are accepted."""
    mesh, odd = init_device_mesh("cpu", (RANKS,)), RANK == RANKS - 1

    def select(**other: object) -> str:
        """Refused or not, where the last rank has something else."""
        mine = other if odd else {}
        scores = {
            str(mine.get("name", "a")): DTensor.from_local(torch.rand(2, int(str(mine.get("columns", 3)))), mesh),
            "b": torch.full((2, 2), float(str(mine.get("copy", 0.5)))),
            "c": DTensor.from_local(torch.full((2,), float(str(mine.get("replica", 0.5)))), mesh, [Replicate()]),
        }
        scope, density = str(mine.get("scope", "global")), float(str(mine.get("density", 0.5)))
        return refusal(lambda: prune.select(scores, density=density, scope=scope))

    if (said := select()) != "accepted":
        yield "the same", said
    others = {"name": "z", "columns": 4, "copy": 0.25, "replica": 0.25, "density": 0.25, "scope": "layer"}
    for other in ({name: value} for name, value in others.items()):
        if "different models" not in (said := select(**other)):
            yield other, said
    torch.manual_seed(0)
    model = sharded(nn.Sequential(nn.Linear(8, 3 if odd else 4), nn.Tanh(), nn.Linear(4, 4)), each=True)
    if "different models" not in (said := refusal(lambda: prune.magnitude(model, density=0.5))):
        yield "fully_shard", said


def whole_models_only() -> Wrong:
    """What needs the whole model says so; FSDP1, which shows flattened pieces, is refused altogether."""
    masks = prune.magnitude(network(), density=0.3)
    data = batch()

    def actions(model: Any) -> dict[str, Callable[[], object]]:
        return {
            "grasp": lambda: prune.grasp(model, cross_entropy, data, density=0.3),
            "synflow": lambda: prune.synflow(model, (1, 16), density=0.3),
            "sipp": lambda: prune.sipp(model, data[0], density=0.9, variant="det"),
            "pfp": lambda: prune.pfp(model, data[0], density=0.5),
            "certify": lambda: prune.certify(network(), model, data[0]),
            "to_torch_prune": lambda: prune.to_torch_prune(model, masks),
            "greedy": lambda: prune.greedy_subnetwork(model, data[0], 2),
            "make_permanent": lambda: prune.make_permanent(model),
            "reinitialize": lambda: prune.reinitialize(model, generator=generator()),
            "progressively": lambda: prune.prune_progressively(model, prune.scores.magnitude, [0.5]),
            "calibrated": lambda: prune.calibrated(model, [data[0]], density=0.5),
            "connectivity": lambda: prune.connectivity(model, masks, (1, 16)),
            "sparsify": lambda: prune.sparsify(model, masks),
            "inspect": lambda: prune.inspect_model(model),
        }

    def of_any(model: Any) -> dict[str, Callable[[], object]]:
        return actions(model) | {
            "magnitude": lambda: prune.magnitude(model, density=0.3),
            "snip": lambda: prune.snip(model, cross_entropy, data, density=0.3),
            "wanda": lambda: prune.wanda(model, data[0], density=0.3, scope="layer"),
            "apply": lambda: masks.apply_(model),
            "enforce": lambda: masks.enforce(model),
        }

    flat = FullyShardedDataParallel(network(), use_orig_params=True, device_id=torch.device("cpu"))
    for model, remedy, calls in ((sharded(), "DTensor", actions), (flat, "fully_shard", of_any)):
        for name, action in calls(model).items():
            said = refusal(action)
            if remedy not in said and (name not in ("certify", "greedy") or "Error" not in said[:20]):
                yield name, said
    mixed = network()
    for layer in list(mixed)[:-2]:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=init_device_mesh("cpu", (RANKS,)))
    for action in (
        lambda: prune.wanda(mixed, data[0], density=0.3, scope="layer"),
        lambda: prune.snip(mixed, cross_entropy, data, density=0.3),
    ):
        if "left out 8.weight" not in (said := refusal(action)):
            yield "partly sharded", said
    frozen = network()
    frozen[0].weight.requires_grad_(False)
    if "frozen" not in (said := refusal(lambda: prune.snip(sharded(frozen), cross_entropy, data, density=0.3))):
        yield "frozen", said


# ----------------------------------------------------------------------------------------------------------- training

OPTIMISERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "AdamW foreach": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "as a whole": {"each": False},
    "not resharded": {"reshard_after_forward": False},
    "resharded": {"reshard_after_forward": True},
    "mixed precision": {"mp_policy": MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)},
}


def revived(order: str, optimiser: str, setting: str) -> Iterator[tuple[str, int]]:
    """How many pruned weights and gradients are not zero in three steps with clipped gradients.

    `fully_shard` makes new parameters, which a mask that was enforced before follows at the first step: the gradients
    that this step clips are not masked yet.
    """
    model = network()
    masks = prune.magnitude(model, density=0.5)
    if order == "before":
        masks.enforce(model)
    model = sharded(model, **SETTINGS[setting])
    if order == "after":
        masks.enforce(model)
    elif order == "after a forward pass":  # when the root is still gathered
        with torch.no_grad():
            model(batch()[0])
        masks.enforce(model)
    elif order == "never":
        masks.apply_(model)
    stepper = OPTIMISERS[optimiser](model.parameters())
    weights, gradients = 0, 0
    for step in range(3):
        stepper.zero_grad()
        cross_entropy(model(batch()[0]).float(), batch()[1]).backward()
        pruned = [(p, ~masks[name]) for name, p in model.named_parameters() if name in masks]
        if order != "before" or step:
            gradients += sum(int(whole(p.grad)[mask].count_nonzero()) for p, mask in pruned)
        if not float(whole(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01))) > 0.01:
            yield "steps in which nothing was clipped", 1
        stepper.step()
        weights += sum(int(whole(p)[mask].count_nonzero()) for p, mask in pruned)
    yield "weights", weights
    yield "gradients", gradients


def enforced() -> Wrong:
    """Pruned weights and their gradients are zero, whenever enforced, by any optimiser and policy."""
    cases = [(order, optimiser, "as it comes") for order in ("before", "after") for optimiser in OPTIMISERS]
    cases += [(order, "AdamW fused", setting) for order in ("before", "after") for setting in list(SETTINGS)[1:]]
    cases += [("after a forward pass", "SGD", setting) for setting in ("as it comes", "as a whole")]
    for case in cases:
        for what, count in revived(*case):
            if count:
                yield *case, what, count


def not_enforced() -> Wrong:
    """The negative control: zeroed once, they come back."""
    for optimiser in OPTIMISERS:
        for what, count in revived("never", optimiser, "as it comes"):
            if not count:
                yield optimiser, what


def applied_after_a_forward_pass() -> Wrong:
    """The root is still gathered then, and what is written into its copy would be lost."""
    for each in (True, False):
        model = sharded(each=each)
        with torch.no_grad():
            model(batch()[0])
            masks = prune.magnitude(model, density=0.3)
            masks.apply_(model)
            model(batch()[0])
        model.reshard()
        for name, mask in masks.items():
            if not torch.equal(whole(model.get_parameter(name)) != 0, mask):
                yield each, name


# -------------------------------------------------------------------------------------------------------------- files


def saved() -> Wrong:
    """From rank 0 by one file, and by all ranks with `torch.distributed.checkpoint`, for `loaded` of other ranks."""
    model = sharded()
    masks = prune.magnitude(model, density=0.3)
    masks.apply_(model)
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if RANK == 0:
        masks.save(FOLDER / "masks.safetensors")
        torch.save(state, FOLDER / "state.pt")
    dist.barrier()
    if Masks.load(FOLDER / "masks.safetensors") != masks:
        yield "masks of rank 0"
    save({"model": get_model_state_dict(model), "masks": masks.sharded_like(model)}, checkpoint_id=FOLDER / "dcp")


def loaded() -> Wrong:
    """What another number of ranks saved."""
    expected = prune.magnitude(network(), density=0.3)
    torch.manual_seed(1)
    model = sharded(nn.Sequential(*network().children()))
    templates = {name: torch.zeros_like(model.get_parameter(name), dtype=torch.bool) for name in expected}
    state: dict[str, Any] = {"model": get_model_state_dict(model), "masks": templates}
    load(state, checkpoint_id=FOLDER / "dcp")
    model.load_state_dict(state["model"])
    masks = Masks(state["masks"])
    if masks != expected or masks != Masks.load(FOLDER / "masks.safetensors"):
        yield "masks"
    masks.enforce(model)
    for name, value in expected.apply_(network()).state_dict().items():
        if not torch.equal(whole(model.state_dict()[name]), value):
            yield name


def abandoned() -> Wrong:
    """The last rank dies or hangs while the others wait for its part of a ranking; rank 0 would have written it."""
    model = sharded()
    print(json.dumps("ready"), flush=True)
    if RANK == RANKS - 1:
        time.sleep(600)
    prune.magnitude(model, density=0.3).save(FOLDER / f"masks.{RANK}.safetensors")
    yield "it ended as if nothing had happened"


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    timeout = timedelta(seconds=float(os.environ.get("TIMEOUT", "120")))
    store = f"file://{FOLDER / 'rendezvous'}-{'-'.join(sys.argv[4:])}"
    dist.init_process_group("gloo", init_method=store, rank=RANK, world_size=RANKS, timeout=timeout)
    print(json.dumps({name: list(map(repr, globals()[name]())) for name in sys.argv[4:]}), flush=True)
    with suppress(Exception):
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
