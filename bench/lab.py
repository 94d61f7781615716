"""The device that cases are measured on, with sizes and random numbers that suit it."""

import gc
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bench.replay import Contender, Replayed, buffers_for, called, replayed
from bench.session import Row, SessionError

Case = Callable[[str, float, Callable[[], Row]], Row | None]
KNOWN_TRITON = ("3.6.0", "3.7.1")  # compiled for, read and budgeted


class Lab:
    """The device, and sizes that suit it: a GPU's, or a rehearsal's in the interpreter."""

    def __init__(self, toy: bool) -> None:
        self.toy = toy
        try:
            import triton
        except ImportError as error:
            raise SessionError("Triton is not installed for this Python: pip install triton") from error
        if not toy and not torch.cuda.is_available():
            raise SessionError("no CUDA device here; --toy rehearses everything in the interpreter, on the CPU")
        self.triton: str = triton.__version__
        self.device = "cpu" if toy else "cuda"
        self.name = "the interpreter" if toy else torch.cuda.get_device_name()
        self.dtype = torch.float16 if toy else torch.bfloat16  # which the interpreter rounds towards zero

    def size(self, real: int, toy: int) -> int:
        """A size on a GPU, or in the rehearsal."""
        return toy if self.toy else real

    def machine(self) -> Row:
        """What the numbers are taken on."""
        figures: Row = {"device": self.name, "torch": torch.__version__, "triton": self.triton, "toy": self.toy}
        if not self.toy:
            properties = torch.cuda.get_device_properties(0)
            figures |= {"processors": properties.multi_processor_count, "L2": properties.L2_cache_size}
            figures |= {"memory": properties.total_memory, "cuda": torch.version.cuda or torch.version.hip}
        if self.triton not in KNOWN_TRITON:
            figures["note"] = f"instruction counts are those of Triton {KNOWN_TRITON[-1]}, not of {self.triton}"
        return figures

    def require_same_machine(self, known: Mapping[str, Row]) -> None:
        """Refuse to continue rows that were measured elsewhere."""
        before = known.get("machine", {}).get("figures", {})
        for what, now in (("device", self.name), ("torch", torch.__version__), ("triton", self.triton)):
            if before.get(what, now) != now:
                raise SessionError(
                    f"the rows were measured with {what} {before[what]}, here is {now}: name another --out"
                )

    def device_works(self) -> bool:
        """Whether work can still be done: an illegal access makes every later call of a process fail."""
        gc.collect()
        try:
            if not self.toy:
                torch.cuda.synchronize()
                torch.cuda.empty_cache()
        except RuntimeError:
            return False
        return True

    def generator(self, seed: int) -> torch.Generator:
        """Random numbers on the device."""
        return torch.Generator(self.device).manual_seed(seed)

    def normal(self, *shape: int, dtype: torch.dtype | None = None, seed: int = 0) -> Tensor:
        """Normal random numbers on the device, 16-bit ones unless told otherwise."""
        return torch.randn(*shape, device=self.device, dtype=dtype or self.dtype, generator=self.generator(seed))

    def mask(self, out: int, columns: int, density: float, seed: int = 1) -> Tensor:
        """A random mask on the device."""
        return torch.rand(out, columns, device=self.device, generator=self.generator(seed)) < density

    def replayed(self, contenders: Mapping[str, Contender], bytes_each: int) -> dict[str, Replayed]:
        """Times of contenders whose buffers have this many bytes each."""
        return replayed(contenders, buffers=buffers_for(bytes_each), rounds=self.size(15, 1))

    def called(self, contenders: Mapping[str, Contender], rounds: int = 5) -> dict[str, Replayed]:
        """Times of contenders that cannot be captured."""
        return called(contenders, rounds=self.size(rounds, 1))


def figures(times: Mapping[str, Replayed], **more: Any) -> Row:
    """Leading figures, then all times in microseconds: device median and quintiles, host."""
    micro = {name: {key: round(value * 1e6, 2) for key, value in vars(time).items()} for name, time in times.items()}
    return {**more, "microseconds": micro}


def rotated(lab: Lab, out: int, columns: int) -> list[Tensor]:
    """Weights for every buffer."""
    return [lab.normal(out, columns, seed=seed) for seed in range(buffers_for(2 * out * columns))]


def require_close(found: Tensor, exact: Tensor, size: Tensor) -> None:
    """Within bfloat16's rounding of the output and of the terms' sum: 2⁻⁸ of the sum of absolute terms."""
    assert bool(((found.double() - exact).abs() <= 2**-8 * size).all()), "off by more than bfloat16's rounding"
