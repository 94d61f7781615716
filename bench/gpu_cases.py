"""The cases of a GPU session, step by step, in the order of their value."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from bench.lab import Case, Lab, figures, require_close, rotated
from bench.measure_choices import choices
from bench.replay import Contender, replayed
from bench.session import Row
from pruneproof.kernels import (
    BitMask,
    Gram,
    SparseWeight,
    greedy_select,
    greedy_select_many,
    masked_linear,
    sensitivities,
    sparse_linear,
    top_k_masks,
)
from pruneproof.kernels.registry import Op, operations
from tests.kernels import cases
from tests.kernels.cases import CASES

# ---- ceilings -------------------------------------------------------------------------------------------------------


def ceilings(lab: Lab, case: Case) -> None:
    """What this GPU reaches at all: every ratio below is read against these."""
    case("ceiling/copy", 20, lambda: copy_bandwidth(lab))
    case("ceiling/product", 20, lambda: product_rate(lab))
    case("ceiling/dense decode", 20, lambda: dense_decode(lab))
    case("ceiling/graph node", 20, lambda: graph_node(lab))
    case("ceiling/grid barrier", 30, lambda: grid_barrier(lab))
    case("ceiling/host", 30, lambda: host_time(lab))


def copy_bandwidth(lab: Lab) -> Row:
    """Bytes read and written per second by copying a gigabyte."""
    source = lab.normal(lab.size(1 << 28, 1 << 10), dtype=torch.float32)
    aim = torch.empty_like(source)
    times = lab.replayed({"copy": lambda i: aim.copy_(source)}, 2 * source.nbytes)
    return figures(times, bandwidth=2 * source.nbytes / times["copy"].median)


def product_rate(lab: Lab) -> Row:
    """Flop per second of a bfloat16 product of 8192 × 8192 random matrices."""
    size = lab.size(8192, 32)
    left, right = lab.normal(size, size), lab.normal(size, size, seed=1)
    times = lab.replayed({"product": lambda i: left @ right}, left.nbytes)
    return figures(times, rate=2.0 * size**3 / times["product"].median)


def dense_decode(lab: Lab) -> Row:
    """The library's matrix times vector, which sparse formats have to beat, and its share of the copy bandwidth."""
    out, columns = lab.size(14336, 64), lab.size(4096, 64)
    weights, x = rotated(lab, out, columns), lab.normal(1, columns)
    times = lab.replayed({"dense": lambda i: linear(x, weights[i])}, weights[0].nbytes)
    return figures(times, bandwidth=weights[0].nbytes / times["dense"].median)


def graph_node(lab: Lab) -> Row:
    """Seconds of a captured graph per kernel that does nothing worth mentioning."""
    one, nodes = lab.normal(1), lab.size(256, 2)

    def many(index: int) -> None:
        for _ in range(nodes):
            one.add_(1)

    times = replayed({"nodes": many}, buffers=1, rounds=lab.size(15, 1))
    return figures(times, node=times["nodes"].median / nodes)


def grid_barrier(lab: Lab) -> Row:
    """Seconds that all programs of the persistent kernel need to wait for each other; each step of it has two."""
    from pruneproof.kernels.backend import multiprocessors
    from pruneproof.kernels.greedy.launch import BLOCK, walk

    grid = lab.size(multiprocessors(torch.device(lab.device)), 1)
    neurons, steps = grid * lab.size(BLOCK, 16), lab.size(256, 2)
    zero = torch.zeros(1, neurons, dtype=torch.float64, device=lab.device)
    matrix = torch.zeros(neurons, device=lab.device).expand(1, neurons, neurons)  # one row, whichever is asked for

    def path(count: int) -> None:
        walk(matrix, zero, zero.clone(), zero[0, :1].clone(), count, True)

    times = lab.called({"short": lambda i: path(steps), "long": lambda i: path(3 * steps)})
    return figures(times, barrier=(times["long"].median - times["short"].median) / (4 * steps), programs=grid)


def host_time(lab: Lab) -> Row:
    """The host's time for a call beside that of an operation of as many arguments that does nothing."""
    size = lab.size(256, 32)
    weight, x, mask = lab.normal(size, size), lab.normal(1, size), lab.mask(size, size, 0.1)
    packed, sparse = BitMask.pack(mask), SparseWeight.from_dense(weight, mask, format="csr16")
    y = x.new_empty(1, size)
    contenders: dict[str, Contender] = {
        "empty": lambda i: empty_operation(x, weight, packed.words, None),
        "masked_linear": lambda i: masked_linear(x, weight, packed),
        "sparse_linear": lambda i: sparse_linear(x, sparse),
        "linear": lambda i: linear(x, weight),
    }
    times = lab.replayed(contenders, weight.nbytes)
    ratios = {name: times[name].host / times["empty"].host for name in ("masked_linear", "sparse_linear")}
    return figures(times, **ratios, shape=list(y.shape))


