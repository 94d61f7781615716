"""Fast operations: plain-torch references beside Triton bodies, packed masks, sparse formats, greedy selection."""

if __name__ == "kernels":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.kernels; `import kernels` from the checkout means another package (try `python -P`)"
    )

from .backend import Choice
from .bits import BitMask
from .greedy.op import Selection, greedy_select, greedy_select_many
from .greedy.problem import Gram
from .masked.op import masked_linear
from .patches import convolution_patches
from .registry import explain_plan, operations
from .sensitivity.op import sensitivities
from .sparse.op import sparse_linear
from .sparse.weight import SparseWeight
from .top_k import top_k_masks

__all__ = [
    "BitMask",
    "Choice",
    "Gram",
    "Selection",
    "SparseWeight",
    "convolution_patches",
    "explain_plan",
    "greedy_select",
    "greedy_select_many",
    "masked_linear",
    "operations",
    "sensitivities",
    "sparse_linear",
    "top_k_masks",
]


def __dir__() -> list[str]:
    return __all__
