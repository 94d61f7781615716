"""Products with compressed rows agree with float64 at every number of tokens, whichever product computes them."""

import pytest
import torch

from pruneproof.kernels.rows import CHUNK, LEAST, compressed, times

from .cases import gamma

OUT, IN = 40, 300


def _weight(density: float, dtype: torch.dtype) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(OUT, IN, generator=g).to(dtype) * (torch.rand(OUT, IN, generator=g) < density)
    weight[::7] = 0  # rows without an entry: an empty bag
    return weight


def _rows(weight: torch.Tensor) -> torch.Tensor:
    row, column = weight.nonzero(as_tuple=True)
    starts = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(row, minlength=OUT).cumsum(0)])
    return compressed(starts.int(), column.int(), weight[row, column], (OUT, IN))


@pytest.mark.parametrize("tokens", [0, 1, 2, LEAST - 1, LEAST, LEAST + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
@pytest.mark.parametrize("density", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("strided", [False, True])
def test_products_agree_with_float64(tokens: int, density: float, dtype: torch.dtype, strided: bool) -> None:
    weight = _weight(density, dtype)
    x = torch.randn(tokens, 2 * IN, generator=torch.Generator().manual_seed(1)).to(dtype)
    x = x[:, ::2] if strided else x[:, :IN].contiguous()
    y = times(_rows(weight), x)
    exact, size = x.double() @ weight.double().T, x.double().abs() @ weight.double().abs().T
    assert y.dtype == dtype and y.is_contiguous() and y.shape == (tokens, OUT)
    assert ((y - exact).abs() <= (gamma(IN + 1, dtype) + gamma(IN + 1, torch.float64)) * size).all()
