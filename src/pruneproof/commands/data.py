"""List the data sets that claims can use, and download published ones."""

import json as json_text
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro

from pruneproof.claims.data.cifar import find_cifar10, identify_cifar10
from pruneproof.claims.data.digits import identify_digits
from pruneproof.claims.data.download import download, known_set
from pruneproof.claims.data.known import KNOWN, Identity
from pruneproof.claims.data.mnist import find_all, identify_mnist
from pruneproof.claims.data.root import find_data_root, use_data_root
from pruneproof.errors import InvalidValueError


def main(
    action: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[get NAME]", help_behavior_hint="")
    ] = (),
    data_root: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """List the data sets that were found, recognised by the hashes of their files; or download one.

    Without an argument it prints the list; `pruneproof data get NAME` downloads fashion-mnist, mnist or cifar-10 below
    the data root and checks it against the published hashes. Debian's package dataset-fashion-mnist is found
    without a data root.

    Example: pruneproof data get fashion-mnist --data-root ~/data

    Args:
        action: "get" and a name, to download that data set; without it, the list is printed.
        data_root: The folder of the data sets; default the environment variable PRUNEPROOF_DATA_ROOT.
        json: Print the list as JSON.
    """
    match action:
        case ():
            if data_root is not None:
                use_data_root(data_root)
            _list(json)
        case ("get", name):
            root = data_root or find_data_root()
            if root is None:
                raise InvalidValueError("data get: no folder is named to store the data in. Pass --data-root PATH.")
            folder = download(known_set(name), root, progress=sys.stderr.isatty())
            print(f"{name} in {folder}")
        case _:
            raise InvalidValueError(f"data: {' '.join(action)} is no action. Use `pruneproof data` or `data get NAME`.")
    return 0


def _list(json: bool) -> None:
    found: list[tuple[Identity, str]] = [(identify_digits(), "bundled with scikit-learn")]
    found += [(identify_mnist(folder), str(folder)) for folder in find_all()]
    cifar = find_cifar10()
    found += [(identify_cifar10(cifar), str(cifar))] if cifar is not None else []
    if json:
        print(json_text.dumps([asdict(identity) | {"where": where} for identity, where in found], indent=2))
        return
    for identity, where in found:
        print(
            f"{identity.name}: {identity.train:,} + {identity.test:,} images, sha256 {identity.sha256[:12]}…, {where}"
        )
    absent = [known.key for known in KNOWN if known.name not in {identity.name for identity, _ in found}]
    if absent:
        print(f"not found: {', '.join(absent)} (pruneproof data get NAME --data-root PATH)")
