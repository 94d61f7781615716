"""Which code walks a greedy path on the device at hand: the persistent kernel, certified screening, or plain torch."""

from collections.abc import Callable

from torch import Tensor

from .backend import Choice, choose
from .gram import Gram
from .greedy_choice import Path, Products
from .greedy_stream import FeatureProducts

OP = "greedy_select"


def plan_path(rule: str, numbers: Tensor, gram: bool) -> Choice:
    """What walks the path of `rule` on `numbers`, from a Gram or not: Triton bodies exist for the equal-weight rule."""
    if rule != "average":
        return Choice(OP, "reference", f"{rule}_path", f"the rule {rule} has no Triton body")
    base = choose(OP, numbers, wide=True)
    if base.backend == "reference":
        return Choice(OP, "reference", "average_path", base.reason)
    name = "persistent kernel" if gram else "certified screening"
    return Choice(OP, "triton", name, base.reason)


def device_path(rule: str, products: Products) -> Callable[[Products, int, bool], Path] | None:
    """The Triton path, or None where the plain one runs."""
    gram = isinstance(products, Gram)
    if plan_path(rule, products.correlation, gram).backend == "reference":
        return None
    return _persistent if gram else _screened


def _persistent(products: Products, steps: int, replacement: bool) -> Path:
    from .greedy_persistent import persistent_paths

    assert isinstance(products, Gram)
    return persistent_paths([products], steps, replacement)[0]


def _screened(products: Products, steps: int, replacement: bool) -> Path:
    from .greedy_screen import screened_path

    assert isinstance(products, FeatureProducts)
    return screened_path(products, products.target, steps, replacement)
