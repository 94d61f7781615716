"""The masked linear map and its two derivatives in plain torch, on any leading batch dimensions.

With M the mask and ∘ the entrywise choice "w where kept, exact 0 elsewhere" (so inf and NaN cannot leak through 0·w):
forward y = x(W∘M)ᵀ + b, input gradient dX = dY(W∘M), weight gradient dW = (dYᵀX)∘M.
"""

import torch
from torch import Tensor

from pruneproof.kernels.bits import unpack_words


def masked_weight(weight: Tensor, words: Tensor) -> Tensor:
    """W∘M as a new tensor (…, out, in); `words` are the packed bits of M."""
    return torch.where(unpack_words(words, weight.shape[-1]), weight, 0)


def forward(x: Tensor, weight: Tensor, words: Tensor, bias: Tensor | None) -> Tensor:
    """x (…, tokens, in) to (…, tokens, out)."""
    return linear(x, masked_weight(weight, words), bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b, rounded to the dtype once: 16-bit types add the bias in float32."""
    if bias is None:
        return x @ weight.mT
    wide = torch.promote_types(x.dtype, torch.float32)
    return (x.to(wide) @ weight.to(wide).mT + bias.to(wide)[..., None, :]).to(x.dtype)


def input_gradient(dy: Tensor, weight: Tensor, words: Tensor) -> Tensor:
    """Dy (…, tokens, out) to dx (…, tokens, in)."""
    return dy @ masked_weight(weight, words)


def weight_gradient(dy: Tensor, x: Tensor, words: Tensor, masked: bool) -> Tensor:
    """Dy (…, tokens, out) and x (…, tokens, in) to dW (…, out, in), zero outside the mask if `masked`."""
    dense = dy.mT @ x
    return masked_weight(dense, words) if masked else dense.contiguous()
