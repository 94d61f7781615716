"""A certificate as a JSON file: what is claimed, of which networks on which data, in numbers that can be recomputed.

`check_certificate` trusts nothing but the files it is pointed to: it hashes them, recomputes every number, and refuses
the certificate if any of it differs. Bounds may differ between machines by the order of float64 sums: each is sound, so
a claimed bound is accepted within `TOLERANCE` of the recomputed one, relatively; a `certified` input must be certified
again.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from pruneproof.errors import FileFormatError, InvalidValueError, UnknownNameError, speaking_for
from pruneproof.files import read_json, whole_file
from pruneproof.prune.models.checkpoint import data_hash, load_inputs, load_network, network_hash

from .population import certify_population
from .region import RegionCertificate, certify_batches, joined

KIND = "network"
VERSION = 2
TOLERANCE = 1e-9  # the slack charged for rounding is γ ≈ 1e-13 of the same sums, so honest machines differ by less
STATEMENT = (
    "For every input of the data that has entries here (the first ones, in order) and every point of the closed ball "
    "of the stated radius and norm around it, in exact arithmetic on the stored weights, no output of the pruned "
    "network differs from the original's by more than error_bound, and where certified is true both predict the class "
    "of `predicted`."
)
POPULATION = (
    "If the data are drawn independently from a population, then with confidence 1 - alpha the classes differ with "
    "probability at most disagreement_bound, and (another event of confidence 1 - alpha) at most a share beta has a "
    "largest output difference above quantile_bound."
)


def build_certificate(
    original: nn.Module,
    pruned: nn.Module,
    inputs: Tensor,
    *,
    radius: float,
    norm: str = "inf",
    method: str = "crown",
    alpha: float = 0.05,
    beta: float = 0.05,
    lipschitz: Mapping[str, float] | None = None,
    first: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The content of a certificate, without the files' names.

    An interruption (Ctrl-C) keeps the balls that were finished, unless `first` asks for a certain number: the
    certificate is then about the first inputs only.

    Args:
        original, pruned: Networks of one architecture.
        inputs: (batch, *item).
        radius, norm, method: As for `certify`.
        alpha, beta: As for `certify_population`.
        lipschitz: Name of an activation of `torch.nn`, such as "GELU" → its Lipschitz constant,
            which the certificate then assumes and says so.
        first: Around how many inputs, from the first, balls are treated; all if left out.
        progress: Called with the numbers of balls done and to be done.

    Returns:
        JSON values only.
    """
    declared = {_activation(name): constant for name, constant in (lipschitz or {}).items()}
    parts: list[RegionCertificate] = []
    balls = inputs[:first]
    try:
        with speaking_for("certify"):
            for part in certify_batches(
                original, pruned, balls, radius=radius, norm=norm, method=method, lipschitz=declared
            ):
                parts.append(part)
                progress(sum(len(part.certified) for part in parts), len(balls))
    except KeyboardInterrupt:
        if not parts or first is not None:
            raise
    region = joined(parts)
    population = certify_population(original, pruned, inputs, alpha=alpha, beta=beta)
    return {
        "kind": KIND,
        "version": VERSION,
        "verdict": f"{int(region.certified.sum())} of {len(region.certified)} balls certified",
        "original": {"sha256": network_hash(original)},
        "pruned": {"sha256": network_hash(pruned)},
        "data": {"sha256": data_hash(inputs), "inputs": len(inputs)},
        "region": {
            "statement": STATEMENT,
            "radius": radius,
            "norm": norm,
            "method": method,
            "error_bound": [_number(bound) for bound in region.error_bound.amax(1).tolist()],
            "predicted": region.predicted.tolist(),
            "certified": region.certified.tolist(),
            "lipschitz": {name: float(constant) for name, constant in (lipschitz or {}).items()},
            "assumptions": list(region.assumptions),
        },
        "population": {"statement": POPULATION, **{k: _number(v) for k, v in asdict(population).items()}},
    }


