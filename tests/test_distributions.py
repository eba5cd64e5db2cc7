"""Contents and metadata of the wheel and the source distribution."""

import os
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import NamedTuple

import napari
import pytest
from commands import succeed

import napari_oneshot_lmk

ROOT = Path(__file__).resolve().parent.parent
VERSION = napari_oneshot_lmk.__version__
STEM = f"napari_oneshot_lmk-{VERSION}"
DIST_INFO = f"{STEM}.dist-info"
NOT_IN_SDIST = (".ci/", ".gitattributes", ".github/")
"""Tracked, but of no use in the source distribution."""
# 7.3 when this was written, 6.9 of them sample images; the sdist has figures, too.
LARGEST_WHEEL_MB = 10
LARGEST_SDIST_MB = 13


class Built(NamedTuple):
    """Paths of the distributions."""

    sdist: Path
    wheel: Path
    """Built from the sdist, as pip would."""
    direct_wheel: Path
    """Built from the checkout."""


def build(source: Path, out: Path, *arguments: str) -> None:
    """Build without isolation: nothing is fetched."""
    options = ("--no-isolation", "--outdir", out, *arguments)
    succeed(sys.executable, "-m", "build", *options, source)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, out / "usual")
    build(ROOT, out / "direct", "--wheel")
    (sdist,) = (out / "usual").glob("*.tar.gz")
    (wheel,) = (out / "usual").glob("*.whl")
    (direct,) = (out / "direct").glob("*.whl")
    return Built(sdist, wheel, direct)


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Files that git tracks or would track."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout: nothing says which files belong")
    options = ("-z", "--cached", "--others", "--exclude-standard")
    listed = succeed("git", "ls-files", *options, cwd=ROOT)
    return {name for name in listed.split("\0") if (ROOT / name).is_file()}


def files_of(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_sdist_holds_every_tracked_file_and_nothing_else(built, tracked):
    with tarfile.open(built.sdist) as archive:
        names = {m.name.partition("/")[2] for m in archive if m.isfile()}
    wanted = {name for name in tracked if not name.startswith(NOT_IN_SDIST)}
    assert names - wanted == {"PKG-INFO"}
    assert wanted - names == set()


def test_wheel_holds_package_and_samples_and_nothing_else(built, tracked):
    names = set(files_of(built.wheel))
    package = {name for name in tracked if name.startswith("napari_oneshot_lmk/")}
    samples = {f"napari_oneshot_lmk/{name}" for name in tracked if name.startswith("sample_data/")}
    assert samples
    own = {name for name in names if not name.startswith(DIST_INFO)}
    assert own == package | samples
    assert names - own == {
        f"{DIST_INFO}/{name}"
        for name in (*("METADATA", "RECORD", "WHEEL", "entry_points.txt"), "licenses/LICENSE")
    }
    weights = "encoders/compact.safetensors"
    for name in ("napari.yaml", "py.typed", "training/presets/laptop.toml", weights):
        assert f"napari_oneshot_lmk/{name}" in own


def test_wheel_from_the_sdist_is_the_wheel_from_the_checkout(built):
    assert files_of(built.wheel) == files_of(built.direct_wheel)
    assert built.wheel.read_bytes() == built.direct_wheel.read_bytes()


def test_distributions_are_no_larger_than_said(built):
    assert built.wheel.stat().st_size < LARGEST_WHEEL_MB * 1e6
    assert built.sdist.stat().st_size < LARGEST_SDIST_MB * 1e6


def test_pypi_would_take_them_and_show_the_readme(built):
    check = (sys.executable, "-m", "twine", "check", "--strict")
    said = succeed(*check, built.sdist, built.wheel)
    assert said.count("PASSED") == 2


def test_metadata_says_what_the_hub_and_the_plugin_manager_show(built, tmp_path):
    with zipfile.ZipFile(built.wheel) as archive:
        archive.extractall(tmp_path)
    found = PathDistribution(tmp_path / DIST_INFO)
    about = found.metadata
    assert (about["Name"], about["Version"]) == ("napari-oneshot-lmk", VERSION)
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Author"] == "The napari-oneshot-lmk developers"
    assert about["Summary"]
    assert about["Description-Content-Type"] == "text/markdown"
    assert "Framework :: napari" in about.get_all("Classifier", [])
    assert len((about["Keywords"] or "").split(",")) >= 8
    points = {(e.group, e.name): e.value for e in found.entry_points}
    assert points == {
        ("console_scripts", "oneshot-lmk"): "napari_oneshot_lmk.cli.app:main",
        ("napari.manifest", "napari-oneshot-lmk"): "napari_oneshot_lmk:napari.yaml",
    }


LOOK = """
import pathlib, sys
import napari, napari_oneshot_lmk

home = pathlib.Path(napari_oneshot_lmk.__file__).parent
assert home.is_relative_to(sys.prefix), f"{home} is not the installed wheel"

def named(menu, text):
    menu.aboutToShow.emit()
    return next(a for a in menu.actions() if a.text().startswith(text))

viewer = napari.Viewer()
submenu = named(viewer.window.plugins_menu, "One-shot landmarks").menu()
named(submenu, "One-shot landmarks").trigger()
print([action.text() for action in submenu.actions()])
(dock,) = viewer.window.dock_widgets.values()
viewer.open_sample("napari-oneshot-lmk", "hand")
print(type(dock).__name__, len(viewer.layers))
viewer.close()
"""


def test_napari_opens_the_dock_of_the_installed_wheel_from_its_menu(built, tmp_path):
    place = tmp_path / "venv"
    venv.create(place, with_pip=False, symlinks=os.name != "nt")
    python = next(place.glob("[bS]*/python*"))
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(succeed(python, "-Ic", code).strip())
    install = ("install", "--quiet", "--no-deps", "--no-index", built.wheel)
    succeed(sys.executable, "-m", "pip", "--python", python, *install)
    # napari, torch and the rest are those of the tests. A plain path gives access to the
    # packages there, not to the .pth files that lead from there into the checkout.
    elsewhere = Path(napari.__file__).parent.parent
    (site / "of-the-tests.pth").write_text(f"{elsewhere}\n")
    said = succeed(python, "-IW", "ignore", "-c", LOOK, cwd=tmp_path)
    for text in ("OneshotDock 5", "Annotate template", "Detect landmarks", "Train model"):
        assert text in said
