"""Metadata and dependencies of the distribution, and the set-up of a fresh machine."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from commands import succeed
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from qtpy.QtWidgets import QLabel
from ruamel.yaml import YAML

import napari_oneshot_lmk
import setup_env
import system_libraries

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HOME = ROOT / "napari_oneshot_lmk"
CITATION = ROOT / "CITATION.cff"
# napari depends on them: units of layers, drawing and forms.
NAPARI_BRINGS = {"magicgui", "pint", "superqt", "vispy"}
# Imported by MONAI's own command when it runs a bundle.
RUN_BY_MONAI = {"fire", "pytorch-ignite"}
QT_BINDINGS = {"pyqt5", "pyqt6", "pyside2", "pyside6", "pyside6-essentials"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


ABOUT = PROJECT["project"]
BASE = names(ABOUT["dependencies"])
PROVIDERS = packages_distributions()
ALL, DICOM_SR, CLUSTER = (
    names(ABOUT["optional-dependencies"][extra]) for extra in ("all", "dicom-sr", "cluster")
)
CLUSTER.add("distributed")  # comes with dask[distributed]


def distributions_imported_by(path: Path) -> set[str]:
    """Return the distributions, not ours and not Python's, that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        for module in modules:
            top = module.split(".")[0]
            if top in sys.stdlib_module_names or top == "napari_oneshot_lmk":
                continue
            found.add(canonicalize_name(PROVIDERS.get(top, [top])[0]))
            if module == "torch.utils.tensorboard":
                # torch does not install it.
                found.add("tensorboard")
    return found


# -- metadata -------------------------------------------------------------------


def test_version_is_the_same_everywhere():
    assert version("napari-oneshot-lmk") == napari_oneshot_lmk.__version__
    assert ABOUT["dynamic"] == ["version"]
    citation = CITATION.read_text(encoding="utf-8")
    assert f"\nversion: {napari_oneshot_lmk.__version__}\n" in citation
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    number = re.escape(napari_oneshot_lmk.__version__)
    # Released, or what the next release will be.
    assert re.search(rf"^## \[{number}\] – \d{{4}}-\d\d-\d\d$", changelog, re.M) or (
        re.search(rf"^## \[Unreleased\]\n\nBecomes {number}\.", changelog, re.M)
    )
    assert changelog.index("## [Unreleased]") < changelog.index("### Added")


def test_citation_is_valid_and_says_what_the_project_says():
    schema = ("--builtin-schema", "vendor.citation-file-format")
    succeed(sys.executable, "-m", "check_jsonschema", *schema, CITATION)
    cited = YAML(typ="safe").load(CITATION)
    assert cited["title"] == ABOUT["name"]
    assert cited["license"] == ABOUT["license"]
    assert [a["name"] for a in cited["authors"]] == [a["name"] for a in ABOUT["authors"]]
    # Every paper that the page on the method names.
    method = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b\d{4}\.\d{5}\b", method))
    assert len(named) >= 2
    assert named <= {each["url"].rpartition("/")[2] for each in cited["references"]}


def test_only_the_extra_all_brings_napari_and_one_qt_binding():
    assert not BASE & (QT_BINDINGS | {"napari"})
    assert "napari" in ALL
    assert len(ALL & QT_BINDINGS) == 1


def test_qt_binding_counts_its_references_to_none(qtbot):
    # PySide6 6.12.0 on Python 3.11 loses one a call, and napari ends in minutes.
    label = QLabel()
    qtbot.addWidget(label)
    before = sys.getrefcount(None)
    for _ in range(1000):
        label.setText("x")
    assert sys.getrefcount(None) > before - 100


def test_everything_imported_is_declared_and_nothing_else():
    allowed = {"widgets": BASE | ALL | NAPARI_BRINGS, "cluster": BASE | CLUSTER}
    imported = set(RUN_BY_MONAI)
    for path in HOME.rglob("*.py"):
        found = distributions_imported_by(path)
        if path.stem.startswith("dicom_sr"):
            # Imports them where a report is read or written, and says what to install.
            assert found & DICOM_SR
            found -= DICOM_SR
        # The core imports no more than the base: the command line works without napari.
        assert found <= allowed.get(path.relative_to(HOME).parts[0], BASE), path
        imported |= found
    assert imported & CLUSTER
    assert imported >= BASE, "a dependency that nothing imports"


