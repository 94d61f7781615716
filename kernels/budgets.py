"""Instruction budgets: what every Triton body costs per element on every target, as compiled by the pinned Triton.

`python -m pruneproof.kernels.budgets` compiles all bodies and rewrites `budgets.json`; do that only with a reason that
the commit message gives, since the test that holds bodies to their budgets is the only watch on speed without a GPU.
"""

import json
from pathlib import Path

BUDGETS = Path(__file__).with_name("budgets.json")
GROWTH = 1.1  # a body may cost a tenth more than its budget: register allocation moves a few instructions about


def measure() -> dict[str, object]:
    """Instructions per element of every body and target, with the Triton version they hold for."""
    import triton

    from .bodies import bodies
    from .machine_code import TARGETS

    counts = {
        body.name: {target: round(body.instructions_per_element(body.compile(target)), 2) for target in TARGETS}
        for body in bodies()
    }
    return {"triton": triton.__version__, **counts}


if __name__ == "__main__":
    BUDGETS.write_text(json.dumps(measure(), indent=2) + "\n")
