"""Every launch without a GPU: a driver that binds, specialises and assembles like the real one, and launches nothing.

The interpreter sees neither the specialisation of arguments that are 1 or multiples of 16, nor the signature that these
give, nor ptxas. This driver goes the whole way of a launch on sm_90: Triton's own binder and compiler, a check of every
bound argument against the compiled signature, and of grid, threads and shared memory against the limits of the chip.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from pruneproof.kernels import (
    BitMask,
    Gram,
    SparseWeight,
    backend,
    greedy_select,
    greedy_select_many,
    masked_linear,
    sparse_linear,
)
from pruneproof.kernels.registry import Op, operations
from pruneproof.kernels.sparse.formats import FORMATS
from tests.kernels.cases import CASES

if not backend.triton_installed():
    pytest.skip("there is no Triton for this platform", allow_module_level=True)
if backend.interpreting():
    pytest.skip("the interpreter and the compiler cannot share a process", allow_module_level=True)

import triton
from triton.backends.compiler import GPUTarget

PROCESSORS, SHARED, THREADS = 132, 227 * 1024, 1024  # of an H200
GRID = (2**31 - 1, 65_535, 65_535)
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
Effect = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Launch:
    """One launch: the kernel's name, its grid, its arguments by name, and the types that the binary has for them."""

    kernel: str
    grid: tuple[int, int, int]
    arguments: Mapping[str, Any]
    signature: Mapping[str, str]


