"""A case per operation: sample arguments, refused arguments, a float64 reference and an error bound.

Sizes are odd and small on purpose (1, 7, 17, 33, 65, 129, and 0), so that a kernel's masked edges do most of the work;
`integers=True` draws whole numbers small enough that every sum is exact in every dtype.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pruneproof.kernels.bits import BitMask
from pruneproof.kernels.greedy.reference import naive_average
from pruneproof.kernels.sparse.weight import SparseWeight

Arguments = list[tuple[Any, ...]]
Refusals = list[tuple[tuple[Any, ...], str]]  # arguments and a key fact of the message
FLOAT8 = torch.float8_e4m3fn  # floating point, but no type that the operations accept
SIZES = ((1, 1, 1), (7, 17, 33), (33, 65, 129), (17, 129, 7), (0, 7, 17), (3, 0, 17), (3, 7, 0), (2, 8, 1100))


def unit(dtype: torch.dtype) -> float:
    """The unit roundoff of rounding to nearest."""
    return torch.finfo(dtype).eps / 2


def gamma(n: int, dtype: torch.dtype) -> float:
    """n·u/(1 − n·u) for sums of n terms in the accumulator of `dtype` (float32 for 16-bit types)."""
    u = unit(torch.float64 if dtype == torch.float64 else torch.float32)
    return n * u / (1 - n * u)


def exact(args: tuple[Any, ...], result: Tensor, dtype: torch.dtype) -> Tensor:
    """No error is allowed."""
    return torch.zeros_like(result)


def numbers(generator: torch.Generator, *shape: int, integers: bool = False) -> Tensor:
    """Float64 normal numbers, or whole numbers from −2 to 2."""
    if integers:
        return torch.randint(-2, 3, shape, generator=generator).double()
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def masked_samples(generator: torch.Generator, device: str, dtype: torch.dtype, integers: bool = False) -> Arguments:
    """(x, weight, mask, bias): the sizes above, then full and empty masks, strides, misalignment, poison."""
    rows: Arguments = []
    for tokens, out, columns in SIZES:
        x, weight, bias = (
            numbers(generator, *s, integers=integers) for s in ((tokens, columns), (out, columns), (out,))
        )
        mask = torch.rand(out, columns, generator=generator) < 0.4
        weight[~mask] = torch.nan  # a masked entry must not be seen
        rows.append(tuple(t.to(device) for t in (x.to(dtype), weight.to(dtype), mask, bias.to(dtype))))
    x, weight, mask, bias = rows[2]
    clean = torch.where(mask, weight, 1)
    rows += [(x, clean, torch.ones_like(mask), None), (x, weight, torch.zeros_like(mask), bias)]
    rows += [(x.T.contiguous().T, clean.T.contiguous().T, BitMask.pack(mask), bias)]  # column-major
    wide = torch.cat([clean, clean], 1).flatten()[1:].unfold(0, clean.shape[1], 2 * clean.shape[1])
    rows += [(torch.cat([x, x], 1)[:, 1 : 1 + x.shape[1]], wide, mask[: len(wide)], None)]  # misaligned rows
    return [*rows, (x.reshape(3, 11, -1), weight, mask, bias)]


def masked_reference(x: Tensor, weight: Tensor, mask: Tensor | BitMask, bias: Tensor | None = None) -> Tensor:
    """x (W∘M)ᵀ + b in float64."""
    bools = mask.unpack() if isinstance(mask, BitMask) else mask
    y = x.double() @ torch.where(bools, weight.double(), 0).T
    return y if bias is None else y + bias.double()


def masked_bound(args: tuple[Any, ...], result: Tensor, dtype: torch.dtype) -> Tensor:
    """The bound that the registry states, with the masked weight."""
    x, weight, mask, bias = args
    bools = mask.unpack() if isinstance(mask, BitMask) else mask
    return linear_bound(x, torch.where(bools, weight, 0), bias, result, dtype)


def linear_bound(x: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor, dtype: torch.dtype) -> Tensor:
    """The registry's bound; the rounding to dtype is of the computed value, hence 1 + u; subnormals round worse."""
    size = x.double().abs() @ weight.double().abs().T + (0 if bias is None else bias.double().abs())
    summing, u = gamma(x.shape[-1] + 1, dtype) * size, unit(dtype)
    return summing * (1 + u) + u * result.abs() + torch.finfo(dtype).smallest_normal * u


