"""What is fast, against what: operations of this package beside what people would use instead, on a CPU.

Each comparison checks first that both sides compute the same, and has the roof of the operation: the
least bytes it must move and the least arithmetic it must do. `pruneproof bench` prints the table,
`bench/test_bench_table.py` holds it to the goals.
"""

import copy
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pruneproof.errors import InvalidValueError, PruneproofError, UnknownNameError, did_you_mean
from pruneproof.kernels import (
    BitMask,
    Gram,
    SparseWeight,
    greedy_select,
    masked_linear,
    sensitivities,
    sparse_linear,
    top_k_masks,
)
from pruneproof.prune import synflow

from .timing import Contender, Ratio, interleaved

OURS = "pruneproof"
DENSITY = 0.1  # the kept fraction of every mask


@dataclass(frozen=True)
class Work:
    """The least that an operation can get by with: bytes through memory, and floating-point operations.

    Arithmetic is counted at the rate of a dense product, whose multiplication and addition are one
    instruction: two for a multiply-add, and two for any other operation that takes an instruction.
    """

    bytes: float
    flops: float


@dataclass(frozen=True)
class Sides:
    """Contenders of one comparison at one size, which have been found to agree; the first is ours."""

    contenders: Mapping[str, Contender]
    work: Work


@dataclass(frozen=True)
class Comparison:
    """An operation against its peers.

    Args:
        name: What the command line calls it.
        dimensions: What the numbers of a shape are.
        peers: What it is held against, in words.
        goals: Figure → the ratio, ours over the best peer, that should not be exceeded.
        shapes: The sizes of the table.
        sides: Sizes → contenders.
        needs: An optional package that the peer is in.
    """

    name: str
    dimensions: str
    peers: str
    goals: Mapping[str, float]
    shapes: tuple[tuple[int, ...], ...]
    sides: Callable[..., Sides]
    needs: str | None = None


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator)


def require_agreement(found: Tensor, exact: Tensor, size: Tensor, terms: int) -> None:
    """Both sides are held to float64: within γ_terms of the sum of absolute terms.

    Args:
        found: A float32 result.
        exact: The same in float64.
        size: The sums of the absolute values of its terms.
        terms: How many roundings a sum has at most.

    Raises:
        PruneproofError: It is not, so that times would compare different things.
    """
    gamma = terms * 2.0**-24 / (1 - terms * 2.0**-24)
    if not bool(((found.double() - exact).abs() <= gamma * size).all()):
        raise PruneproofError("bench: a result is off by more than rounding explains, so it is not timed.")


# ---- linear maps ----------------------------------------------------------------------------------------------------


def _training(
    product: Callable[[Tensor, Tensor], Tensor], weight: Tensor, x: Tensor, dy: Tensor
) -> tuple[Contender, Callable[[], list[Tensor]]]:
    """Forward and backward through a weight that takes a step before each call."""
    weight, x = weight.clone().requires_grad_(), x.clone().requires_grad_()

    def step() -> None:
        with torch.no_grad():
            if weight.grad is not None:
                weight.sub_(weight.grad, alpha=1e-4)
        weight.grad = x.grad = None

    def results() -> list[Tensor]:
        step()
        y = product(x, weight)
        y.backward(dy)
        assert x.grad is not None and weight.grad is not None
        return [y.detach(), x.grad, weight.grad]

    return Contender(lambda: product(x, weight).backward(dy), before=step), results


