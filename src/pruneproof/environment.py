"""The default executor: one process per core, one thread per process, so that results are bit-identical.

Processes are spawned, not forked (a forked torch deadlocks). A worker ends with its parent, even when that was killed.

The optional parts: what each package is for, and one clear line when it is missing.

Where and with what a run was made: versions, machine, source revision; what may differ between two runs.
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pruneproof.errors import PruneproofError

from ._version import __version__


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# import name → (extra that installs it, what it is for)
EXTRAS = {
    "matplotlib": ("verify", "the pictures and formulas of the report"),
    "sklearn": ("verify", "the digits data of the claims"),
    "distributed": ("cluster", "sweeps and verification on a cluster (--scheduler)"),
    "z3": ("proof", "the proof obligations that are discharged by z3"),
    "pyarrow": ("cluster", "export to Parquet"),
}


def require(where: str, module: str) -> None:
    """Raise `PruneproofError` if an optional package is missing.

    Arguments:
        where: the public name that needs it.
        module: its import name, a key of `EXTRAS`.
    """
    if find_spec(module) is None:
        extra, purpose = EXTRAS[module]
        remedy = f"pip install 'pruneproof[{extra}]'"
        raise PruneproofError(where, required=f"{module} for {purpose}", received="no such package", remedy=remedy)


PACKAGES = ("torch", "triton", "numpy", "scipy", "sympy", "python-flint", "safetensors", "scikit-learn", "matplotlib")


def environment() -> dict[str, str]:
    """Describe this machine and its software; costs milliseconds and imports nothing heavy.

    Example:
        >>> environment()["pruneproof"] == __version__
        True
    """
    versions = {name: installed(name) for name in PACKAGES}
    return {
        "pruneproof": __version__,
        "source": revision(),
        "python": platform.python_version(),
        **{name: found for name, found in versions.items() if found},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(cores()),
        "accelerator": _accelerator(),
    }


def installed(package: str) -> str:
    """The version of an installed package, or an empty text."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def revision() -> str:
    """The git commit of the source, with a mark if files were changed since, or `"not a checkout"`."""
    root, name = Path(__file__).resolve().parent, Path(__file__).name
    if not _git(root, "ls-files", "--error-unmatch", name):  # also when installed inside somebody else's repository
        return "not a checkout"
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit[:12]} with local changes" if changed else commit[:12]


def _git(folder: Path, *arguments: str) -> str:
    try:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _accelerator() -> str:
    torch = sys.modules.get("torch")  # asked only if a paper loaded it: importing it costs seconds
    if torch is None or ("CUDA_VISIBLE_DEVICES" in os.environ and not os.environ["CUDA_VISIBLE_DEVICES"]):
        return "none used"
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "none"
