"""Hugging Face's `transformers`, imported so that it does not take this checkout's `kernels/` for a package.

It asks once whether a package named `kernels` is installed. With the root of the checkout on the path, which
pytest puts there, it would find our folder.
"""

import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]


def _imported() -> Any:
    path = sys.path[:]
    sys.path[:] = [entry for entry in path if Path(entry or ".").resolve() != _ROOT]
    try:
        import transformers
        from transformers.utils.import_utils import is_kernels_available

        is_kernels_available()  # remembers its answer
    finally:
        sys.path[:] = path
    return transformers


transformers = _imported()
