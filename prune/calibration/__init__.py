"""Pruning with calibration inputs: block by block on the model's own forward pass, or in one shot on dense inputs."""

from .block_by_block import BlockProgress as BlockProgress
from .block_by_block import CalibratedResult as CalibratedResult
from .block_by_block import LayerReport as LayerReport
from .block_by_block import calibrated as calibrated
from .block_by_block import calibrated_sweep as calibrated_sweep

__all__ = ["BlockProgress", "CalibratedResult", "LayerReport", "calibrated", "calibrated_sweep"]
