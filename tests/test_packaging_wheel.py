"""The wheel holds exactly the tree, and works from an unrelated folder in an environment without the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("claims", "kernels", "prune", "theory")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that neither `build/` nor `*.egg-info` is left in the checkout, nor read from it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    assert tracked.returncode == 0, f"the packaging test needs a git checkout: {tracked.stderr}"
    for name in tracked.stdout.split():
        if not (ROOT / name).exists():
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (source / name).symlink_to(os.readlink(ROOT / name))
        else:
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def _modules_in_tree() -> set[str]:
    """Every Python file of the five folders, under the name it has once it is installed."""
    packages = {f"pruneproof/{file.relative_to(ROOT)}" for name in PACKAGES for file in (ROOT / name).rglob("*.py")}
    top = ROOT / "src" / "pruneproof"
    links = {top / name for name in PACKAGES}
    own = {
        f"pruneproof/{file.relative_to(top)}"
        for file in top.rglob("*.py")
        if not any(link in file.parents for link in links)
    }
    return {name for name in packages | own if "__pycache__" not in name}


def test_wheel_holds_every_module_of_the_tree_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if name.endswith(".py")} == _modules_in_tree()
    assert {name.split("/")[0] for name in names} - {"pruneproof"} == {
        name.split("/")[0] for name in names if ".dist-info/" in name
    }


def test_wheel_carries_the_type_marker_and_the_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {f"pruneproof/{file.relative_to(ROOT)}" for name in PACKAGES for file in (ROOT / name).rglob("*.json")}
    assert {"pruneproof/py.typed", *data} <= names


def test_installed_wheel_imports_from_an_unrelated_folder(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    (site,) = environment.rglob("site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    # The dependencies come from the environment that runs this test; its own editable pruneproof does not, because a
    # `.pth` file adds a folder without reading the `.pth` files in it.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    unrelated = tmp_path / "unrelated"
    unrelated.mkdir()
    imports = "; ".join(f"import pruneproof.{name}; print(pruneproof.{name}.__file__)" for name in PACKAGES)
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run([python, "-c", imports], cwd=unrelated, env=clean, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert all(Path(line).is_relative_to(site) for line in ran.stdout.split())
    assert len(ran.stdout.split()) == len(PACKAGES)


def test_the_four_folders_refuse_to_be_imported_as_top_level_packages() -> None:
    for name in PACKAGES:
        ran = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True)
        assert ran.returncode != 0
        assert f"this is pruneproof.{name}" in ran.stderr


def test_a_checkout_whose_links_are_text_files_does_not_build(tmp_path: Path) -> None:
    """Git on Windows may write links as text files: a clear failure, and no wheel that lacks its parts."""
    source = tmp_path / "source"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (source / name).write_text(os.readlink(ROOT / name))
        elif (ROOT / name).is_file():
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], capture_output=True, text=True)
    assert built.returncode != 0 and not list(tmp_path.glob("*.whl"))
    assert "src/pruneproof/claims, src/pruneproof/kernels" in built.stdout + built.stderr
    assert "core.symlinks" in built.stdout + built.stderr
