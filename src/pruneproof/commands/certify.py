"""Certify how far a pruned network can differ from the original, in a file that `check` recomputes."""

import json as json_text
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pruneproof.errors import FileAccessError, InvalidValueError

from . import INTERRUPTED


def main(
    original: tyro.conf.Positional[Path],
    pruned: tyro.conf.Positional[Path],
    /,
    data: Path,
    factory: str,
    radius: float = 0.0,
    norm: Literal["inf", "2"] = "inf",
    method: Literal["crown", "ibp"] = "crown",
    alpha: float = 0.05,
    beta: float = 0.05,
    lipschitz: Annotated[dict[str, float] | None, tyro.conf.arg(metavar="NAME SLOPE …", help_behavior_hint="")] = None,
    out: Path = Path("certificate.json"),
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="FILE.zip", help_behavior_hint="")] = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Certify how far a pruned network can differ from the original.

    The certificate makes two kinds of statement: about every point of a ball around each input (proved, rounding
    included), and about the population that the inputs were drawn from (with confidence 1 - alpha). The pruned network
    may have any weights. After Ctrl-C the certificate is about the inputs that were finished; exit status 130.

    Example: pruneproof certify dense.st sparse.st --data test.st --factory my_package.nets:mlp --radius 0.03

    Args:
        original: Safetensors file with the original's state.
        pruned: Safetensors file with the pruned network's state, of the same architecture.
        data: Safetensors file with a tensor named inputs, (batch, *item).
        factory: The function that builds the architecture, as package.module:function; it is imported and called.
        radius: Radius of the ball around every input, in input units.
        norm: Norm of the ball.
        method: crown (linear relaxation of the pair with back-substitution) or ibp (interval bounds: faster, looser).
        alpha: Error probability of each confidence statement.
        beta: Share of the population that may exceed the quantile and conformal bounds.
        lipschitz: Activations of torch.nn with their largest slopes, e.g. --lipschitz GELU 1.13; the certificate says
            that they were assumed.
        out: Certificate file to write.
        bundle: Zip file to write as well, with all that `check` needs: certificate, weights, inputs, versions.
        json: Print the summary as one JSON object; a bound that is infinite is null.
    """
    replaced = _check_out(out, (original, pruned, data))
    _check_bundle(bundle, out)
    from pruneproof.progress import Meter
    from pruneproof.prune.certification.bundle import write_bundle
    from pruneproof.prune.certification.certificate import build_certificate, write_certificate
    from pruneproof.prune.models.checkpoint import load_inputs, load_network

    first, second = load_network(factory, original), load_network(factory, pruned)
    inputs = load_inputs(data)
    with Meter("certifying balls", counted=True) as meter:
        content = build_certificate(
            first,
            second,
            inputs,
            radius=radius,
            norm=norm,
            method=method,
            alpha=alpha,
            beta=beta,
            lipschitz=lipschitz,
            progress=meter,
        )
    for part, file in (("original", original), ("pruned", pruned)):
        content[part].update(factory=factory, checkpoint=os.path.relpath(file, out.parent))
    content["data"]["file"] = os.path.relpath(data, out.parent)
    write_certificate(out, content)
    if bundle is not None:
        write_bundle(bundle, content, original=original, pruned=pruned, data=data)
    if replaced:
        print(f"note: the certificate that {out} held before was replaced", file=sys.stderr)
    print(_summary(content, bundle or out, factory, as_json=json))
    finished = len(content["region"]["certified"])
    if finished < len(inputs):
        print(f"interrupted: the certificate is about the first {finished} of {len(inputs)} inputs", file=sys.stderr)
        return INTERRUPTED
    return 0


def _check_bundle(bundle: Path | None, out: Path) -> None:
    if bundle is not None and bundle.resolve() == out.resolve():
        raise InvalidValueError(f"certify: --bundle and --out both name {out}. Choose another path.")
    if bundle is not None and (bundle.exists() or not bundle.parent.is_dir()):
        reason = "already exists" if bundle.exists() else "lies in a folder that does not exist"
        raise FileAccessError(f"certify: --bundle {bundle} {reason}. Choose another name.")


def _check_out(out: Path, read: Sequence[Path]) -> bool:
    """Refuse to write where that is impossible or would destroy anything but a certificate; whether one is there."""
    if not out.parent.is_dir():
        raise FileAccessError(f"certify: the folder {out.parent} of --out does not exist. Make it first.")
    if any(out.resolve() == file.resolve() for file in read):
        raise InvalidValueError(f"certify: --out {out} is one of the files that are certified. Choose another name.")
    if not out.exists():
        return False
    try:
        content = json_text.loads(out.read_bytes())
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("kind") != "network":
        raise InvalidValueError(f"certify: --out {out} exists and is no certificate. Choose another name.")
    return True


def _summary(content: dict[str, dict[str, object]], out: Path, factory: str, *, as_json: bool) -> str:
    region, population = content["region"], content["population"]
    certified, bounds = region["certified"], region["error_bound"]
    assert isinstance(certified, list) and isinstance(bounds, list)
    finite = sorted(float(bound) for bound in bounds)
    facts = {
        "inputs": len(certified),
        "certified": sum(certified),
        "median_error_bound": finite[len(finite) // 2],
        "disagreements": population["disagreements"],
        "disagreement_bound": population["disagreement_bound"],
        "quantile_bound": population["quantile_bound"],
        "file": str(out),
    }
    if as_json:
        return json_text.dumps({name: None if value in ("inf", math.inf) else value for name, value in facts.items()})
    return (
        f"ball of radius {region['radius']} (norm {region['norm']}): both networks provably predict the same class on "
        f"{facts['certified']} of {facts['inputs']} balls; median bound on the output difference "
        f"{facts['median_error_bound']:.4g}\n"
        f"population: {facts['disagreements']} disagreements seen; at most {facts['disagreement_bound']:.4g} with "
        f"confidence {1 - float(str(population['alpha'])):g}\n"
        f"written to {out}; to check it: pruneproof check {out} --factory {factory}"
    )
