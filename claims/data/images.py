"""The images that claims are measured on: the bundled digits, and those that the user brings.

A cell names its images by a text with their name, number and SHA-256, so that rows of two data sets are never mixed;
where the files lie is not part of it. A worker reads the images and refuses others than those of the cell.
"""

from functools import lru_cache

from pruneproof.errors import FileFormatError

from .digits import Split, digits, identify_digits
from .known import Identity
from .mnist import find_mnist, identify_mnist, read_mnist


def label(identity: Identity) -> str:
    """How a cell names its images.

    Example:
        >>> label(Identity("MNIST", "5e884898da28", train=60_000, test=10_000, known=True))
        'MNIST (60000 + 10000 images, SHA-256 5e884898da28)'
    """
    return f"{identity.name} ({identity.train} + {identity.test} images, SHA-256 {identity.sha256})"


def set_name(data: str) -> str:
    """The name of a data set in the text of `label`.

    Example:
        >>> set_name("MNIST (60000 + 10000 images, SHA-256 5e884898da28)")
        'MNIST'
    """
    return data.rpartition(" (")[0]


def digits_label() -> str:
    """How a cell names the bundled digits."""
    return label(identify_digits())


def brought_label() -> str | None:
    """How a cell names the images in MNIST's format that the user brings, or None if there are none."""
    return None if find_mnist() is None else label(identify_mnist())


@lru_cache(maxsize=2)
def read_images(data: str) -> Split:
    """Read the images of a cell.

    Args:
        data: Their text by `label`.

    Returns:
        Images (n, height, width) float32 with values in [0, 1], and int64 classes. Nobody may change them.

    Raises:
        FileFormatError: If the images found here are others.
    """
    if data == digits_label():
        split = digits()
        top = split.train_x.max()
        train, test = (part.reshape(-1, 8, 8) / top for part in (split.train_x, split.test_x))
        return Split(train, split.train_y, test, split.test_y)
    found = brought_label()
    if found != data:
        raise FileFormatError(
            f"read_images: the cell needs {data}, but found {found or 'no such files'}. "
            "Pass the same --data-root as where the run began."
        )
    return read_mnist()