@dataclass
class FakeDriver:
    """What Triton asks of a driver, for an sm_90 that computes nothing.

    Arguments:
        effects: kernel → what a launch of it leaves in its outputs, where the host reads them afterwards.
        launches: what was launched.
    """

    effects: Mapping[str, Effect]
    launches: list[Launch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.utils = SimpleNamespace(load_binary=self._load, get_device_properties=self._properties)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def get_device_capability(self, device: int) -> tuple[int, int]:
        return 9, 0

    def set_current_device(self, device: int) -> None:
        assert device == 0

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        """A launcher for one binary, called with the grid, seven handles, and all arguments of the kernel in order."""
        names = source.fn.arg_names
        signature = {names[key] if isinstance(key, int) else key: kind for key, kind in source.signature.items()}

        def launch(x: int, y: int, z: int, *rest: Any) -> None:
            arguments = dict(zip(names, rest[6:], strict=True))
            for name, kind in signature.items():
                require_bound(f"{metadata.name}, argument {name}", kind, arguments[name])
            assert all(0 < size <= limit for size, limit in zip((x, y, z), GRID, strict=True)), (metadata.name, x, y, z)
            if metadata.launch_cooperative_grid:
                assert x * y * z <= PROCESSORS, f"{metadata.name}: {x * y * z} programs wait for each other"
            self.launches.append(Launch(metadata.name, (x, y, z), arguments, signature))
            self.effects.get(metadata.name, lambda arguments: None)(arguments)

        return launch

    def _load(self, name: str, binary: bytes, shared: int, device: int) -> tuple[object, int, int, int, int]:
        assert binary[:4] == b"\x7fELF", name
        return object(), 1, 0, 0, THREADS

    def _properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": SHARED, "multiprocessor_count": PROCESSORS, "warpSize": 32}


def require_bound(where: str, kind: Any, value: Any) -> None:
    """The value fits what the binary was compiled for: a pointer to that type, or an integer of that width."""
    if kind == "constexpr":
        return
    if kind.startswith("*"):
        assert isinstance(value, torch.Tensor), f"{where}: {kind} is bound to {value!r}"
        assert kind.removeprefix("*").removeprefix("k") in POINTED[value.dtype], f"{where}: {kind} is {value.dtype}"
    else:
        limit = 2 ** (BITS[kind] - 1)
        assert isinstance(value, int) and -limit <= value < limit, f"{where}: {kind} is bound to {value!r}"


POINTED = {
    torch.float64: ("fp64",), torch.float32: ("fp32",), torch.float16: ("fp16",), torch.bfloat16: ("bf16",),
    torch.int64: ("i64",), torch.int32: ("i32",), torch.int16: ("i16",), torch.int8: ("i8",), torch.uint16: ("u16",),
    torch.uint8: ("u8",), torch.bool: ("i1", "u1"),
}  # fmt: skip


def choose_the_first(arguments: Mapping[str, Any]) -> None:
    """A path that the host can read back: always neuron 0, score 0."""
    arguments["chosen_ptr"].zero_()
    arguments["chosen_score_ptr"].zero_()


def pick_the_first(arguments: Mapping[str, Any]) -> None:
    """The same, and the loss that goes with it."""
    arguments["chosen_ptr"].zero_()
    arguments["losses_ptr"].zero_()


@pytest.fixture(scope="module")
def one_driver() -> Generator[FakeDriver]:
    """One for all tests: Triton keeps launchers with the kernels it compiled."""
    fake = FakeDriver({"greedy_gram_kernel": choose_the_first, "pick_kernel": pick_the_first})
    triton.runtime.driver.set_active(cast(Any, fake))
    yield fake
    triton.runtime.driver._active = None  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def driver(one_driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """Operations choose their Triton bodies for CPU tensors, and these are launched by the fake driver."""
    monkeypatch.setenv("PRUNEPROOF_BACKEND", "triton")
    monkeypatch.setattr(backend, "_require_triton", lambda op, tensor: None)
    one_driver.launches.clear()
    return one_driver


DTYPES = (torch.float32, torch.float16, torch.bfloat16)
PAIRS = [(op, dtype) for op in operations() for dtype in op.dtypes if dtype in DTYPES and op.name != "top_k_masks"]
ALIGNED = ((1, 256, 512), (2, 256, 512), (4, 256, 512), (16, 256, 512), (128, 256, 512))  # tokens, out, columns


def name(value: object) -> str:
    return value.name if isinstance(value, Op) else str(value).removeprefix("torch.")


def kernels(driver: FakeDriver) -> set[str]:
    return {launch.kernel for launch in driver.launches}


@pytest.mark.parametrize(("op", "dtype"), PAIRS, ids=name)
def test_every_sample_of_every_operation_is_launched(driver: FakeDriver, op: Op, dtype: torch.dtype) -> None:
    for args in CASES[op.name].samples(torch.Generator().manual_seed(0), "cpu", dtype):
        op.call(*args)
    assert driver.launches


@pytest.mark.parametrize("dtype", DTYPES, ids=name)
@pytest.mark.parametrize("tokens", [1, 70, 330])
@pytest.mark.parametrize("packed", [True, False])
def test_gradients_of_the_masked_map(driver: FakeDriver, dtype: torch.dtype, tokens: int, packed: bool) -> None:
    mask = torch.rand(130, 192, generator=torch.Generator().manual_seed(0)) < 0.3
    mask[:, 64:128] = False
    x, weight = (torch.zeros(n, 192, dtype=dtype).requires_grad_() for n in (tokens, 130))
    y = masked_linear(x, weight, BitMask.pack(mask) if packed else mask, torch.zeros(130, dtype=dtype))
    torch.autograd.grad(y, (x, weight), torch.zeros_like(y))
    assert "apply_mask_kernel" in kernels(driver)


@pytest.mark.parametrize(("promised", "gradient", "expected"), [(False, True, 2), (True, True, 1), (True, False, 0)])
def test_of_many_tokens_the_weight_is_masked_once(
    driver: FakeDriver, promised: bool, gradient: bool, expected: int
) -> None:
    """One pass for y and dX together, one for dW; none over a weight that is masked already."""
    x, weight = (torch.ones(n, 64, dtype=torch.bfloat16).requires_grad_() for n in (400, 96))
    mask = BitMask.pack(torch.ones(96, 64, dtype=torch.bool))
    y = masked_linear(x, weight, mask, weight_is_masked=promised, mask_grad=gradient)
    torch.autograd.grad(y, (x, weight), torch.ones_like(y))
    assert [launch.kernel for launch in driver.launches] == ["apply_mask_kernel"] * expected


@pytest.mark.parametrize("precision", ["ieee", "tf32", "tf32x3"])
@pytest.mark.parametrize("tokens", [3, 70])
def test_every_precision_of_float32(driver: FakeDriver, precision: str, tokens: int) -> None:
    x, weight = torch.zeros(tokens, 70).requires_grad_(), torch.zeros(40, 70).requires_grad_()
    y = masked_linear(x, weight, torch.ones(40, 70, dtype=torch.bool), precision=precision)
    torch.autograd.grad(y, (x, weight), torch.zeros_like(y))
    assert driver.launches


@pytest.mark.parametrize("dtype", DTYPES, ids=name)
@pytest.mark.parametrize(("tokens", "out", "columns"), ALIGNED)
def test_shapes_whose_strides_are_multiples_of_sixteen(
    driver: FakeDriver, dtype: torch.dtype, tokens: int, out: int, columns: int
) -> None:
    x, weight = torch.zeros(tokens, columns, dtype=dtype), torch.ones(out, columns, dtype=dtype)
    half = (torch.arange(columns) % 4 < 2).expand(out, columns)
    masked_linear(x, weight, half)
    for format in FORMATS:
        sparse_linear(x, SparseWeight.from_dense(weight, half, format=format))
    assert driver.launches


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=name)
@pytest.mark.parametrize("neurons", [1, 16, 1000])
@pytest.mark.parametrize("replacement", [True, False])
def test_greedy_paths(driver: FakeDriver, dtype: torch.dtype, neurons: int, replacement: bool) -> None:
    features, target = torch.rand(neurons, 48, dtype=dtype), torch.rand(48, dtype=dtype)
    gram = Gram.from_features(features, target)
    greedy_select(gram, 1, replacement=replacement)
    greedy_select_many([gram, gram], 1, replacement=replacement)
    greedy_select((features, target), 1, replacement=replacement, method="stream")
    assert {"greedy_gram_kernel", "screen_kernel", "rescore_kernel", "pick_kernel"} == kernels(driver)


def test_arguments_that_are_one_become_constants(driver: FakeDriver) -> None:
    """What the interpreter never does, and the reason for this module."""
    weight = SparseWeight.from_dense(torch.ones(256, 512), format="csr16")
    sparse_linear(torch.zeros(1, 512), weight)
    sparse_linear(torch.zeros(2, 512), weight)
    one, two = (launch.signature["M"] for launch in driver.launches)
    assert one == "constexpr" and two == "i32"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("*fp32", torch.zeros(1, dtype=torch.float64)),
        ("*fp32", None),
        ("*i32", torch.zeros(1, dtype=torch.int64)),
        ("i32", 2**31),
        ("i32", 1.0),
        ("i32", torch.ones(())),
    ],
)
def test_what_does_not_fit_the_binary_is_noticed(kind: str, value: object) -> None:
    with pytest.raises(AssertionError, match="argument"):
        require_bound("kernel, argument x", kind, value)


