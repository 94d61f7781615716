"""Time the operations of this package beside what people would use instead, on this CPU."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.status import Status

from pruneproof.environment import EXTRAS, environment
from pruneproof.errors import FileAccessError, InvalidValueError, PruneproofError
from pruneproof.files import require_file_name, whole_file

if TYPE_CHECKING:
    from pruneproof.comparisons import Comparison, Row

SECONDS = 3.0  # that contenders take turns for each shape: with the checks, two minutes in all
FORMAT = "pruneproof bench 1"


def main(
    shape: Annotated[
        tuple[tuple[str, str], ...],
        tyro.conf.arg(metavar="NAME SIZES …", help_behavior_hint=""),
    ] = (),
    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
    compare: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
) -> int:
    """Time the operations of this package beside what people would use instead, on this CPU, in about two minutes.

    It first checks that both compute the same. Then they take turns, and each line shows the median of the ratios of
    their times, ours divided by the best alternative's, with a 95 % interval. 0.5 [0.4, 0.6] means twice as fast; if
    the interval contains 1, neither is shown to be faster. A weight that is being trained is changed between calls, so
    results stored for an unchanged weight save no time. "roof" compares an operation with the least time that this
    machine needs for the same bytes or arithmetic: near 100 % nothing is left to gain; data that stays in the cache
    may show more.

    Close other programs: they make the intervals wide. Ctrl-C ends the run; finished lines are kept.

    Sizes are written with an x: masked_linear, masked_linear_kept and sparse_linear take OUTxINxTOKENS, sensitivities
    OUTxINxBATCH, top_k_masks ENTRIES, select WEIGHTS, greedy_corrective NEURONSxSTEPS, synflow WIDTHxITERATIONS.

    The exit status is 1 if two sides do not compute the same.

    Example: pruneproof bench --out today.json

    Example: pruneproof bench --compare today.json

    Example: pruneproof bench --shape masked_linear 4096x4096x8 --shape sparse_linear 1024x4096x1

    Args:
        shape: a comparison and sizes of your own, as many as you like; measured before the table.
        out: write the figures to this JSON file, after every line.
        compare: a file that --out wrote: its ratios are shown beside the new ones.
    """
    if out is not None:
        require_file_name(out, "bench")
    before = {} if compare is None else _read(compare)
    from pruneproof.comparisons import COMPARISONS, ceilings, wanted_shape

    asked = [wanted_shape(*words) for words in shape]
    table = [(comparison, sizes) for comparison in COMPARISONS for sizes in comparison.shapes]
    jobs = [*asked, *(job for job in table if job not in asked)]
    console = Console(stderr=True)
    with console.status("what this machine reaches") as status:
        header: dict[str, Any] = {"format": FORMAT, "machine": _machine(), "ceilings": ceilings()}
        print(*_heading(header, before), sep="\n", flush=True)
        return _measure_all(jobs, header, out, before.get("rows", {}), status)


def _measure_all(
    jobs: Sequence[tuple["Comparison", tuple[int, ...]]],
    header: dict[str, Any],
    out: Path | None,
    before: Mapping[tuple[str, str, str], Any],
    status: Status,
) -> int:
    """Print and keep each line as it comes; the exit status."""
    from pruneproof.comparisons import measure

    rows: list[Row] = []
    wrong = 0
    for number, (comparison, sizes) in enumerate(jobs, start=1):
        label = f"{comparison.name} {'x'.join(map(str, sizes))}"
        status.update(f"{label}, {number} of {len(jobs)}")
        if comparison.needs is not None and find_spec(comparison.needs) is None:
            print(f"{label}: left out, pip install 'pruneproof[{EXTRAS[comparison.needs][0]}]' brings its peer")
            continue
        try:
            found = measure(comparison, sizes, SECONDS)
        except PruneproofError as error:
            wrong += 1
            print(error, flush=True)
            continue
        rows += found
        for row in found:
            print(_line(row, header["ceilings"], before.get((row.name, row.shape, row.figure))), flush=True)
        if out is not None:
            with whole_file(out, "bench") as file:
                file.write(json.dumps({**header, "rows": [asdict(row) for row in rows]}, indent=1).encode())
    return 1 if wrong else 0


def _machine() -> dict[str, str]:
    import torch

    found = environment()
    kept = {name: found[name] for name in ("processor", "system", "torch", "numpy", "pruneproof", "source")}
    return {**kept, "threads": str(torch.get_num_threads())}


def _heading(header: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    reached = header["ceilings"]
    lines = [
        _described(header["machine"]),
        f"copies {reached['bandwidth'] / 1e9:.3g} GB/s, multiplies {reached['product'] / 1e9:.3g} Gflop/s in float32",
    ]
    if before:
        lines.append(f"before: {_described(before['machine'])}")
    return [*lines, "", f"{'operation':<19} {'shape':<14} {'ratio':<21} {'time':<8} {'roof':<6} against"]


def _described(machine: Mapping[str, str]) -> str:
    return (f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, "
            f"pruneproof {machine['pruneproof']} ({machine['source']})")  # fmt: skip


def _line(row: "Row", reached: Mapping[str, float], before: Any) -> str:
    ratio, value = row.ratio, row.medians["pruneproof"]
    shown = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    amount = f"{value:.0f} MB" if row.figure == "megabytes" else _time(value)
    roof = max(row.work.bytes / reached["bandwidth"], row.work.flops / reached["product"])
    share = "" if row.figure == "megabytes" else f"{100 * roof / value:.0f} %"
    line = f"{row.name:<19} {row.shape:<14} {shown:<21} {amount:<8} {share:<6} {row.peer}"
    return line if before is None else f"{line}; {_change(row, before['ratio'])}"


def _time(seconds: float) -> str:
    unit, scale = next((pair for pair in (("s", 1), ("ms", 1e3)) if seconds * pair[1] >= 1), ("µs", 1e6))
    return f"{seconds * scale:.3g} {unit}"


def _change(row: "Row", before: Mapping[str, float]) -> str:
    """Better or worse only where the intervals are apart."""
    apart = (
        "better" if row.ratio.high < before["low"] else "worse" if row.ratio.low > before["high"] else "no change seen"
    )
    return f"before {before['value']:.2f} [{before['low']:.2f}, {before['high']:.2f}]: {apart}"


def _read(path: Path) -> dict[str, Any]:
    """An earlier run, its rows by what they measured."""
    try:
        found = json.loads(path.read_text("utf-8"))
        rows = {(row["name"], row["shape"], row["figure"]): row for row in found["rows"] if found["format"] == FORMAT}
        _described(found["machine"])
    except OSError as error:
        raise FileAccessError(f"bench: {path} cannot be read ({error.strerror}). Pass what --out wrote.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidValueError(f"bench: {path} is not what bench --out wrote. Pass such a file.") from error
    return {**found, "rows": rows}
