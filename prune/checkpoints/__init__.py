"""Checkpoints as they lie on the disk: files and folders, read and pruned piece by piece in bounded memory."""

from .checkpoint import Checkpoint, open_checkpoint
from .pruning import PrunedCheckpoint, PrunedLayer, prune_checkpoint
from .roles import Layer, Roles, find_layers
from .safetensors_file import SafetensorsFile, StoredTensor

__all__ = [
    "Checkpoint",
    "Layer",
    "PrunedCheckpoint",
    "PrunedLayer",
    "Roles",
    "SafetensorsFile",
    "StoredTensor",
    "find_layers",
    "open_checkpoint",
    "prune_checkpoint",
]
