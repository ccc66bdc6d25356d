"""A built package holds what the checkout holds: code, cells, texts, and the marker of checked types."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import bptt

ROOT = Path(__file__).parents[1]
LAYERS = ("derive", "kernels", "analysis", "reports")


def build(target, source, folder):
    """Build `target`, wheel or sdist, from `source` into `folder` and return the file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    archive = build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
        tar.extractall(unpacked)
    (folder,) = unpacked.iterdir()
    return folder


@pytest.mark.parametrize("origin", ["checkout", "sdist"])
def test_wheel_holds_every_file_of_the_layers(origin, sdist, tmp_path):
    wheel = build("wheel", sdist if origin == "sdist" else ROOT, tmp_path)
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("bptt/")}
    layers = {
        f"bptt/{path.relative_to(ROOT).as_posix()}"
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    source = ROOT / "src" / "bptt"
    own = {path.relative_to(source).as_posix() for path in (*source.glob("*"), *source.glob("commands/*.py"))} - set(
        LAYERS
    )
    own -= {"commands", "__pycache__"}
    assert {"__init__.py", "__main__.py", "cli.py", "commands/overview.py", "py.typed"} <= own
    assert held == layers | {f"bptt/{name}" for name in own}
    assert any(name.startswith("bptt/derive/zoo/") and name.endswith(".cell") for name in held)


def test_installed_copy_works_away_from_the_checkout(tmp_path):
    wheel = build("wheel", ROOT, tmp_path / "dist")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    source = "import bptt; print(bptt.__file__, bptt.load(bptt.zoo()[0]).states)"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path / "site", capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path))


def test_an_editable_install_without_links_says_what_to_do(sdist, tmp_path):
    source = shutil.copytree(sdist, tmp_path / "source")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel:editable"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "core.symlinks=true" in done.stderr


def test_the_citation_names_this_version():
    assert f"\nversion: {bptt.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
