"""The identity of a data set: a result belongs to the bytes that were read, not to the format of the files.

Known sets are recognised by the SHA-256 of their files once decompressed, so that a recompressed copy
is still known; everything else is called unknown, with its hash. Sources of the hashes:

* Fashion-MNIST: computed from Debian's package dataset-fashion-mnist 0.0~git20200523;
* MNIST and CIFAR-10: as published with many loaders of the original files; those of CIFAR-10's binary
  version are in torchvision's port to Ruby (ankane/torchvision-ruby, cifar10.rb).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


@dataclass(frozen=True)
class KnownSet:
    """A published data set.

    Args:
        key: Its name on the command line.
        name: Its name in reports.
        files: Name of each file → SHA-256 of its decompressed content.
        address: Where its archives can be downloaded; empty for what is bundled.
        archives: Name of each archive there → its SHA-256.
    """

    key: str
    name: str
    files: Mapping[str, str]
    address: str = ""
    archives: Mapping[str, str] | None = None


FASHION_MNIST = KnownSet(
    "fashion-mnist",
    "Fashion-MNIST",
    dict(
        zip(
            IDX_FILES,
            (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            strict=True,
        )
    ),
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
MNIST = KnownSet(
    "mnist",
    "MNIST",
    dict(
        zip(
            IDX_FILES,
            (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            strict=True,
        )
    ),
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
CIFAR10 = KnownSet(
    "cifar-10",
    "CIFAR-10",
    dict(
        zip(
            CIFAR_FILES,
            (
                "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
                "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
            ),
            strict=True,
        )
    ),
    "https://www.cs.toronto.edu/~kriz/",
    {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
)
KNOWN = (FASHION_MNIST, MNIST, CIFAR10)


@dataclass(frozen=True)
class Identity:
    """What a data set is.

    Args:
        name: Of a known set, or `"unknown IDX data (sha256 …)"`.
        sha256: Of the hashes of its files, so that two data sets never share one.
        train: Number of examples to train on.
        test: Number of examples to test on.
        known: Whether the files are those of a published set.
    """

    name: str
    sha256: str
    train: int
    test: int
    known: bool


def identify(kind: str, hashes: Mapping[str, str], *, train: int, test: int) -> Identity:
    """Name a data set by its files.

    Args:
        kind: What unknown files of this format are called, such as `"IDX data"`.
        hashes: Name of each file → SHA-256 of its decompressed content.
        train: Number of examples to train on.
        test: Number of examples to test on.

    Example:
        >>> identify("IDX data", {"a": "00"}, train=2, test=1).name
        'unknown IDX data (sha256 ce80c8f0d2ea)'
        >>> identify("IDX data", MNIST.files, train=60_000, test=10_000).name
        'MNIST'
    """
    joint = sha256("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()
    for known in KNOWN:
        if dict(known.files) == dict(hashes):
            return Identity(known.name, joint, train, test, known=True)
    return Identity(f"unknown {kind} (sha256 {joint[:12]})", joint, train, test, known=False)