def _masked(out: int, columns: int, tokens: int, *, promised: bool) -> Sides:
    g = _generator()
    weight, x, dy = (_normal(*shape, generator=g) for shape in ((out, columns), (tokens, columns), (tokens, out)))
    keep = torch.rand(out, columns, generator=g) < DENSITY
    weight = weight * keep if promised else weight
    packed, factor = BitMask.pack(keep), keep.float()
    products = {
        OURS: lambda x, w: masked_linear(x, w, packed, weight_is_masked=promised),
        "F.linear(x, W * M)": lambda x, w: linear(x, w * factor),
    }
    sides = {name: _training(product, weight, x, dy) for name, product in products.items()}
    w, x64, dy64 = (weight * keep).double(), x.double(), dy.double()
    exact = [x64 @ w.T, dy64 @ w, (dy64.T @ x64) * keep]
    size = [x64.abs() @ w.abs().T, dy64.abs() @ w.abs(), (dy64.abs().T @ x64.abs()) * keep]
    for _, results in sides.values():
        for found, value, bound, terms in zip(results(), exact, size, (columns, out, tokens), strict=True):
            require_agreement(found, value, bound, terms + 1)
    numbers = 3 * out * columns + 2 * tokens * (out + columns)  # W read twice, dW written
    contenders = {name: contender for name, (contender, _) in sides.items()}
    return Sides(contenders, Work(4 * numbers, 6.0 * out * columns * tokens))


def _sparse(out: int, columns: int, tokens: int) -> Sides:
    g = _generator()
    weight, x = _normal(out, columns, generator=g), _normal(tokens, columns, generator=g)
    weight *= torch.rand(out, columns, generator=g) < DENSITY
    ours = SparseWeight.from_dense(weight, batch=tokens)
    with warnings.catch_warnings():  # torch announces that CSR tensors may still change
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        rows = weight.to_sparse_csr()
    calls: dict[str, Callable[[], Tensor]] = {
        OURS: lambda: sparse_linear(x, ours),
        "F.linear": lambda: linear(x, weight),
        "torch CSR": (lambda: (rows @ x[0])[None]) if tokens == 1 else (lambda: (rows @ x.T).T),
    }
    exact, size = x.double() @ weight.double().T, x.double().abs() @ weight.double().abs().T
    for call in calls.values():
        require_agreement(call(), exact, size, columns + 1)
    kept = int(weight.count_nonzero())
    numbers = 2 * kept + tokens * (out + columns)  # values and 32-bit columns
    return Sides({name: Contender(call) for name, call in calls.items()}, Work(4 * numbers, 2.0 * kept * tokens))


# ---- choosing weights and neurons -----------------------------------------------------------------------------------


def _top_k(entries: int) -> Sides:
    scores = _normal(entries, generator=_generator())
    kept = round(DENSITY * entries)

    def peer() -> list[Tensor]:
        return [torch.zeros(entries, dtype=torch.bool).scatter_(0, scores.topk(kept).indices, True)]

    ours = partial(top_k_masks, [scores], kept)
    if not torch.equal(ours()[0], peer()[0]):
        raise PruneproofError("bench: top_k_masks and torch.topk keep different entries, so they are not timed.")
    return Sides({OURS: Contender(ours), "torch.topk": Contender(peer)}, Work(5 * entries, 2.0 * entries))


_SELECTION = """
import hashlib, json, sys, time
from pathlib import Path
import torch
from torch import nn
from torch.nn.utils.prune import L1Unstructured, global_unstructured
from pruneproof.prune import select
from pruneproof.prune.scores import magnitude

def megabytes(entry):
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:  # no Linux
        return float("nan")
    return int(next(line for line in text.splitlines() if line.startswith(entry)).split()[1]) / 1024

layers, columns = 5, int(sys.argv[2]) // 10000
generator = torch.Generator().manual_seed(0)
model = nn.Sequential(*(nn.Linear(columns, 2000, bias=False) for _ in range(layers)))
small = nn.Sequential(nn.Linear(10, 10, bias=False))
with torch.no_grad():
    for weight in model.parameters():
        weight.normal_(generator=generator)

def ours(network):
    select(magnitude(network), density=0.1).apply_(network)

def peer(network):
    pairs = [(layer, "weight") for layer in network]
    global_unstructured(pairs, pruning_method=L1Unstructured, amount=0.9)

job = {"ours": ours, "peer": peer}[sys.argv[1]]
job(small)  # imports and thread pools are not what is compared
if sys.platform == "linux":
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = megabytes("VmRSS")
start = time.perf_counter()
job(model)
seconds = time.perf_counter() - start
extra = megabytes("VmHWM") - before
kept = [layer.weight.ne(0) for layer in model]
digest = hashlib.sha256(b"".join(mask.numpy().tobytes() for mask in kept)).hexdigest()
print(json.dumps({"figures": {"seconds": seconds, "megabytes": extra}, "digest": digest}))
"""