def masked_refusals(device: str) -> Refusals:
    """Shapes, dtypes and masks that do not fit."""
    x, w, m = torch.ones(2, 3, device=device), torch.ones(4, 3, device=device), torch.ones(4, 3, device=device) > 0
    return [
        ((x[:, :2], w, m), "weight \\(out, in\\)"),
        ((x, w, m[:3]), "mask must have shape"),
        ((x, w, m, torch.ones(3, device=device)), "mask must have shape"),
        ((x.half(), w, m), "one floating dtype"),
        ((x, w, m.float()), "mask must be bool"),
        ((x.int(), w.int(), m), "one floating dtype"),
        ((x, w, m.to("meta")), "one device"),
        ((x, w, BitMask.pack(m).to("meta")), "one device"),
        ((x.to(FLOAT8), w.to(FLOAT8), m), "one floating dtype"),
        ((x, w, m.tolist()), "mask must be a tensor, got list"),
    ]


def sparse_samples(generator: torch.Generator, device: str, dtype: torch.dtype, integers: bool = False) -> Arguments:
    """(x, SparseWeight, bias) in every format for every size."""
    rows: Arguments = []
    for tokens, out, columns in SIZES:
        x, weight, bias = (
            numbers(generator, *s, integers=integers) for s in ((tokens, columns), (out, columns), (out,))
        )
        x, weight, bias = (t.to(device, dtype) for t in (x, weight, bias))
        mask = (torch.rand(out, columns, generator=generator) < 0.4).to(device)
        for format in ("dense", "csr16", "bsr64", "bsr128"):
            sparse = SparseWeight.from_dense(weight, mask, format=format)
            rows.append((x, sparse, None if format == "bsr64" else bias))
    return rows


