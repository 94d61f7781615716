"""Small data sets of noise in the format of MNIST, for tests."""

import gzip
import struct
from pathlib import Path

import numpy as np


def idx(seed: int, count: int, side: int = 6) -> dict[str, bytes]:
    """Images and labels of noise, as IDX files."""
    images = np.random.default_rng(seed).integers(0, 256, count * side * side, dtype=np.uint8).tobytes()
    labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
    return {
        "images-idx3-ubyte": struct.pack(">4I", 0x803, count, side, side) + images,
        "labels-idx1-ubyte": struct.pack(">2I", 0x801, count) + labels,
    }


def write_idx(
    folder: Path, seed: int, *, zipped: bool = False, train: int = 120, test: int = 10, side: int = 6
) -> Path:
    """Write the four files into a folder, made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        for name, content in idx(seed, count, side).items():
            written = gzip.compress(content) if zipped else content
            (folder / f"{part}-{name}{'.gz' if zipped else ''}").write_bytes(written)
    return folder