@torch.library.custom_op("pruneproof_bench::empty", mutates_args=())
def empty_operation(x: Tensor, weight: Tensor, words: Tensor, bias: Tensor | None) -> Tensor:
    """The least that any operation behind `torch.library.custom_op` costs its caller."""
    return x.new_empty(x.shape[0], weight.shape[0])


# ---- correctness ----------------------------------------------------------------------------------------------------


def correctness(lab: Lab, case: Case) -> None:
    """Every operation and dtype against float64, then what only many programs at once, or a lot of memory, can show."""
    for op in operations():
        for dtype in op.dtypes:
            name = f"correct/{op.name}, {str(dtype).removeprefix('torch.')}"
            case(name, 40, lambda op=op, dtype=dtype: within_bounds(lab, op, dtype))
    for tokens in (3, 70, 330):
        case(f"correct/gradients, {tokens} tokens", 30, lambda tokens=tokens: gradients(lab, lab.size(tokens, 3)))
    case("correct/offsets past 2³¹", 40, lambda: far_offsets(lab))
    for method in ("gram", "stream"):
        case(f"correct/greedy path, {method}", 40, lambda method=method: greedy_path(lab, method))
    case("correct/many problems", 40, lambda: many_problems(lab))


def within_bounds(lab: Lab, op: Op, dtype: torch.dtype) -> Row:
    """The largest error over its bound, over all samples; and the same bits from a second call."""
    rows = CASES[op.name].samples(torch.Generator().manual_seed(0), lab.device, dtype)
    rows, worst = rows[: lab.size(len(rows), 3)], 0.0
    for args in rows:
        expected, found = CASES[op.name].reference(*args).double(), flat(op.call(*args))
        error, bound = (found.double() - expected).abs(), CASES[op.name].bound(args, expected, dtype)
        if lab.toy and dtype == torch.bfloat16:  # the interpreter rounds towards zero, twice the error
            bound = bound + cases.unit(dtype) * expected.abs()
        assert bool((error <= bound).all()), f"off by {float((error - bound).max()):.3g} more than the bound"
        assert torch.equal(found, flat(op.call(*args))), "a second call gives other bits"
        ratios = (error / bound)[bound > 0]
        worst = max([worst, *ratios.max().reshape(-1).tolist()] if ratios.numel() else [worst])
    return {"worst share of the bound": worst, "samples": len(rows)}


def flat(result: Any) -> Tensor:
    """One tensor of whatever an operation returns."""
    if isinstance(result, list):
        return torch.cat([part.flatten() for part in result])
    return result if isinstance(result, Tensor) else result.indices


def gradients(lab: Lab, tokens: int) -> Row:
    """On whole numbers every sum is exact, so the gradients must be equal to float64's."""
    generator = torch.Generator().manual_seed(2)
    shapes = ((tokens, 200), (130, 200), (tokens, 130))
    x, weight, dy = (cases.numbers(generator, *s, integers=True).to(lab.device, torch.float16) for s in shapes)
    mask = torch.rand(130, 200, generator=generator).to(lab.device) < 0.05
    y = masked_linear(x.requires_grad_(), weight.requires_grad_(), BitMask.pack(mask))
    dx, dw = torch.autograd.grad(y, (x, weight), dy)
    clean = torch.where(mask, weight, 0).detach().double()
    assert torch.equal(y, (x.detach().double() @ clean.T).half()), "y"
    assert torch.equal(dx, (dy.double() @ clean).half()), "dx"
    assert torch.equal(dw, torch.where(mask, dy.double().T @ x.detach().double(), 0).half()), "dw"
    return {"equal": True}


def far_offsets(lab: Lab) -> Row:
    """Rows of a weight 2³⁰ elements apart: the third begins past 2³¹."""
    far = torch.empty(2**31 + 64, dtype=torch.float16, device=lab.device).as_strided((3, 40), (2**30, 1))
    rows = torch.randint(-2, 3, (3, 40), generator=torch.Generator().manual_seed(0)).to(lab.device, torch.float16)
    far.copy_(rows)
    x, mask = rows[:2] * 2, torch.ones(3, 40, dtype=torch.bool, device=lab.device)
    assert torch.equal(masked_linear(x, far, mask), (x.double() @ rows.double().T).half()), "weight"
    assert torch.equal(masked_linear(far, x, mask[:2]), (rows.double() @ x.double().T).half()), "input"
    return {"equal": True}


