"""Refuse to build from a checkout whose links became text files; everything else is said in pyproject.toml."""

from pathlib import Path

from setuptools import setup

SOURCE = Path(__file__).parent / "src" / "pruneproof"
BROKEN = [name for name in ("claims", "kernels", "prune", "theory") if not (SOURCE / name / "__init__.py").is_file()]
if BROKEN:
    raise SystemExit(
        f"pruneproof: {', '.join(f'src/pruneproof/{name}' for name in BROKEN)} should be links to folders of the "
        "checkout, but are not. Check out again with `git config core.symlinks true`, or install from a wheel."
    )

setup()