def _activation(name: str) -> type[nn.Module]:
    found = getattr(nn, name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise UnknownNameError(f"certify: torch.nn has no activation called {name!r}. Name one, such as GELU.")
    return found


def _number(value: float) -> float | str:
    """JSON has no infinity."""
    return "inf" if value == math.inf else value


def write_certificate(path: Path, content: dict[str, Any]) -> None:
    """Write atomically: a reader, even after a crash, sees the old file or the whole new one."""
    text = json.dumps(content, indent=1, allow_nan=False)
    with whole_file(path, "certify") as file:
        file.write(text.encode())


def check_certificate(path: Path, *, factory: str) -> list[str]:
    """Recompute a certificate from the files it names, relative to its own folder.

    Args:
        path: The JSON file.
        factory: The architecture's `package.module:function`; it is imported, so the reader names
            it.

    Returns:
        What is wrong with it, one line each; empty if it is sound.

    Raises:
        PruneproofError: It, or a file it names, cannot be read, or it names another factory.
    """
    return _differing(read_certificate(path), path.parent, factory)


def verify(content: dict[str, Any], *, folder: Path, factory: str) -> str | None:
    """The first thing that is wrong with a certificate's content, or None; files are found relative to `folder`."""
    wrong = _differing(content, folder, factory)
    return f"{wrong[0]} ({len(wrong)} in all)" if wrong else None


def _differing(content: dict[str, Any], folder: Path, factory: str) -> list[str]:
    try:
        for part in ("original", "pruned"):
            if content[part]["factory"] != factory:
                named = content[part]["factory"]
                raise InvalidValueError(
                    f"check: the certificate says that {named!r} builds the {part} network, got --factory {factory!r}. "
                    "If you trust that code, pass --factory with its name."
                )
        return _recomputed(content, folder, factory)
    except (KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise FileFormatError(f"check: the certificate is not complete ({why}). Make it anew with certify.") from error


def read_certificate(path: Path) -> dict[str, Any]:
    """The content of a certificate file."""
    content = read_json(path, "check")
    if content.get("kind") != KIND or _differences("version", content.get("version"), VERSION):
        raise FileFormatError(
            f"check: {path} is not a certificate of kind {KIND!r}, version {VERSION}. "
            "Check it with the version of pruneproof that wrote it."
        )
    return content


def _recomputed(content: dict[str, Any], folder: Path, factory: str) -> list[str]:
    files = (folder / content[part]["checkpoint"] for part in ("original", "pruned"))
    original, pruned = (load_network(factory, file, where="check") for file in files)
    inputs = load_inputs(folder / content["data"]["file"], where="check")
    region, population = content["region"], content["population"]
    if others := _other_files(content, network_hash(original), network_hash(pruned), data_hash(inputs)):
        return others
    fresh = build_certificate(
        original,
        pruned,
        inputs,
        radius=region["radius"],
        norm=region["norm"],
        method=region["method"],
        alpha=population["alpha"],
        beta=population["beta"],
        lipschitz=region["lipschitz"],
        first=max(1, len(region["certified"])),
    )
    for part in ("original", "pruned"):
        fresh[part].update(factory=factory, checkpoint=content[part]["checkpoint"])
    fresh["data"]["file"] = content["data"]["file"]
    return _differences("", content, fresh)


def _other_files(content: dict[str, Any], original: str, pruned: str, data: str) -> list[str]:
    """Which of the files are not those the certificate is about, one line each."""
    found = {"original": original, "pruned": pruned}
    claimed = {part: content[part]["sha256"] for part in found}
    if original != pruned and (claimed["original"], claimed["pruned"]) == (pruned, original):
        one, two = (content[part]["checkpoint"] for part in found)
        return [f"the two weight files were exchanged: {one} holds the pruned weights and {two} the original's"]
    lines = [
        f"the {part} weights in {content[part]['checkpoint']} are not those the certificate was made for, or the code "
        "that builds the network was changed"
        for part in found
        if claimed[part] != found[part]
    ]
    if content["data"]["sha256"] != data:
        lines.append(f"the inputs in {content['data']['file']} are not those the certificate was made for")
    return lines


def _differences(name: str, claimed: object, found: object) -> list[str]:
    """Where two JSON values differ, one line each; numbers of another type, and fields too many, do."""
    if isinstance(found, dict):
        return _differing_fields(name, claimed, cast("dict[str, object]", found))
    if isinstance(found, list):
        claims = cast("list[object]", claimed) if isinstance(claimed, list) else []
        if len(claims) != len(cast("list[object]", found)):
            return [f"{name}: {len(claims)} entries claimed, {len(cast('list[object]', found))} found"]
        pairs = zip(claims, cast("list[object]", found), strict=True)
        return [line for i, (a, b) in enumerate(pairs) for line in _differences(f"{name}[{i}]", a, b)]
    same = type(claimed) is type(found) and claimed == found
    if isinstance(found, float) and isinstance(claimed, float):
        same = math.isclose(claimed, found, rel_tol=TOLERANCE)
    return [] if same else [f"{name}: {claimed} claimed, {found} recomputed"]


def _differing_fields(name: str, claimed: object, found: dict[str, object]) -> list[str]:
    fields = cast("dict[str, object]", claimed) if isinstance(claimed, dict) else {}
    wrong: list[str] = []
    if fields.keys() != found.keys():
        wrong.append(f"{name or 'the certificate'}: fields {sorted(fields)}, expected {sorted(found)}")
    for key in found.keys() & fields.keys():
        wrong += _differences(f"{name}.{key}" if name else key, fields[key], found[key])
    return sorted(wrong)
