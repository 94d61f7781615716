"""Print the lowest release that pyproject.toml admits of each package that it names, as constraints for pip.

`python tests/lowest.py torch` leaves torch out: it is tested at another release where only a build for GPUs exists.
"""

import re
import sys
import tomllib
from pathlib import Path


def lowest() -> dict[str, str]:
    """Package → its lower bound, of the dependencies and of every extra."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    named = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    bounds = (re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*>=\s*([\w.]+)", line) for line in named)
    return {bound[1]: bound[2] for bound in bounds if bound}


if __name__ == "__main__":
    print(*(f"{name}=={version}" for name, version in lowest().items() if name not in sys.argv), sep="\n")