def sparse_reference(x: Tensor, weight: SparseWeight, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b in float64."""
    y = x.double() @ weight.to_dense().double().T
    return y if bias is None else y + bias.double()


def sparse_bound(args: tuple[Any, ...], result: Tensor, dtype: torch.dtype) -> Tensor:
    """the bound that the registry states with the rebuilt weight."""
    x, weight, bias = args
    return linear_bound(x, weight.to_dense(), bias, result, dtype)


def sparse_refusals(device: str) -> Refusals:
    """Shapes and dtypes that do not fit."""
    weight = SparseWeight.from_dense(torch.eye(3, device=device), format="csr16")
    x = torch.ones(2, 3, device=device)
    return [
        ((x[:, :2], weight), "bias \\(3,\\)"),
        ((x, weight, x[0, :2]), "bias \\(3,\\)"),
        ((x.double(), weight), "x and bias must be torch.float32"),
        ((x.to("meta"), weight), "x and bias must be torch.float32 on"),
        ((x, weight.to_dense()), "must be a SparseWeight, got Tensor"),
        ((x.tolist(), weight), "x must be a tensor, got list"),
    ]


def sensitivity_samples(
    generator: torch.Generator, device: str, dtype: torch.dtype, integers: bool = False
) -> Arguments:
    """(weight, inputs), signs mixed, some zeros and a zero point."""
    rows: Arguments = []
    for batch, out, columns in SIZES:
        weight, inputs = (numbers(generator, *s, integers=integers) for s in ((out, columns), (batch, columns)))
        weight[weight.abs() < 0.2], inputs[:1] = 0, 0
        rows.append((weight.to(device, dtype), inputs.to(device, dtype)))
    return [*rows, (rows[2][0].T.contiguous().T, rows[2][1].abs())]


def sensitivity_reference(weight: Tensor, inputs: Tensor) -> Tensor:
    """The definition: neuron by neuron, half by half, point by point."""
    w, a = weight.double(), inputs.double()
    result = torch.zeros_like(w)
    for half in (w.clamp(min=0), (-w).clamp(min=0)):
        for point in torch.cat([a.clamp(min=0), (-a).clamp(min=0)]):
            terms = half * point
            sums = terms.sum(1, keepdim=True)
            result = torch.maximum(result, torch.where(sums > 0, terms / sums, 0))
    return result


def sensitivity_bound(args: tuple[Any, ...], result: Tensor, dtype: torch.dtype) -> Tensor:
    """γ_{in+8}·s and one rounding to dtype; a sensitivity below the smallest normal number rounds absolutely."""
    u, g = unit(dtype), gamma(args[0].shape[1] + 8, dtype)
    return (g * (1 + u) + u) * result + torch.finfo(dtype).smallest_normal * u


def sensitivity_refusals(device: str) -> Refusals:
    """Shapes, dtypes and values that do not fit."""
    w, a = torch.ones(2, 3, device=device), torch.ones(4, 3, device=device)
    return [
        ((w, a[:, :2]), "weight \\(out, in\\)"),
        ((w, a.double()), "one floating dtype"),
        ((w * torch.nan, a), "weight must be finite"),
        ((w, a * torch.inf), "inputs must be finite"),
        ((w.to(FLOAT8), a.to(FLOAT8)), "one floating dtype"),
        ((w, a.to("meta")), "one device"),
        ((w, a.tolist()), "inputs must be a tensor, got list"),
    ]


def greedy_samples(generator: torch.Generator, device: str, dtype: torch.dtype, integers: bool = False) -> Arguments:
    """((features, target), steps); whole numbers make true ties."""
    rows: Arguments = []
    for neurons, points, steps in ((1, 1, 2), (7, 17, 5), (33, 9, 6)):
        features = numbers(generator, neurons, points, integers=integers).clamp(min=0)
        target = numbers(generator, points, integers=integers).abs() / 4
        rows.append(((features.to(device, dtype), target.to(device, dtype)), steps))
    twin = torch.cat([rows[1][0][0]] * 2)
    return [*rows, ((twin, rows[1][0][1]), 5)]  # every neuron twice: ties go to the lowest index


def greedy_reference(problem: tuple[Tensor, Tensor], steps: int) -> Tensor:
    """The indices that the definition chooses in float64."""
    features, target = problem
    return torch.tensor(naive_average(features.double(), target.double(), steps, True).indices, device=target.device)


def greedy_refusals(device: str) -> Refusals:
    """Problems that cannot be selected from."""
    pair = (torch.eye(3, device=device), torch.ones(3, device=device))
    return [
        ((pair, 0), "of at least 1"),
        (((pair[0], pair[1][:2]), 1), "target"),
        (((pair[0] * torch.nan, pair[1]), 1), "finite"),
        (((pair[0], pair[1].to("meta")), 1), "target \\(points,\\) must be on"),
        (((pair[0].to(FLOAT8), pair[1]), 1), "floating point, got torch.float8"),
    ]


def top_k_samples(generator: torch.Generator, device: str, dtype: torch.dtype, integers: bool = False) -> Arguments:
    """(tensors, k): several shapes, ties, everything and nothing kept."""
    tensors = [numbers(generator, *s, integers=integers).to(device, dtype) for s in ((7, 17), (0, 3), (65,), (3, 3, 3))]
    return [(tensors, k) for k in (0, 1, 100, 7 * 17 + 65 + 27)]


def top_k_reference(tensors: list[Tensor], k: int) -> Tensor:
    """All masks as one vector, by a stable sort."""
    flat = torch.cat([t.double().flatten() for t in tensors])
    mask = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    mask[flat.argsort(descending=True, stable=True)[:k]] = True
    return mask


def top_k_refusals(device: str) -> Refusals:
    """Counts and scores that do not fit."""
    scores = [torch.ones(3, device=device)]
    return [
        ((scores, 4), "whole number from 0 to 3"),
        (([scores[0] * torch.nan], 1), "ordered"),
        (([scores[0].int()], 1), "dtype"),
        (([scores[0].to(FLOAT8)], 1), "dtype"),
        (([scores[0].tolist()], 1), "every entry of scores must be a tensor, got list"),
    ]


@dataclass(frozen=True)
class Case:
    """What holds an operation to its promise.

    Args:
        reference: The same function in float64 torch, from the definition; returns one tensor.
        samples: `(generator, device, dtype, integers=False)` → argument tuples: odd, empty, strided, misaligned.
        refusals: device → arguments that are refused, each with a key fact of the message.
        bound: `(arguments, reference result, dtype)` → the elementwise error bound; zero for an exact operation.
    """

    reference: Callable[..., Tensor]
    samples: Callable[..., Arguments]
    refusals: Callable[[str], Refusals]
    bound: Callable[[tuple[Any, ...], Tensor, torch.dtype], Tensor]


CASES = {
    "greedy_select": Case(greedy_reference, greedy_samples, greedy_refusals, exact),
    "masked_linear": Case(masked_reference, masked_samples, masked_refusals, masked_bound),
    "sensitivities": Case(sensitivity_reference, sensitivity_samples, sensitivity_refusals, sensitivity_bound),
    "sparse_linear": Case(sparse_reference, sparse_samples, sparse_refusals, sparse_bound),
    "top_k_masks": Case(top_k_reference, top_k_samples, top_k_refusals, exact),
}
