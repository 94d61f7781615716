"""Sparse formats: exact round trips, honest bytes, the choice of a format, and refusals."""

import pytest
import torch

from pruneproof.errors import PruneproofError
from pruneproof.kernels import BitMask, SparseWeight, sparse_linear
from pruneproof.kernels.sparse import weight as weight_module
from pruneproof.kernels.sparse.formats import FORMATS

SHAPES = [(1, 1), (7, 17), (33, 65), (129, 300), (3, 1030), (0, 4), (4, 0)]


def weight_and_mask(out: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(out + columns)
    weight = torch.randn(out, columns, generator=generator)
    mask = torch.rand(out, columns, generator=generator) < 0.5
    return weight, mask


@pytest.mark.parametrize("format", [*FORMATS, "auto", "bsr"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_round_trip_is_exact(format: str, shape: tuple[int, int], dtype: torch.dtype) -> None:
    weight, mask = weight_and_mask(*shape)
    weight = weight.to(dtype)
    expected = torch.where(mask, weight, 0)
    for given in (mask, BitMask.pack(mask)):
        assert torch.equal(SparseWeight.from_dense(weight, given, format=format).to_dense(), expected)
    assert torch.equal(SparseWeight.from_dense(expected, format=format).to_dense(), expected)


@pytest.mark.parametrize("format", list(FORMATS))
def test_kept_infinities_and_nans_survive_and_masked_ones_vanish(format: str) -> None:
    weight = torch.tensor([[torch.inf, torch.nan, 1.0, torch.nan, -torch.inf, 0.0, -0.0]])
    mask = torch.tensor([[True, False, False, True, True, True, False]])
    dense = SparseWeight.from_dense(weight, mask, format=format).to_dense()
    torch.testing.assert_close(dense, torch.where(mask, weight, 0), equal_nan=True, rtol=0, atol=0)


def test_bytes_are_those_of_the_parts() -> None:
    """16-bit values: csr16 takes 4 bytes per entry and 4 per row, blocks whole tiles."""
    weight = torch.zeros(64, 256, dtype=torch.bfloat16)
    weight[:, ::4] = 1
    assert SparseWeight.from_dense(weight, format="csr16").nbytes == 64 * 64 * 4 + 65 * 4
    assert SparseWeight.from_dense(weight, format="dense").nbytes == weight.nbytes
    weight[:, 64:] = 0
    assert SparseWeight.from_dense(weight, format="bsr").format == "bsr64"
    assert SparseWeight.from_dense(weight, format="bsr64").nbytes == 64 * 64 * 2 + 4 + 2 * 4


def test_csr16_interleaves_neighbours_across_vectors() -> None:
    """Entry e of a chunk of 256 sits in vector e mod 32, slot e div 32: the i-th loads of a warp are neighbours."""
    columns = SparseWeight.from_dense(torch.ones(1, 512), format="csr16").parts[1].int()
    assert columns[:256].view(32, 8).T.flatten().tolist() == list(range(256))
    assert columns[256:].view(32, 8).T.flatten().tolist() == list(range(256, 512))


def test_auto_says_that_nothing_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_module, "measured_rows", dict)
    sparse = SparseWeight.from_dense(torch.eye(8), batch=1)
    assert sparse.format == "dense" and "no break-even point was measured on cpu" in sparse.reason


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="without MKL the product is dense")
def test_auto_stores_few_weights_sparse_on_the_cpu() -> None:
    weight = torch.rand(300, 300, generator=torch.Generator().manual_seed(0))
    for density, dtype, batch, format in (
        (0.1, torch.float32, None, "csr16"),
        (0.25, torch.float64, 4, "csr16"),
        (0.25, torch.float32, None, "dense"),
        (0.1, torch.bfloat16, None, "dense"),
    ):
        sparse = SparseWeight.from_dense(weight.to(dtype), weight < density, batch=batch)
        assert sparse.format == format, sparse.reason


def test_auto_follows_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"format": "csr16", "max_tokens": 64, "max_stored": 0.1, "min_weights": 1},
        {"format": "csr16", "max_tokens": 2, "max_stored": 0.3, "min_weights": 1},
        {"format": "bsr64", "max_tokens": None, "max_stored": 0.5, "min_weights": 1},
    ]
    monkeypatch.setattr(weight_module, "measured_rows", lambda: {"cpu": rows})
    scattered = torch.rand(128, 128, generator=torch.Generator().manual_seed(0)) < 0.2
    structured = torch.arange(128).expand(128, 128) % 16 < 1
    corner = torch.zeros(128, 128, dtype=torch.bool)
    corner[:64, :64] = True
    weight = torch.ones(128, 128)
    chosen = [
        SparseWeight.from_dense(weight, mask, batch=batch).format
        for mask, batch in ((structured, 8), (scattered, 1), (scattered, 3), (corner, None), (scattered, None))
    ]
    assert chosen == ["csr16", "csr16", "dense", "bsr64", "dense"]


@pytest.mark.parametrize(
    ("weight", "mask", "format", "said"),
    [
        (torch.ones(3), None, "auto", "floating matrix"),
        (torch.ones(3, 3).int(), None, "auto", "floating matrix"),
        (torch.ones(3, 3).to(torch.float8_e4m3fn), None, "auto", "floating matrix"),
        (torch.ones(3, 3), torch.ones(3, 3, device="meta").bool(), "auto", "mask must be bool of shape"),
        (torch.ones(3, 3), torch.ones(3, 2).bool(), "auto", "mask must be bool of shape"),
        (torch.ones(3, 3), torch.ones(3, 3), "auto", "mask must be bool of shape"),
        (torch.ones(3, 3), None, "ellpack", "format must be one of"),
        (torch.ones(1, 65_537), None, "csr16", "at most 65536 columns"),
    ],
)
def test_refuses(weight: torch.Tensor, mask: torch.Tensor | None, format: str, said: str) -> None:
    with pytest.raises(PruneproofError, match=said):
        SparseWeight.from_dense(weight, mask, format=format)


@pytest.mark.parametrize("batch", [0, -1, 1.5, True, "4"])
def test_refuses_a_batch_that_is_no_count(batch: object) -> None:
    with pytest.raises(PruneproofError, match="batch must be a whole number"):
        SparseWeight.from_dense(torch.ones(3, 3), batch=batch)  # pyright: ignore[reportArgumentType]


def test_the_last_column_that_csr16_can_name() -> None:
    weight = torch.zeros(2, 65_536)
    weight[1, -1] = 3
    assert torch.equal(SparseWeight.from_dense(weight, format="csr16").to_dense(), weight)


@pytest.mark.parametrize("format", [*FORMATS, "auto"])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("density", [0.05, 0.9])
def test_a_product_lies_in_memory_as_torch_compile_is_promised(format: str, biased: bool, density: float) -> None:
    """`torch.compile` plans with the strides that the operation's fake gives, which are those of a new tensor."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(96, 128, generator=generator) * (torch.rand(96, 128, generator=generator) < density)
    bias = torch.randn(96, generator=generator) if biased else None
    for shape in ((128,), (1, 128), (17, 128), (3, 5, 128)):
        assert sparse_linear(torch.randn(shape), SparseWeight.from_dense(weight, format=format), bias).is_contiguous()