def greedy_path(lab: Lab, method: str) -> Row:
    """The choices of the reference, which runs on the CPU; many programs wait for each other here."""
    neurons, points, steps = lab.size(3000, 17), lab.size(700, 33), lab.size(50, 3)
    generator = torch.Generator().manual_seed(3)
    features, target = torch.randn(neurons, points, generator=generator).relu(), torch.rand(points, generator=generator)
    expected = greedy_select((features, target), steps, method="naive").indices.tolist()
    found = greedy_select((features.to(lab.device), target.to(lab.device)), steps, method=method).indices.tolist()
    assert found == expected, f"differs from step {next(k for k in range(steps) if found[k] != expected[k])} on"
    return {"equal": True, "steps": steps}


def many_problems(lab: Lab) -> Row:
    """More problems than multiprocessors in one launch, each with the path that it has alone."""
    count, neurons, steps = lab.size(300, 3), lab.size(600, 17), lab.size(9, 3)
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(neurons, 50, generator=generator).relu().double()
    targets = torch.rand(count, 50, generator=generator).double()
    matrix = Gram.from_features(features, targets[0]).matrix
    grams = [Gram(matrix, features @ y, float(y @ y), 50) for y in targets]
    on_device = matrix.to(lab.device)
    moved = [Gram(on_device, gram.correlation.to(lab.device), gram.energy, 50) for gram in grams]
    together = greedy_select_many(moved, steps)
    for found, gram in zip(together, moved, strict=True):
        assert torch.equal(found.indices, greedy_select(gram, steps).indices), "a path differs"
    return {"equal": True, "problems": count}


# ---- headlines ------------------------------------------------------------------------------------------------------


def headlines(lab: Lab, case: Case) -> None:
    """The ratios that were promised."""
    copied = case("ceiling/copy", 20, lambda: copy_bandwidth(lab))
    case("headline/greedy", 60, lambda: greedy(lab, copied))
    for tokens, backward in ((8192, True), (1024, True), (128, False)):
        way = "forward and backward" if backward else "forward"
        case(f"headline/masked, {tokens} tokens, {way}", 40, lambda t=tokens, b=backward: masked(lab, t, b))
    for density in (0.1, 0.3):
        for tokens in (1, 2, 4):
            name = f"headline/decode, density {density}, {tokens} tokens"
            case(name, 30, lambda d=density, t=tokens: decode(lab, d, t))


def greedy(lab: Lab, copied: Row | None) -> Row:
    """10⁴ neurons on 10⁴ points, 1000 steps: from a Gram, by screening, and the loop over residuals, extrapolated."""
    neurons, points, steps = lab.size(10_000, 17), lab.size(10_000, 33), lab.size(1000, 3)
    loop_steps = min(3, steps)
    inputs, hidden = (lab.normal(n, 32, dtype=torch.float32, seed=n) for n in (points, neurons + 1))
    features = (hidden[:neurons] @ inputs.T).relu_() / points**0.5
    target = features.mean(0) + 0.1 * lab.normal(points, dtype=torch.float32) / points**0.5
    gram = Gram.from_features(features.double(), target.double())
    chosen = greedy_select(gram, steps).indices
    assert torch.equal(chosen, greedy_select((features, target), steps, method="stream").indices), "screening differs"
    assert residual_loop(features, target, loop_steps) == chosen[:loop_steps].tolist(), "the loop differs"
    times = lab.called(
        {
            "gram": lambda i: greedy_select(gram, steps),
            "screening": lambda i: greedy_select((features, target), steps, method="stream"),
            "loop": lambda i: residual_loop(features, target, loop_steps),
        }
    )
    loop = times["loop"].median * steps / loop_steps
    ratios = {f"loop over {name}": loop / times[name].median for name in ("gram", "screening")}
    seconds = {name: times[name].median for name in ("gram", "screening")}
    rate = neurons * points * steps / times["screening"].median  # int8: a byte for each neuron, point and step
    more = {"screened_share": rate / copied["bandwidth"]} if copied else {}
    return figures(times, **ratios, **seconds, **more)


