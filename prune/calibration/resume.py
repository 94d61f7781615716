"""Finished blocks in a folder, so that a pruning that was interrupted goes on behind them.

`plan.json` says what was asked: method, budgets, and SHA-256 hashes of the inputs and of every dense
weight. Each finished block is one safetensors file with its masks (packed bits), its weights where
the method changes them, and its reports; it is written to a temporary name and renamed, so a crash
leaves whole files only. A folder whose plan differs is refused.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pruneproof.errors import FileAccessError, FileFormatError, StateError
from pruneproof.prune.models.checkpoint import data_hash
from pruneproof.prune.models.layers import Layer

from .trees import leaves

_Report = TypeVar("_Report")


@dataclass(frozen=True)
class Finished(Generic[_Report]):
    """One finished block.

    Args:
        masks: Parameter name → bool tensor.
        weights: Parameter name → its pruned weight.
        reports: One per parameter.
    """

    masks: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    reports: list[_Report]


class Store(Generic[_Report]):
    """The folder of one pruning.

    Args:
        folder: Made if it is missing.
        layers: All layers to prune.
        inputs: All batches.
        identity: What was asked otherwise; numbers, texts, lists and dicts.
        updates: Whether the method changes the weights that it keeps.
        report: Makes a report from its fields.

    Raises:
        StateError: The folder belongs to another pruning.
        FileAccessError: It cannot be made or written.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        layers: Sequence[Layer],
        inputs: Sequence[Any],
        identity: Mapping[str, Any],
        *,
        updates: bool,
        report: type[_Report],
    ) -> None:
        self.folder, self.updates, self.report = Path(folder), updates, report
        plan: dict[str, Any] = json.loads(json.dumps({"version": 1, **identity, "inputs": _inputs_hash(inputs)}))
        hashes = {layer.name: data_hash(layer.weight) for layer in layers}
        path = self.folder / "plan.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except (OSError, ValueError) as error:
            raise FileAccessError(f"calibrated: the resume folder {self.folder} cannot be used ({error}).") from error
        self.blocks: list[str] = plan["blocks"]
        if known is None:
            text = json.dumps({**plan, "weights": hashes}, indent=1)
            self._write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            return
        weights = known.pop("weights", {}) if isinstance(known, dict) else {}
        for key, value in plan.items():
            if not isinstance(known, dict) or known.get(key) != value:
                self._refuse(key)
        for layer in layers:
            done = any(self._path(block).exists() and layer.name in self._names(block) for block in self.blocks)
            if not done and weights.get(layer.name) != hashes[layer.name]:
                self._refuse(f"the dense weight {layer.name}")

    def _refuse(self, what: str) -> None:
        raise StateError(
            f"calibrated: the resume folder {self.folder} holds another pruning ({what} differs). "
            "Pass the model and arguments it was begun with, or another folder."
        )

    def _path(self, block: str) -> Path:
        return self.folder / f"block-{self.blocks.index(block):04d}.safetensors"

    def _names(self, block: str) -> list[str]:
        with self._open(block) as file:
            return json.loads(file.metadata()["names"])

    def _open(self, block: str) -> Any:
        try:
            return safe_open(self._path(block), framework="pt")
        except (OSError, SafetensorError) as error:
            raise FileFormatError(
                f"calibrated: {self._path(block)} is no finished block ({error}). "
                "Delete it, and the block is done anew."
            ) from error

    def write(self, block: str, finished: Finished[_Report]) -> None:
        """Store a block."""
        tensors = {f"mask/{name}": packed(mask) for name, mask in finished.masks.items()}
        if self.updates:
            tensors |= {f"weight/{name}": weight.cpu().contiguous() for name, weight in finished.weights.items()}
        reports = json.dumps([asdict(report) for report in finished.reports])  # pyright: ignore[reportArgumentType]
        metadata = {"names": json.dumps(list(finished.masks)), "reports": reports}
        self._write(self._path(block), lambda temporary: save_file(tensors, temporary, metadata))

    def _write(self, path: Path, write: Any) -> None:
        temporary = path.with_name(f".{path.name}.writing")
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            raise FileAccessError(
                f"calibrated: the resume folder {self.folder} cannot be written ({error}). Free space, or pass another."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, block: str, layers: Sequence[Layer]) -> Finished[_Report] | None:
        """A finished block; `None` if it is not there."""
        if not self._path(block).exists():
            return None
        masks: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        with self._open(block) as file:
            try:
                for layer in layers:
                    weight = layer.weight.detach()
                    mask = unpacked(file.get_tensor(f"mask/{layer.name}"), weight.shape).to(weight.device)
                    masks[layer.name] = mask
                    stored = file.get_tensor(f"weight/{layer.name}").to(weight) if self.updates else weight
                    weights[layer.name] = stored.masked_fill(~mask, 0)
                reports = [self.report(**fields) for fields in json.loads(file.metadata()["reports"])]
            except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
                raise FileFormatError(
                    f"calibrated: {self._path(block)} does not hold this block ({error}). "
                    "Delete it, and the block is done anew."
                ) from error
        return Finished(masks, weights, reports)


def packed(mask: Tensor) -> Tensor:
    """One bit per entry, in row-major order, as bytes on the CPU.

    Example:
        >>> packed(torch.tensor([True, False, False, True]))
        tensor([144], dtype=torch.uint8)
    """
    return torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))


def unpacked(bits: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `packed`, on the CPU.

    Example:
        >>> unpacked(torch.tensor([144], dtype=torch.uint8), torch.Size([2, 2]))
        tensor([[ True, False],
                [False,  True]])
    """
    flat = np.unpackbits(bits.numpy(), count=shape.numel()).view(np.bool_)
    return torch.from_numpy(flat).reshape(shape)


def _inputs_hash(inputs: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    for batch in inputs:
        for path, leaf in leaves(batch):
            content = data_hash(leaf) if isinstance(leaf, Tensor) else repr(leaf)
            digest.update(f"{path!r}={content};".encode())
        digest.update(b"|")
    return digest.hexdigest()
