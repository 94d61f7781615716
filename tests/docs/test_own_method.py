"""The page on adding a method runs as printed."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs" / "own_method.md").read_text("utf-8")


def test_its_code_runs_from_top_to_bottom() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    exec("\n".join(blocks), {"__name__": "page"})


def test_it_names_every_law() -> None:
    from pruneproof.prune import magnitude, scores
    from pruneproof.testing import method_laws, score_laws

    laws = score_laws(lambda model, batch: scores.magnitude(model))
    laws += method_laws(lambda model, batch, density: magnitude(model, density=density))
    assert all(f"`{law}`" in TEXT for law in laws)
