"""Which code walks a greedy path on the device at hand: the persistent kernel, certified screening, or plain torch."""

from collections.abc import Callable

from .backend import Choice, choose
from .gram import Gram
from .greedy_choice import Path, Products
from .greedy_stream import FeatureProducts

OP = "greedy_select"


def plan_path(rule: str, products: Products) -> Choice:
    """What walks the path of `rule` on `products`: Triton bodies exist for the equal-weight rule."""
    if rule != "average":
        return Choice(OP, "reference", f"{rule}_path", f"the rule {rule} has no Triton body")
    base = choose(OP, products.correlation, wide=True)
    if base.backend == "reference":
        return Choice(OP, "reference", "average_path", base.reason)
    name = "persistent kernel" if isinstance(products, Gram) else "certified screening"
    return Choice(OP, "triton", name, base.reason)


def device_path(rule: str, products: Products) -> Callable[[Products, int, bool], Path] | None:
    """The Triton path, or None where the plain one runs."""
    if plan_path(rule, products).backend == "reference":
        return None
    return _persistent if isinstance(products, Gram) else _screened


def _persistent(products: Products, steps: int, replacement: bool) -> Path:
    from .greedy_persistent import persistent_paths

    assert isinstance(products, Gram)
    return persistent_paths([products], steps, replacement)[0]


def _screened(products: Products, steps: int, replacement: bool) -> Path:
    from .greedy_screen import screened_path

    assert isinstance(products, FeatureProducts)
    return screened_path(products, products.target, steps, replacement)
