"""Sensitivities: the definition in float64, its invariances, its bad input, and what a wrong formula would give."""

import pytest
import torch

from pruneproof.errors import PruneproofError
from pruneproof.kernels import convolution_patches, sensitivities
from pruneproof.kernels.sensitivity.reference import largest_products, products_point_by_point


def by_definition(weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Loop over neurons, halves and pseudo-points, in float64."""
    w, a = weight.double(), inputs.double()
    points = torch.cat([a.clamp(min=0), (-a).clamp(min=0)])
    result = torch.zeros_like(w)
    for i, row in enumerate(w):
        for half in (row.clamp(min=0), (-row).clamp(min=0)):
            for point in points:
                terms = half * point
                if terms.sum() > 0:
                    result[i] = torch.maximum(result[i], terms / terms.sum())
    return result


def relative_bound(columns: int, dtype: torch.dtype) -> float:
    """The docstring's (in + 8)u/(1 − (in + 8)u): non-negative terms, two scalings, a division, two products."""
    nu = (columns + 8) * torch.finfo(dtype).eps / 2
    return nu / (1 - nu)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (17, 33, 9), (5, 65, 2), (0, 4, 3), (4, 0, 3), (4, 3, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_the_definition(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    out, columns, batch = shape
    generator = torch.Generator().manual_seed(out + columns)
    weight = torch.randn(out, columns, generator=generator, dtype=dtype)
    inputs = torch.randn(batch, columns, generator=generator, dtype=dtype)
    weight[weight.abs() < 0.2] = 0
    inputs[:1] = 0
    expected = by_definition(weight, inputs)
    found = sensitivities(weight, inputs).double()
    assert torch.all((found - expected).abs() <= relative_bound(columns, dtype) * expected)


def test_blocks_of_points_make_no_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(3, 5, generator=generator), torch.rand(2500, 5, generator=generator)
    parts = [sensitivities(weight, part) for part in inputs.split(400)]
    bound = 2 * relative_bound(5, torch.float32)
    whole = sensitivities(weight, inputs)
    assert torch.all((whole - torch.stack(parts).amax(0)).abs() <= bound * whole)


@pytest.mark.parametrize("exponents", [(-80, -80), (-126, 127), (127, -126)])
def test_scale_of_rows_and_points_cancels_also_at_the_ends_of_the_range(exponents: tuple[int, int]) -> None:
    """Powers of two scale exactly; products and sums of what is given would underflow or overflow."""
    generator = torch.Generator().manual_seed(1)
    weight, inputs = (
        (1 + torch.rand(rows, 6, generator=generator)) * (2 * torch.randint(2, (rows, 6), generator=generator) - 1)
        for rows in (4, 5)
    )
    found = sensitivities(weight * 2.0 ** exponents[0], inputs * 2.0 ** exponents[1])
    torch.testing.assert_close(found, sensitivities(weight, inputs), rtol=2 * relative_bound(6, torch.float32), atol=0)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 7, 1), (2, 0, 3), (0, 2, 3), (2, 3, 0)])
def test_both_ways_to_the_largest_products_give_the_largest_product(shape: tuple[int, int, int]) -> None:
    """Exactly: a product is rounded once, and a maximum not at all. A GPU takes the points one by one."""
    rows, points, columns = shape
    generator = torch.Generator().manual_seed(rows + points)
    left, right = torch.rand(rows, points, generator=generator), torch.rand(points, columns, generator=generator)
    products = left[:, :, None] * right
    expected = products.amax(1) if points else torch.zeros(rows, columns)
    assert torch.equal(largest_products(left, right), expected)
    assert torch.equal(products_point_by_point(left, right), expected)


def test_never_above_one_and_one_where_a_weight_stands_alone() -> None:
    weight = torch.tensor([[0.1, -0.7, 0.0]])
    found = sensitivities(weight, torch.rand(50, 3, generator=torch.Generator().manual_seed(2)) + 0.1)
    assert found.tolist() == [[1.0, 1.0, 0.0]]


def test_the_mean_over_points_is_told_from_the_maximum() -> None:
    weight, inputs = torch.ones(1, 2), torch.tensor([[1.0, 3.0], [3.0, 1.0]])
    assert sensitivities(weight, inputs).tolist() == [[0.75, 0.75]]  # the mean would be 0.5


def test_a_filter_is_a_row_met_at_every_patch() -> None:
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(2, 3, 5, 6, generator=generator)
    weight = torch.randn(4, 3, 2, 2, generator=generator)
    patches = convolution_patches(images, (2, 2), stride=(2, 1), padding=(1, 0))
    convolved = torch.nn.functional.conv2d(images, weight, stride=(2, 1), padding=(1, 0))
    product = (patches @ weight.flatten(1).T).reshape(2, *convolved.shape[2:], 4).permute(0, 3, 1, 2)
    torch.testing.assert_close(product, convolved)
    expected = by_definition(weight.flatten(1), patches)
    torch.testing.assert_close(
        sensitivities(weight.flatten(1), patches).double(), expected, rtol=relative_bound(12, torch.float32), atol=0
    )


@pytest.mark.parametrize(
    ("weight", "inputs", "said"),
    [
        (torch.ones(2, 3), torch.ones(4, 2), "weight \\(out, in\\)"),
        (torch.ones(2, 3, 1), torch.ones(4, 3), "weight \\(out, in\\)"),
        (torch.ones(2, 3), torch.ones(4, 3).double(), "one floating dtype"),
        (torch.ones(2, 3).int(), torch.ones(4, 3).int(), "one floating dtype"),
        (torch.full((2, 3), torch.nan), torch.ones(4, 3), "weight must be finite"),
        (torch.ones(2, 3), torch.full((4, 3), torch.inf), "inputs must be finite"),
    ],
)
def test_refuses(weight: torch.Tensor, inputs: torch.Tensor, said: str) -> None:
    with pytest.raises(PruneproofError, match=said):
        sensitivities(weight, inputs)


@pytest.mark.parametrize(
    ("images", "size", "said"),
    [
        (torch.ones(3, 4, 4), 2, "batch, channels"),
        (torch.ones(1, 3, 4, 4).int(), 2, "floating images"),
        (torch.ones(1, 3, 4, 4), 5, "reaches over 5 x 5 pixels"),
    ],
)
def test_patches_refuse(images: torch.Tensor, size: int, said: str) -> None:
    with pytest.raises(PruneproofError, match=said):
        convolution_patches(images, (size, size))
