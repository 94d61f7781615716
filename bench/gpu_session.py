"""One command for the first minutes on a GPU: what it can do, whether the kernels are right, how fast they are.

`PYTHONPATH=src python3 bench/gpu_session.py --budget 480 --out DIR` needs torch, Triton and numpy alone. The most
valuable comes first: ceilings, correctness against float64, headline ratios, tables of choices, the other operations,
profiler counters. Every case has its own deadline and leaves one line in `DIR/rows.jsonl`; a kill at any moment loses
one case, and a second start measures what is missing. Last comes the table of goals: measured, predicted, and the roof.
"""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a script, the folder of this file is on the path, not the checkout
    sys.path.insert(0, str(ROOT))

from bench.session import REFUSED, Row, Rows, Session, SessionError, Supervisor, only_one, work  # noqa: E402

USAGE = """examples:
  PYTHONPATH=src python3 bench/gpu_session.py --budget 480 --out session
  PYTHONPATH=src python3 bench/gpu_session.py --adopt session
  PYTHONPATH=src python3 bench/gpu_session.py --predictions"""


def main(arguments: list[str] | None = None) -> int:
    """Measure, or adopt what was measured; the exit status is 0 only if every case has a row that is right."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=USAGE, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budget", type=float, default=480.0, help="seconds for everything (default 480)")
    parser.add_argument("--out", type=Path, default=Path("gpu_session"), help="folder of the results")
    parser.add_argument("--toy", action="store_true", help="tiny sizes in Triton's interpreter on the CPU: a rehearsal")
    parser.add_argument("--adopt", type=Path, metavar="DIR", help="write the choices measured there into the table")
    parser.add_argument("--table", type=Path, help="the table that --adopt writes (default kernels/measured.json)")
    parser.add_argument("--predictions", action="store_true", help="print the table of goals, without measuring")
    parser.add_argument("--worker", type=float, help=argparse.SUPPRESS)  # when its budget ends, on the monotonic clock
    options = parser.parse_args(arguments)
    if options.worker is not None:
        return work(lambda: _measure_all(options.out, options.worker, options.toy))
    try:
        if options.predictions:
            _show_goals({}, None)
            return 0
        if options.adopt is not None:
            return _adopt(options.adopt, options.table)
        with only_one(options.out) as lock:
            return _session(options.out, options.budget, options.toy, lock)
    except SessionError as error:
        print(f"gpu_session: {error}", file=sys.stderr)
        return REFUSED


def _session(out: Path, budget: float, toy: bool, lock: int) -> int:
    rows, end = Rows(out), time.monotonic() + budget
    if toy:
        os.environ |= {"TRITON_INTERPRET": "1", "PRUNEPROOF_BACKEND": "triton"}  # before a worker imports Triton
    command = [sys.executable, __file__, "--out", str(out), "--worker", str(end), *(["--toy"] if toy else [])]
    try:
        Supervisor(command, rows, end, lock, lambda line: print(line, flush=True)).run()
    except KeyboardInterrupt:
        print("interrupted: a second start continues here")
    known = rows.read()
    _show_goals(known, out / "goals.md")
    complete, bad = "complete" in known, sum(row["status"] != "ok" for row in known.values())
    print(f"{len(known)} cases in {rows.path}, {bad} without a result" + ("" if complete else "; more are left to do"))
    return 0 if complete and not bad else 1


def _show_goals(known: dict[str, Row], file: Path | None) -> None:
    """Print the goals, one a line, and write the whole table."""
    from bench import goals

    lines = goals.table(known)
    for what, goal, predicted, measured, *_ in lines[1:]:
        print(f"{what}: {goal}, predicted {predicted or '-'}, measured {measured or '-'}")
    if file is None:
        print("\n" + goals.markdown(lines))
        return
    try:
        file.write_text(goals.markdown(lines))
    except OSError as error:
        raise SessionError(f"{file}: {error.strerror}; the table is above") from error


def _adopt(folder: Path, table: Path | None) -> int:
    """Write the choices of a session's GPU, unless they were rehearsed, or a kernel was wrong there."""
    from bench import measure_choices

    rows = Rows(folder).read()
    found, machine = rows.get("choice/rows", {}).get("figures"), rows.get("machine", {}).get("figures", {})
    wrong = [case for case, row in rows.items() if row["status"] == "wrong"]
    if found is None:
        raise SessionError(f"{folder} has no choices: the session did not reach them; start it again to go on")
    if machine["toy"]:
        raise SessionError(f"{folder} is a rehearsal in the interpreter: nothing in it is a time of a GPU")
    if wrong:
        raise SessionError(f"{folder} has wrong results ({wrong[0]} …): nothing is adopted before they are right")
    path = table or measure_choices.measured.TABLE
    measure_choices.write(machine["device"], found, path)
    print(f"the choices for {machine['device']} are in {path}")
    return 0


def _measure_all(out: Path, end: float, toy: bool) -> None:
    """The worker: every step in order."""
    from bench import gpu_cases

    rows = Rows(out)
    lab = gpu_cases.Lab(toy)
    lab.require_same_machine(rows.read())
    session = Session(rows, end, lab.device_works)
    session.case("machine", 30, lab.machine)
    for step in gpu_cases.STEPS:
        step(lab, session.case)
    session.case("complete", 10, dict)


if __name__ == "__main__":
    sys.exit(main())
