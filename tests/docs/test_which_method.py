"""The page on methods shows the committed rows, and they are complete."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
BENCH = runpy.run_path(str(ROOT / "bench" / "which_method.py"))
PAGE = (ROOT / "docs" / "which_method.md").read_text("utf-8")
ROWS = json.loads((ROOT / "docs" / "which_method.json").read_text("utf-8"))


def test_the_page_is_what_the_rows_give() -> None:
    shown = PAGE.partition(BENCH["BEGIN"])[2].partition(BENCH["END"])[0].strip()
    assert shown == BENCH["render"](ROWS)


def test_a_changed_row_changes_the_page() -> None:
    """The negative control."""
    changed = [{**row, "accuracy": 1.0} if index == 1 else row for index, row in enumerate(ROWS)]
    assert BENCH["render"](changed) != BENCH["render"](ROWS)


def test_every_seed_has_every_network_density_and_method() -> None:
    keys = {(row["network"], row["seed"], row["phase"], row["method"], row["density"]) for row in ROWS}
    assert len(keys) == len(ROWS)
    networks, seeds, densities = BENCH["NETWORKS"], BENCH["SEEDS"], BENCH["DENSITIES"]
    for phase, methods in (("before", BENCH["BEFORE"]), ("retrain", BENCH["AFTER"]), ("once", BENCH["AFTER"])):
        wanted = {
            (n, s, phase, m, d) for n in networks for s in seeds for m in methods for d in densities if m != "Wanda"
        }  # Wanda refuses to empty a row
        assert wanted <= keys
