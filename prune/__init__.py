"""Pruning primitives: masks, scores, selection, methods, ablations, certificates."""

if __name__ == "prune":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.prune; `import prune` from the checkout means another package (try `python -P`)"
    )

from . import schedules as schedules
from . import scores as scores
from .ablations import invert as invert
from .ablations import reinitialize as reinitialize
from .ablations import shuffle as shuffle
from .balanced import balanced_batch as balanced_batch
from .certification import PopulationCertificate as PopulationCertificate
from .certification import RegionCertificate as RegionCertificate
from .certification import certify as certify
from .certification import certify_population as certify_population
from .certification import predicted_error as predicted_error
from .certification import propagated_error as propagated_error
from .collapse import Connectivity as Connectivity
from .collapse import connectivity as connectivity
from .enforcement import Enforcement as Enforcement
from .enforcement import release as release
from .inspection import Inspection as Inspection
from .inspection import inspect_model as inspect_model
from .interop import from_torch_prune as from_torch_prune
from .interop import to_torch_prune as to_torch_prune
from .lottery_ticket import Level as Level
from .lottery_ticket import imp as imp
from .masks import Masks as Masks
from .methods import grasp as grasp
from .methods import grasp_abs as grasp_abs
from .methods import magnitude as magnitude
from .methods import random as random
from .methods import snip as snip
from .methods import synflow as synflow
from .parameters import prunable as prunable
from .progressive import prune_progressively as prune_progressively
from .selection import select as select
from .sensitivity import PfpResult as PfpResult
from .sensitivity import SippResult as SippResult
from .sensitivity import pfp as pfp
from .sensitivity import sipp as sipp
from .sparse_layers import MaskedLinear as MaskedLinear
from .sparse_layers import SparseLinear as SparseLinear
from .sparsify import make_permanent as make_permanent
from .sparsify import sparsify as sparsify
from .subnetwork import Subnetwork as Subnetwork
from .subnetwork import greedy_subnetwork as greedy_subnetwork