def residual_loop(features: Tensor, target: Tensor, steps: int) -> list[int]:
    """The definition: the residual of every candidate at every step."""
    total = torch.zeros_like(target)
    chosen: list[int] = []
    for k in range(1, steps + 1):
        residuals = (total + features) / k - target
        chosen.append(int(residuals.square().sum(1).argmin()))
        total = total + features[chosen[-1]]
    return chosen


def masked(lab: Lab, tokens: int, backward: bool) -> Row:
    """`masked_linear` against the dense product and `F.linear(x, W * M)`; the weight takes a step before every call."""
    size, tokens = lab.size(8192, 40), lab.size(tokens, 2)
    weights = [weight.requires_grad_() for weight in rotated(lab, size, size)]
    masks = [lab.mask(size, size, 0.1, seed=i) for i in range(len(weights))]
    packed = [BitMask.pack(mask) for mask in masks]
    x, dy = lab.normal(tokens, size).requires_grad_(), lab.normal(tokens, size, seed=1)
    ways: dict[str, Callable[[int], Tensor]] = {
        "pruneproof": lambda i: masked_linear(x, weights[i], packed[i]),
        "W * M": lambda i: linear(x, weights[i] * masks[i]),
        "dense": lambda i: linear(x, weights[i]),
    }
    exact = (weights[0] * masks[0]).detach().double()
    require_close(ways["pruneproof"](0), x.detach().double() @ exact.T, x.detach().double().abs() @ exact.abs().T)

    def contender(way: Callable[[int], Tensor]) -> Contender:
        def call(index: int) -> object:
            weights[index].detach()[:1, :1].mul_(1)  # a new version of the weight, at the price of one tiny kernel
            y = way(index)
            return torch.autograd.grad(y, (x, weights[index]), dy) if backward else y

        return call

    times = lab.replayed({name: contender(way) for name, way in ways.items()}, weights[0].nbytes)
    ours = times["pruneproof"].median
    return figures(times, over_dense=ours / times["dense"].median, faster_than_product=times["W * M"].median / ours)


def decode(lab: Lab, density: float, tokens: int) -> Row:
    """csr16 against the library's dense product for a few tokens."""
    out, columns = lab.size(14336, 40), lab.size(4096, 64)
    x, mask = lab.normal(tokens, columns), lab.mask(out, columns, density)
    weights = [torch.where(mask, weight, 0) for weight in rotated(lab, out, columns)]
    sparse = [SparseWeight.from_dense(weight, mask, format="csr16") for weight in weights]
    exact = weights[0].double()
    require_close(sparse_linear(x, sparse[0]), x.double() @ exact.T, x.double().abs() @ exact.abs().T)
    calls: dict[str, Contender] = {
        "csr16": lambda i: sparse_linear(x, sparse[i]),
        "dense": lambda i: linear(x, weights[i]),
    }
    times = replayed(calls, buffers=len(weights), rounds=lab.size(15, 1))
    return figures(times, faster_than_dense=times["dense"].median / times["csr16"].median, bytes=sparse[0].nbytes)


# ---- the other operations -------------------------------------------------------------------------------------------


def others(lab: Lab, case: Case) -> None:
    """Sensitivities, top-k and replicates against what they replace."""
    case("other/sensitivities", 40, lambda: sensitivity(lab))
    case("other/top-k", 40, lambda: top_k(lab))
    case("other/replicates", 60, lambda: replicates(lab))


def sensitivity(lab: Lab) -> Row:
    """Against the loop over neurons that forms every share; inputs are positive, so no sum is zero."""
    size, batch = lab.size(4096, 20), lab.size(256, 3)
    weight = lab.normal(size, size, dtype=torch.float32)
    inputs = lab.normal(batch, size, dtype=torch.float32).abs()
    expected, found = shares_by_neuron(weight, inputs), sensitivities(weight, inputs)
    # two evaluations of one formula, each within (in + 8)u/(1 − (in + 8)u) of the exact value
    torch.testing.assert_close(found, expected, rtol=2.1 * (size + 8) * 2**-24, atol=0)
    times = lab.called(
        {"loop": lambda i: shares_by_neuron(weight, inputs), "ours": lambda i: sensitivities(weight, inputs)}, 3
    )
    return figures(times, faster_than_loop=times["loop"].median / times["ours"].median)


