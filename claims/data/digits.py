"""Scikit-learn's handwritten digits: 1,797 real 8×8 images of ten classes, bundled, so that no network is needed.

The split is fixed once: 1,437 images to train on, 360 to test on. A training set of m images is the first m of a seed's
random order of the training images, so a larger set with the same seed contains the smaller ones.
"""

from functools import cache
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruneproof.environment import require
from pruneproof.errors import InvalidValueError

from .known import Identity

TRAIN = 1437


class Split(NamedTuple):
    """Inputs and labels to train on and to test on."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def digits(m: int | None = None, *, seed: int = 0, binary: bool = False, dtype: torch.dtype = torch.float32) -> Split:
    """Draw m training images and give all test images.

    Args:
        m: Training images, 1 to 1437; None for all, in their fixed order whatever the seed.
        seed: Which m of them.
        binary: Labels −1.0 for digits 0 to 4 and +1.0 for 5 to 9 (of `dtype`), instead of the int64
            classes 0 to 9.
        dtype: Of the inputs.

    Returns:
        Inputs (m, 64) and (360, 64), divided by the length of the longest image, so that ‖x‖ ≤ 1, with
        labels.

    Raises:
        InvalidValueError: For another m.
        MissingPackageError: If scikit-learn is not installed.

    Example:
        >>> split = digits(100, seed=1, binary=True)
        >>> split.train_x.shape, split.test_x.shape, float(split.train_x.norm(dim=1).max()) <= 1
        (torch.Size([100, 64]), torch.Size([360, 64]), True)
        >>> digits(50, seed=1).train_x.equal(digits(100, seed=1).train_x[:50])
        True
    """
    if m is not None and (isinstance(m, bool) or not isinstance(m, int) or not 1 <= m <= TRAIN):
        raise InvalidValueError(f"digits: there are 1 to {TRAIN} training images, got m={m!r}. Choose a smaller set.")
    images, classes = _images()
    drawn = np.arange(TRAIN) if m is None else np.random.default_rng([1, seed]).permutation(TRAIN)[:m]
    x = torch.from_numpy(images).to(dtype)
    y = torch.from_numpy(classes)
    labels = torch.where(y < 5, -1.0, 1.0).to(dtype) if binary else y
    return Split(x[drawn], labels[drawn], x[TRAIN:], labels[TRAIN:])


@cache
def identify_digits() -> Identity:
    """The name, size and hash of the digits, the hash being that of the images and labels as bytes."""
    require("digits", "sklearn")
    from sklearn.datasets import load_digits

    images, classes = (part.astype(np.uint8).tobytes() for part in load_digits(return_X_y=True))
    joint = sha256(sha256(images).digest() + sha256(classes).digest()).hexdigest()
    known = joint == DIGITS_SHA256
    name = "digits of scikit-learn" if known else f"unknown digits (sha256 {joint[:12]})"
    return Identity(name, joint, TRAIN, len(classes) - TRAIN, known)


DIGITS_SHA256 = "18383f350e8ce5bf9c69c38437743c1c15044785eacb58c6291e129e4035e90a"


@cache
def _images() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All images in the order of the split, the longest a hair shorter than one so that float32 keeps ‖x‖ ≤ 1."""
    require("digits", "sklearn")
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    longest = np.linalg.norm(images, axis=1).max() * (1 + 1e-6)
    return images[order] / longest, classes[order].astype(np.int64)
