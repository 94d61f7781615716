"""What a release says about itself in several places is the same everywhere."""

import re
import tomllib
from pathlib import Path

from pruneproof import __version__

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), flags=re.MULTILINE)
    assert cited is not None
    assert project["version"] == __version__ == cited[1]


def test_every_workflow_runs_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    workflows = [path.read_text("utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    targets = {target for text in workflows for target in re.findall(r"run: make ([\w-]+)", text)}
    targets |= {
        target
        for text in workflows
        for listed in re.findall(r"target: \[(.*)\]", text)
        for target in listed.split(", ")
    }
    assert {"lint", "test", "docs", "test-minimum", "test-latest", "test-slow"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)] == []


def test_the_oldest_python_is_among_those_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    versions = re.findall(r'"(3\.\d+)"', workflow.partition("matrix:")[2])
    assert f">={versions[0]}" == project["requires-python"]


def test_the_readme_claims_no_python_that_no_job_tests() -> None:
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    claimed = set(re.findall(r"\b3\.\d+\b", (ROOT / "README.md").read_text("utf-8").partition("## Prune")[0]))
    assert claimed and claimed <= set(re.findall(r'"(3\.\d+)"', workflow))