@pytest.mark.parametrize("arguments", [["-m", "napari_oneshot_lmk"], []])
def test_command_answers_with_its_commands(arguments):
    script = Path(sys.executable).with_name("oneshot-lmk")
    command = [sys.executable, *arguments] if arguments else [script]
    said = succeed(*command, "--help")
    for name in ("template", "detect", "evaluate", "benchmark", "info", "demo"):
        assert re.search(rf"\b{name}\b", said), f"--help does not list {name}"


# -- which torch a fresh machine gets ---------------------------------------------

TORCH = f"torch=={setup_env.TORCH}"


@pytest.mark.parametrize(
    ("system", "gpu", "offered"),
    [("Linux", True, [setup_env.TORCH]), ("Darwin", False, [])],
    ids=["with a card", "a mac"],
)
def test_some_machines_get_the_default_build(system, gpu, offered):
    (attempt,) = setup_env.torch_attempts(system, gpu=gpu, offered=offered)
    assert TORCH in attempt[1]
    assert "--index-url" not in attempt[1]


def test_cpu_build_of_the_configured_index_is_asked_for_by_name():
    offered = [f"{setup_env.TORCH}+cpu", setup_env.TORCH]
    (attempt,) = setup_env.torch_attempts("Linux", gpu=False, offered=offered)
    assert f"{TORCH}+cpu" in attempt[1]
    assert TORCH not in attempt[1]


def test_without_a_card_pytorchs_cpu_index_comes_before_cuda():
    first, second = setup_env.torch_attempts("Linux", gpu=False, offered=[setup_env.TORCH])
    assert setup_env.CPU_INDEX in first[1]
    assert "--no-deps" in first[1]
    assert setup_env.CPU_INDEX not in second[1]
    assert "several GB" in second[0]


def test_torch_pins_satisfy_what_the_package_declares():
    declared = {r.name: r.specifier for r in map(Requirement, ABOUT["dependencies"])}
    assert setup_env.TORCH in declared["torch"]
    assert setup_env.TORCHVISION in declared["torchvision"]


def test_old_python_starts_a_newer_one(monkeypatch):
    started: list[str] = []
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    found = {"python3.12": "/usr/bin/python3.12"}
    monkeypatch.setattr(setup_env.shutil, "which", found.get)
    monkeypatch.setattr(setup_env.os, "execv", lambda path, _: started.append(path))
    with pytest.raises(setup_env.SetupError):
        # A real execv does not come back; this one does, and finds no other.
        setup_env.use_new_enough_python()
    assert started == ["/usr/bin/python3.12"]


def test_fingerprint_follows_the_wheel(tmp_path):
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"one")
    first = setup_env.fingerprint(wheel)
    wheel.write_bytes(b"two")
    assert setup_env.fingerprint(wheel) != first
    assert setup_env.fingerprint(None) == setup_env.fingerprint(None)


# -- system packages ---------------------------------------------------------------


def test_missing_library_names_its_package(monkeypatch):
    monkeypatch.setattr(system_libraries, "loads", lambda library: library != "libxcb-icccm.so.4")
    monkeypatch.setattr(system_libraries.sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    assert system_libraries.missing_window_packages() == ["libxcb-icccm4"]


def test_xvfb_is_needed_only_without_a_display(monkeypatch):
    monkeypatch.setattr(system_libraries, "loads", lambda _: True)
    monkeypatch.setattr(system_libraries.sys, "platform", "linux")
    monkeypatch.setattr(system_libraries.shutil, "which", lambda _: None)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert system_libraries.missing_window_packages() == []
    monkeypatch.delenv("DISPLAY")
    assert system_libraries.missing_window_packages() == ["xvfb"]


def test_linker_is_asked_for_real():
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux names libraries like this")
    assert system_libraries.loads("libc.so.6")
    assert not system_libraries.loads("libxcb-of-another-world.so.4")


def test_without_permission_the_exact_command_is_said(monkeypatch):
    monkeypatch.setattr(system_libraries, "apt_prefix", lambda: None)
    command = "sudo apt-get update && sudo apt-get install -y xvfb libegl1"
    with pytest.raises(system_libraries.SetupError, match=command):
        system_libraries.install(["xvfb", "libegl1"])
