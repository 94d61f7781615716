"""Checkpoints as they lie on the disk: files and folders, read and pruned piece by piece in bounded memory."""

from .checkpoint import Checkpoint, open_checkpoint
from .model import load_model, read_state, stored_masks
from .output import check_output
from .pruning import PrunedCheckpoint, PrunedLayer, prune_checkpoint, write_masked
from .roles import Layer, Roles, find_layers
from .safetensors_file import SafetensorsFile, StoredTensor
from .streaming import read_tensor

__all__ = [
    "Checkpoint",
    "Layer",
    "PrunedCheckpoint",
    "PrunedLayer",
    "Roles",
    "SafetensorsFile",
    "StoredTensor",
    "check_output",
    "find_layers",
    "load_model",
    "open_checkpoint",
    "prune_checkpoint",
    "read_state",
    "read_tensor",
    "stored_masks",
    "write_masked",
]
