"""Fast operations: plain-torch references beside Triton bodies, packed masks, sparse formats, greedy selection."""

if __name__ == "kernels":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.kernels; `import kernels` from the checkout means another package (try `python -P`)"
    )

from .backend import Choice as Choice
from .bits import BitMask as BitMask
from .gram import Gram as Gram
from .greedy import Selection as Selection
from .greedy import greedy_select as greedy_select
from .greedy_many import greedy_select_many as greedy_select_many
from .masked import masked_linear as masked_linear
from .patches import convolution_patches as convolution_patches
from .registry import operations as operations
from .registry import which as which
from .sensitivity import sensitivities as sensitivities
from .sparse_product import sparse_linear as sparse_linear
from .sparse_weight import SparseWeight as SparseWeight
from .top_k import top_k_masks as top_k_masks
