r"""SparseGPT: prune a layer column by column, and let the columns to the right make up for each error.

With the Gram matrix H = X Xᵀ + damping of the layer's inputs, removing w_ij and moving the others of
its row to where ‖(ŵ − w) X‖ is least costs w_ij² / [H⁻¹]_jj: the optimal brain surgeon. Taken from
left to right, with the columns before j fixed, the inverse of the remaining block of H is given by
the rows of the upper triangular U with H⁻¹ = UᵀU, so that one factorisation serves all columns:
an error e_j = (w_j − ŵ_j) / U_jj moves column k > j by −e_j U_jk.

U is the inverse of the upper triangular R with H = R Rᵀ, which is the Cholesky factor of H read from
the other end; its rows are found block by block, n³/3 multiplications each where the published
code takes the factor, the inverse and the factor of the inverse. The weight is kept transposed, so
that a column lies in one piece.

Source: Frantar and Alistarh 2023, "SparseGPT: Massive Language Models Can Be Accurately Pruned in
One-Shot"; the defaults (blocks of 128 columns, 1 % damping) are those of their code.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError

Keep = Callable[[Tensor, int], Tensor]  # (scores (columns, outputs), first column) → bool of that shape


@dataclass(frozen=True)
class InverseFactor:
    """The inverse of a layer's Gram matrix, factored.

    Args:
        upper: U, (inputs, inputs), upper triangular, with (gram + damping)⁻¹ = UᵀU.
        silent: (inputs,) bool, inputs that were always zero.
    """

    upper: Tensor
    silent: Tensor


def inverse_factor(gram: Tensor, damping: float, *, name: str, block_size: int = 128) -> InverseFactor:
    """Factor the inverse of a Gram matrix, in its place.

    Args:
        gram: (inputs, inputs), symmetric and contiguous; overwritten.
        damping: Share of the mean squared norm of the inputs (the silent ones aside) that is added
            to the diagonal, > 0.
        name: The layer, for the message.
        block_size: Rows of the inverse that are found at once.

    Raises:
        InvalidValueError: The matrix is not positive definite in its precision.
    """
    silent = gram.diagonal() == 0
    diagonal = gram.diagonal()
    mean = float(diagonal.double().sum()) / max(1, int((~silent).sum())) or 1.0
    diagonal[silent] = mean
    diagonal += damping * mean
    _reverse_(gram)
    failed = torch.empty((), dtype=torch.int32, device=gram.device)
    columns = gram.mT  # as LAPACK lays matrices out, so that nothing is copied
    torch.linalg.cholesky_ex(columns, upper=True, out=(columns, failed))
    if int(failed):
        raise InvalidValueError(
            f"calibrated: the Gram matrix of the inputs of {name} is singular at damping={damping:g}. "
            "Pass more batches, or a larger damping such as 0.1."
        )
    _reverse_(gram)  # now R, with R Rᵀ what was given
    invert_triangular_(gram, block_size)
    return InverseFactor(gram, silent)


def _reverse_(matrix: Tensor) -> None:
    """Reverse rows and columns of a contiguous matrix in its place."""
    flat, step = matrix.view(-1), matrix.shape[1]
    for start in range(0, len(flat) // 2, step):
        stop = min(start + step, len(flat) // 2)
        front, back = flat[start:stop], flat[len(flat) - stop : len(flat) - start]
        kept = front.flip(0)
        front.copy_(back.flip(0))
        back.copy_(kept)


def invert_triangular_(upper: Tensor, block_size: int = 128) -> None:
    """Put the inverse X of an upper triangular R in its place, from X R = I, without a second matrix.

    Block row by block row, as R's block row i is needed by none of the later ones: with the columns
    before j known, X_ij = −(Σ_{i ≤ k < j} X_ik R_kj) R_jj⁻¹.
    """
    size = len(upper)
    blocks = [slice(start, min(start + block_size, size)) for start in range(0, size, block_size)]
    eye = torch.eye(min(block_size, size), dtype=upper.dtype, device=upper.device)
    ends = [
        torch.linalg.solve_triangular(upper[b, b], eye[: b.stop - b.start, : b.stop - b.start], upper=True)
        for b in blocks
    ]
    for i, rows in enumerate(blocks):
        row = torch.empty(rows.stop - rows.start, size - rows.start, dtype=upper.dtype, device=upper.device)
        row[:, : rows.stop - rows.start] = ends[i]
        for columns, end in zip(blocks[i + 1 :], ends[i + 1 :], strict=True):
            known = row[:, : columns.start - rows.start]
            sums = known @ upper[rows.start : columns.start, columns]
            torch.mm(sums.neg_(), end, out=row[:, columns.start - rows.start : columns.stop - rows.start])
        upper[rows, rows.start :] = row


def pruned_and_updated(
    weight: Tensor, inverse: InverseFactor, keep: Keep, *, columns_chosen: int, block_size: int
) -> tuple[Tensor, Tensor]:
    """Prune one linear map and update what is left.

    Args:
        weight: (outputs, inputs).
        inverse: Of the Gram matrix of its inputs.
        keep: What survives of some columns, given the scores w² / [U_jj]² of their weights as they
            are by then, transposed. A weight that reads a silent input scores zero.
        columns_chosen: How many columns `keep` sees at once; divides `block_size`.
        block_size: Columns after which the update reaches the columns beyond the block.

    Returns:
        The updated weight (outputs, inputs), exactly zero where pruned, and the mask.
    """
    upper = inverse.upper
    columns = weight.T.to(upper.dtype).contiguous()
    if columns.data_ptr() == weight.data_ptr():
        columns = columns.clone()  # a weight that is stored transposed
    kept = torch.empty(columns.shape, dtype=torch.bool, device=columns.device)
    scale = torch.where(inverse.silent, 0.0, 1 / upper.diagonal())
    for start in range(0, len(columns), block_size):
        stop = min(start + block_size, len(columns))
        block, factor, chosen = columns[start:stop], upper[start:stop, start:stop], kept[start:stop]
        errors = torch.empty_like(block)
        for j in range(stop - start):
            if j % columns_chosen == 0:
                ahead = slice(j, j + columns_chosen)
                chosen[ahead] = keep((block[ahead] * scale[start:stop][ahead, None]).square(), start + j)
            torch.mul(block[j], ~chosen[j], out=errors[j])
            errors[j] /= factor[j, j]
            block[j + 1 :].addr_(factor[j, j + 1 :], errors[j], alpha=-1)
        columns[stop:].addmm_(upper[start:stop, stop:].T, errors, alpha=-1)
    columns.masked_fill_(~kept, 0)
    return columns.T, kept.T