def test_too_many_waiting_programs_and_too_much_shared_memory_are_noticed(driver: FakeDriver) -> None:
    from pruneproof.kernels.greedy.triton_kernels import greedy_gram_kernel
    from pruneproof.kernels.sparse.triton_kernels import bsr_kernel

    zeros = torch.zeros(512, dtype=torch.float64)
    whole = [torch.zeros(2, dtype=torch.int64) for _ in range(2)]

    def walk(grid: int) -> None:
        greedy_gram_kernel[(grid, 1)](
            zeros, zeros, zeros, zeros, *whole, torch.zeros(1, dtype=torch.int32), zeros, 512, 2, 0, 0, BN=512,
            GRID=grid, REPLACEMENT=True, num_warps=4, launch_cooperative_grid=True,
        )  # fmt: skip

    walk(PROCESSORS)
    with pytest.raises(AssertionError, match="wait for each other"):
        walk(PROCESSORS + 1)
    wide = torch.zeros(512, 512, dtype=torch.float16)
    with pytest.raises(triton.runtime.errors.OutOfResources):  # tiles that no multiprocessor holds
        bsr_kernel[(1, 1)](
            wide, wide, whole[0].int(), whole[0].int(), None, wide, 16, 512, 512, 512, 512, BM=512, SIZE=512, BK=512,
            BIAS=False, UPCAST=False, PRECISION="ieee", num_warps=8, num_stages=3,
        )  # fmt: skip
