"""This machine and its software: versions, cores, source revision, and the optional packages.

Two runs may differ by what is described here; a report prints it.
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pruneproof.errors import MissingPackageError

from ._version import __version__


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# import name → (extra that installs it, what it is for)
EXTRAS = {
    "matplotlib": ("verify", "the pictures of the report"),
    "sklearn": ("verify", "the digits data of the claims"),
    "distributed": ("cluster", "sweeps and verification on a cluster (--scheduler)"),
    "z3": ("proof", "the proof obligations that are discharged by z3"),
    "jinja2": ("verify", "the templates of the report"),
    "latex2mathml": ("verify", "the formulas of the report"),
    "pooch": ("verify", "downloads of data sets"),
    "pyarrow": ("verify", "exports to Parquet"),
}


def require(where: str, module: str) -> None:
    """Check that an optional package is installed.

    Args:
        where: The public name that needs it.
        module: Its import name, a key of `EXTRAS`.

    Raises:
        MissingPackageError: If it is not; the message says which extra brings it.
    """
    if find_spec(module) is None:
        extra, purpose = EXTRAS[module]
        raise MissingPackageError(
            f"{where}: {purpose} need the package {module}, which is not installed. "
            f"Run pip install 'pruneproof[{extra}]'."
        )


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