def _selection(weights: int) -> Sides:
    """Each run is a process of its own, whose peak of memory is measured from the model in place."""
    digests: set[str] = set()

    def run(job: str) -> dict[str, float]:
        command = [sys.executable, "-c", _SELECTION, job, str(weights)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            raise PruneproofError(f"bench: the process of select ended with {process.stderr.strip()[-200:]}")
        row = json.loads(process.stdout)
        digests.add(row["digest"])
        if len(digests) > 1:
            raise PruneproofError("bench: select and global_unstructured keep different weights.")
        return row["figures"]

    sides = {OURS: Contender(partial(run, "ours")), "global_unstructured": Contender(partial(run, "peer"))}
    return Sides(sides, Work(13 * weights, 4.0 * weights))  # weights read, scored and written; masks written


def _corrective(neurons: int, steps: int) -> Sides:
    from sklearn.linear_model import orthogonal_mp_gram

    g = _generator()
    points = 2 * neurons
    features = (_normal(neurons, 32, generator=g) @ _normal(32, points, generator=g)).relu_() / points**0.5
    target = features.mean(0) + 0.1 * _normal(points, generator=g) / points**0.5
    gram = Gram.from_features(features, target)
    ours = partial(greedy_select, gram, steps, rule="corrective")
    peer = partial(orthogonal_mp_gram, gram.matrix.numpy(), gram.correlation.numpy(), n_nonzero_coefs=steps)
    first = torch.as_tensor(orthogonal_mp_gram(gram.matrix.numpy(), gram.correlation.numpy(), n_nonzero_coefs=8))
    found = greedy_select(gram, 8, rule="corrective").indices
    losses = [_loss(features, target, weights) for weights in (ours().weights, torch.as_tensor(peer()).double())]
    # later, float32 paths part at near ties, each in its own way; what they reach is the same
    if sorted(found.tolist()) != first.nonzero()[:, 0].tolist() or losses[0] > 1.01 * losses[1]:
        raise PruneproofError("bench: corrective selection and orthogonal_mp_gram choose differently.")
    numbers = steps * steps / 2 * neurons + 2 * steps * neurons  # the rows so far are read in every step
    sides = {OURS: Contender(ours), "orthogonal_mp_gram": Contender(peer)}
    return Sides(sides, Work(4 * numbers, float(steps * steps * neurons)))


def _loss(features: Tensor, target: Tensor, weights: Tensor) -> float:
    return float((weights @ features.double() - target.double()).square().sum())


# ---- scores ---------------------------------------------------------------------------------------------------------


def per_filter(weight: Tensor, inputs: Tensor) -> Tensor:
    """Sensitivities one neuron at a time, both halves; inputs positive, so no sum is zero."""
    result = torch.empty_like(weight)
    for i, row in enumerate(weight):
        plus, minus = (_largest_shares(half, inputs) for half in (row.clamp(min=0), (-row).clamp(min=0)))
        torch.maximum(plus, minus, out=result[i])
    return result


def _largest_shares(half: Tensor, inputs: Tensor) -> Tensor:
    shares = inputs * half
    return shares.div_(shares.sum(1, keepdim=True)).amax(0)


def _sensitivities(out: int, columns: int, batch: int) -> Sides:
    g = _generator()
    weight, inputs = _normal(out, columns, generator=g), torch.rand(batch, columns, generator=g)
    ours, peer = partial(sensitivities, weight, inputs), partial(per_filter, weight, inputs)
    found, exact = ours(), peer()
    # two evaluations of one formula, each within (in + 8)u/(1 − (in + 8)u) of the exact value
    require_agreement(found, exact.double(), exact.double(), 2 * (columns + 8))
    sides = {OURS: Contender(ours), "a loop over filters": Contender(peer)}
    arithmetic = 2 * (2 + 2) * out * columns * batch  # both halves: a product for the sums, then multiply, maximum
    return Sides(sides, Work(4 * (2 * out + batch) * columns, float(arithmetic)))


class _Block(nn.Module):
    """Two 3 × 3 convolutions with a shortcut."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        stride = 1 if before == width else 2
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        same = before == width
        project = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.shortcut = nn.Identity() if same else project

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        return (self.body(x) + self.shortcut(x)).relu()


def resnet18(width: int = 64) -> nn.Module:
    """ResNet-18 for images of 32 × 32 (He et al. 2016, with the stem of the CIFAR networks)."""
    torch.manual_seed(0)
    stem = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    widths = [width, width, width, 2 * width, 2 * width, 4 * width, 4 * width, 8 * width, 8 * width]
    blocks = [_Block(before, after) for before, after in pairwise(widths)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, 10)).eval()


def plain_synflow(model: nn.Module, iterations: int) -> list[Tensor]:
    """SynFlow as one would write it: a positive float64 copy, `backward`, `kthvalue`, masks, again."""
    net = copy.deepcopy(model).double()
    weights = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    ones = torch.ones(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    masks: list[Tensor] = []
    for k in range(1, iterations + 1):
        net.zero_grad()
        net(ones).sum().backward()
        scores = [(w.detach() * w.grad).abs_() for w in weights if w.grad is not None]
        flat = torch.cat([score.flatten() for score in scores])
        threshold = flat.kthvalue(len(flat) - round(DENSITY ** (k / iterations) * len(flat))).values
        masks = [score > threshold for score in scores]
        with torch.no_grad():
            for weight, mask in zip(weights, masks, strict=True):
                weight.mul_(mask)
    return masks


def _synflow(width: int, iterations: int) -> Sides:
    model = resnet18(width)
    ours = partial(synflow, model, (1, 3, 32, 32), density=DENSITY, iterations=iterations)
    peer = partial(plain_synflow, model, iterations)
    if not all(map(torch.equal, ours().values(), peer())):
        raise PruneproofError("bench: synflow and the plain loop keep different weights.")
    weights = sum(p.numel() for p in model.parameters())
    macs = width * width * 9 * 1024 * (4 + 3 * (1.5 + 2 + 0.5) / 4) + 27 * width * 1024
    sides = {OURS: Contender(ours), "a plain float64 loop": Contender(peer)}
    work = Work(iterations * 8.0 * 8 * weights, iterations * 2 * 6.0 * macs)
    return Sides(sides, work)


LINEAR = "OUTxINxTOKENS"
COMPARISONS = (
    Comparison("masked_linear", LINEAR, "F.linear(x, W * M), forward and backward", {"seconds": 1.0},
               tuple((2048, 2048, t) for t in (1, 16, 256)), partial(_masked, promised=False)),
    Comparison("masked_linear_kept", LINEAR, "the same, of a weight that is kept at zero (weight_is_masked=True)",
               {"seconds": 0.8}, tuple((2048, 2048, t) for t in (1, 16, 256)), partial(_masked, promised=True)),
    Comparison("sparse_linear", LINEAR, "F.linear and torch's CSR product, whichever is faster", {"seconds": 1.0},
               tuple((2048, 2048, t) for t in (1, 16, 64)), _sparse),
    Comparison("top_k_masks", "ENTRIES", "torch.topk and a scatter", {"seconds": 1.0},
               ((10_000,), (70_000,), (300_000,), (1_000_000,)), _top_k),
    Comparison("select", "WEIGHTS", "torch.nn.utils.prune.global_unstructured, each in a process of its own",
               {"seconds": 1 / 12, "megabytes": 1 / 6}, ((50_000_000,),), _selection),
    Comparison("greedy_corrective", "NEURONSxSTEPS", "scikit-learn's orthogonal_mp_gram", {"seconds": 1 / 5},
               ((4096, 500),), _corrective, needs="sklearn"),
    Comparison("sensitivities", "OUTxINxBATCH", "a loop over filters", {"seconds": 1 / 4}, ((1024, 1024, 256),),
               _sensitivities),
    Comparison("synflow", "WIDTHxITERATIONS", "a plain float64 loop, on ResNet-18 of this width", {"seconds": 1.0},
               ((64, 3),), _synflow),
)  # fmt: skip


# ---- measuring ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: The comparison.
        shape: Its sizes, as `--shape` takes them.
        figure: "seconds" or "megabytes".
        ratio: Ours over the best peer's: below 1, ours is better.
        peer: The peer with the least median.
        medians: Contender → median of the figure.
        goal: What the ratio should not exceed; None for a shape that a user added.
        work: The least bytes and arithmetic.
    """

    name: str
    shape: str
    figure: str
    ratio: Ratio
    peer: str
    medians: Mapping[str, float]
    goal: float | None
    work: Work


def measure(comparison: Comparison, shape: tuple[int, ...], seconds: float) -> list[Row]:
    """Let the sides of a comparison agree, then take turns for so many seconds; a row for each figure.

    Raises:
        PruneproofError: They do not compute the same.
    """
    sides = comparison.sides(*shape)
    rounds = interleaved(sides.contenders, seconds)
    rows: list[Row] = []
    for figure in rounds[OURS][0]:
        medians = {name: median(figures[figure] for figures in turns) for name, turns in rounds.items()}
        peer = min((name for name in medians if name != OURS), key=medians.__getitem__)
        ratio = Ratio.of([a[figure] / b[figure] for a, b in zip(rounds[OURS], rounds[peer], strict=True)])
        goal = comparison.goals[figure] if shape in comparison.shapes else None
        rows.append(Row(comparison.name, "x".join(map(str, shape)), figure, ratio, peer, medians, goal, sides.work))
    return rows


def ceilings() -> dict[str, float]:
    """What this machine reaches at all: bytes a second of a large copy, flop a second of a float32 product."""
    source, matrix = torch.zeros(1 << 26), torch.ones(2048, 2048)
    aim = torch.empty_like(source)
    calls = {"copy": Contender(lambda: aim.copy_(source)), "product": Contender(lambda: matrix @ matrix)}
    seconds = {name: min(f["seconds"] for f in turns) for name, turns in interleaved(calls, 1).items()}
    return {"bandwidth": 2 * source.nbytes / seconds["copy"], "product": 2 * 2048**3 / seconds["product"]}


def wanted_shape(name: str, shape: str) -> tuple[Comparison, tuple[int, ...]]:
    """What `--shape NAME SIZES` asks for.

    Raises:
        UnknownNameError: There is no such comparison.
        InvalidValueError: The sizes are not as many positive whole numbers as it takes.

    Example:
        >>> wanted_shape("top_k_masks", "1000")[1]
        (1000,)
    """
    known = {comparison.name: comparison for comparison in COMPARISONS}
    if name not in known:
        raise UnknownNameError(f"bench: there is no comparison {name!r}.{did_you_mean(name, known)} "
                               f"Those that take a shape are {', '.join(known)}.")  # fmt: skip
    numbers = [int(part) if part.isdecimal() else 0 for part in shape.split("x")]
    if min(numbers) < 1 or len(numbers) != known[name].dimensions.count("x") + 1:
        example = "x".join(map(str, known[name].shapes[0]))
        raise InvalidValueError(
            f"bench: a shape of {name} is {known[name].dimensions}, got {shape!r}. Pass, for example, "
            f"--shape {name} {example}."
        )
    return known[name], tuple(numbers)
