"""Device time as replays of one captured graph over rotated buffers, with the host's time for a call beside it.

A contender is a function of a buffer number. Its calls over all buffers are captured once, so a replay holds kernels
only: no Python, no dispatch, no allocation. The buffers of a contender together exceed the L2 cache four times, so that
each call reads memory as a network would, whose other layers have passed through the cache meanwhile. Contenders take
turns, so a drift of the clock hits all alike. What the host needs to enqueue a call is another figure, measured without
a graph: an operation used outside of graphs is as slow as the larger of the two.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch

Contender = Callable[[int], object]


@dataclass(frozen=True)
class Replayed:
    """Seconds a call: median and quintiles over replays on the device, and the host's median to enqueue it."""

    median: float
    low: float
    high: float
    host: float


def replayed(contenders: Mapping[str, Contender], *, buffers: int, rounds: int = 15) -> dict[str, Replayed]:
    """Time every contender; on a CPU, where nothing is captured, the device's time is the call's."""
    if not torch.cuda.is_available():
        return _on_the_cpu(contenders, buffers, rounds)
    host = {name: _host_seconds(call, buffers) for name, call in contenders.items()}
    graphs = {name: captured(call, buffers) for name, call in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 2):
        for name, graph in graphs.items():
            elapsed = event_seconds(graph.replay) / buffers
            if turn >= 2:
                seconds[name].append(elapsed)
    return {name: _summary(values, host[name]) for name, values in seconds.items()}


def called(contenders: Mapping[str, Contender], *, rounds: int = 5) -> dict[str, Replayed]:
    """The same for calls that read results back and cannot be captured: whole calls, host and device together."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, call in contenders.items():
            _wait()
            start = time.perf_counter()
            call(turn)
            _wait()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: _summary(values, median(values)) for name, values in seconds.items()}


def captured(call: Contender, buffers: int) -> torch.cuda.CUDAGraph:
    """One graph of a call on each buffer; begun directly, since `torch.cuda.graph` empties the allocator's cache."""
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call(0)  # compiles, and makes the library's workspaces
        graph.capture_begin()
        try:
            for index in range(buffers):
                call(index)
        finally:
            graph.capture_end()
    torch.cuda.current_stream().wait_stream(stream)
    return graph


def event_seconds(run: Callable[[], object]) -> float:
    """Seconds between two events around a piece of work."""
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    run()
    after.record()
    after.synchronize()
    return before.elapsed_time(after) / 1e3


def buffers_for(bytes_each: int) -> int:
    """How many buffers make their sum four times the L2 cache (at least two)."""
    if not torch.cuda.is_available():
        return 2
    return max(2, -(-4 * torch.cuda.get_device_properties(0).L2_cache_size // bytes_each))


def _host_seconds(call: Contender, buffers: int, calls: int = 30) -> float:
    """Median seconds until a call returns, its kernels queued behind those of the calls before."""
    call(0)
    _wait()
    seconds: list[float] = []
    for index in range(calls):
        start = time.perf_counter()
        call(index % buffers)
        seconds.append(time.perf_counter() - start)
    _wait()
    return median(seconds)


def _on_the_cpu(contenders: Mapping[str, Contender], buffers: int, rounds: int) -> dict[str, Replayed]:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name, call in contenders.items():
            start = time.perf_counter()
            call(turn % buffers)
            seconds[name].append(time.perf_counter() - start)
    return {name: _summary(values, median(values)) for name, values in seconds.items()}


def _summary(values: list[float], host: float) -> Replayed:
    fifths = quantiles(values, n=5) if len(values) > 1 else [values[0], values[0]]
    return Replayed(median(values), fifths[0], fifths[-1], host)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
