"""Pruning primitives: masks, scores, selection, methods, ablations, certificates."""

if __name__ == "prune":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.prune; `import prune` from the checkout means another package (try `python -P`)"
    )

from . import checkpoints, scores
from .calibration import BlockProgress, CalibratedResult, LayerReport, calibrated, calibrated_sweep
from .certification import (
    PopulationCertificate,
    RegionCertificate,
    certify,
    certify_batches,
    certify_population,
    predicted_error,
    propagated_error,
)
from .flow.connectivity import Connectivity, connectivity
from .inspection import Inspection, Speed, inspect_model, measure_speed
from .masks.enforcement import Enforcement, release
from .masks.interop import from_torch_prune, to_torch_prune, torch_pruning_importance
from .masks.masks import Masks
from .methods.ablations import invert, reinitialize, shuffle
from .methods.at_initialization import grasp, grasp_abs, magnitude, random, snip, synflow, wanda
from .methods.lottery_ticket import Round, imp
from .methods.study import AblationRow, AblationStudy, ablation_study
from .methods.subnetwork import Subnetwork, greedy_subnetwork
from .models.parameters import prunable
from .scores._balanced import balanced_batch
from .selection import schedules
from .selection.progressive import prune_progressively
from .selection.selection import select
from .sensitivity import PfpResult, SippResult, pfp, sipp
from .sparse_layers import MaskedLinear, SparseLinear, make_permanent, sparsify

__all__ = [
    "AblationRow",
    "AblationStudy",
    "BlockProgress",
    "CalibratedResult",
    "Connectivity",
    "Enforcement",
    "Inspection",
    "LayerReport",
    "MaskedLinear",
    "Masks",
    "PfpResult",
    "PopulationCertificate",
    "RegionCertificate",
    "Round",
    "SippResult",
    "SparseLinear",
    "Speed",
    "Subnetwork",
    "ablation_study",
    "balanced_batch",
    "calibrated",
    "calibrated_sweep",
    "certify",
    "certify_batches",
    "certify_population",
    "checkpoints",
    "connectivity",
    "from_torch_prune",
    "grasp",
    "grasp_abs",
    "greedy_subnetwork",
    "imp",
    "inspect_model",
    "invert",
    "magnitude",
    "make_permanent",
    "measure_speed",
    "pfp",
    "predicted_error",
    "propagated_error",
    "prunable",
    "prune_progressively",
    "random",
    "reinitialize",
    "release",
    "schedules",
    "scores",
    "select",
    "shuffle",
    "sipp",
    "snip",
    "sparsify",
    "synflow",
    "to_torch_prune",
    "torch_pruning_importance",
    "wanda",
]


def __dir__() -> list[str]:
    return __all__