def shares_by_neuron(weight: Tensor, inputs: Tensor) -> Tensor:
    """One neuron at a time, both halves, every share of every point in memory."""
    result = torch.empty_like(weight)
    for i, row in enumerate(weight):
        halves = [inputs * row.clamp(min=0), inputs * (-row).clamp(min=0)]
        largest = [half.div_(half.sum(1, keepdim=True)).amax(0) for half in halves]
        torch.maximum(*largest, out=result[i])
    return result


def top_k(lab: Lab) -> Row:
    """A tenth of many scores, against `torch.topk` and a scatter."""
    scores = lab.normal(lab.size(1 << 28, 1 << 8), dtype=torch.float32)
    k = len(scores) // 10

    def peer(index: int) -> Tensor:
        return torch.zeros(len(scores), dtype=torch.bool, device=lab.device).scatter_(0, scores.topk(k).indices, True)

    assert torch.equal(top_k_masks([scores], k)[0], peer(0)), "another choice"  # no ties among so few normal numbers
    times = lab.called({"ours": lambda i: top_k_masks([scores], k), "peer": peer}, 3)
    return figures(times, faster_than_topk=times["peer"].median / times["ours"].median, entries=len(scores))


def replicates(lab: Lab) -> Row:
    """Sixteen perceptrons trained as one captured program, against the same steps of one program a perceptron."""
    from pruneproof.claims.training.replicates import initial_replicates
    from pruneproof.claims.training.trainer import Recipe, Trainer

    generator = torch.Generator().manual_seed(0)
    count, examples = lab.size(16, 2), lab.size(1437, 64)
    inputs = torch.rand(examples, 64, generator=generator).to(lab.device)
    labels = torch.randint(10, (examples,), generator=generator).to(lab.device)
    recipe = Recipe(epochs=lab.size(5, 1), batch=lab.size(128, 32))

    def train(seeds: range) -> Tensor:
        nets = initial_replicates([(64, 100, 10)] * len(seeds), seeds=seeds, device=lab.device)
        Trainer(nets, inputs, labels, recipe).run()
        return nets.weights[0]

    together, alone = train(range(count)), torch.cat([train(range(s, s + 1)) for s in range(count)])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)  # float32, dozens of steps: rounding only
    calls: dict[str, Contender] = {
        "together": lambda i: train(range(count)),
        "one by one": lambda i: [train(range(s, s + 1)) for s in range(count)],
    }
    times = lab.called(calls, 3)
    return figures(times, faster_than_one_by_one=times["one by one"].median / times["together"].median)


# ---- counters -------------------------------------------------------------------------------------------------------


def counters(lab: Lab, case: Case) -> None:
    """Which kernels a call runs, and for how long each, as the profiler counts them."""
    size = lab.size(8192, 40)

    def masked_call() -> Callable[[], object]:
        weight, mask = lab.normal(size, size).requires_grad_(), BitMask.pack(lab.mask(size, size, 0.1))
        x = lab.normal(lab.size(1024, 2), size).requires_grad_()
        return lambda: masked_linear(x, weight, mask).sum().backward()

    def decode_call() -> Callable[[], object]:
        sparse = SparseWeight.from_dense(lab.normal(size, size), lab.mask(size, size, 0.1), format="csr16")
        x = lab.normal(1, size)
        return lambda: sparse_linear(x, sparse)

    def greedy_call() -> Callable[[], object]:
        features = lab.normal(lab.size(4096, 17), lab.size(4096, 33), dtype=torch.float32).relu()
        target, steps = features.mean(0), lab.size(64, 2)
        return lambda: greedy_select((features, target), steps, method="stream")

    for name, make in (("masked", masked_call), ("decode", decode_call), ("greedy", greedy_call)):
        case(f"counters/{name}", 30, lambda make=make: profiled(lab, make()))


def profiled(lab: Lab, call: Callable[[], object]) -> Row:
    """Launches and microseconds by kernel; none if the profiler cannot see the device."""
    from torch.profiler import ProfilerActivity, profile

    call()
    with profile(activities=[ProfilerActivity.CPU if lab.toy else ProfilerActivity.CUDA]) as profiler:
        call()
        lab.device_works()
    events = [event for event in profiler.key_averages() if lab.toy or event.self_device_time_total > 0]
    kernels = {event.key: [event.count, round(event.self_device_time_total, 2)] for event in events}
    largest = sorted(kernels.items(), key=lambda item: -item[1][1])[:20]
    return {"launches": sum(count for count, _ in kernels.values()), "kernels": dict(largest)}


STEPS = (ceilings, correctness, headlines, choices, others, counters)
