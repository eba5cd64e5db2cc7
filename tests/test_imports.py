"""What import contracts and ruff cannot check: what starting up loads, what a bundle needs."""

import ast
import re
import sys
from pathlib import Path

import pytest
from commands import succeed

PACKAGE = "napari_oneshot_lmk"
ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / PACKAGE
TRAVELS = HOME / "bundle" / "scripts"
"""Copied into bundles, where it stands alone."""
SOURCES = sorted(HOME.rglob("*.py"))
LONGEST_FILE = 400

WINDOW_LIBRARIES = {"magicgui", "napari", "qtpy", "PyQt5", "PyQt6", "PySide6", "superqt"}
SLOW_LIBRARIES = {"torch", "torchvision", "monai", "SimpleITK"}

BUNDLE_LIBRARIES = {"torch", "monai", "numpy", "ignite", "SimpleITK"}
"""What a bundle asks for; see PACKAGES in bundle/configs.py."""


def test_files_are_short_and_named_after_things():
    for path in SOURCES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= LONGEST_FILE, f"{path} has {lines} lines"
        assert path.stem not in {"utils", "util", "helpers", "common", "misc"}, path


def test_torchvision_is_imported_in_one_place():
    # A torchvision for CUDA beside a torch for the CPU cannot be imported as it is.
    importing = re.compile(r'^\s*(import|from) torchvision|f"torchvision\.', re.M)
    texts = {path: path.read_text(encoding="utf-8") for path in SOURCES}
    importers = {path.relative_to(HOME) for path, text in texts.items() if importing.search(text)}
    assert importers == {Path("encoders/vgg19.py")}


def test_import_contracts_are_kept():
    code = "from importlinter.cli import lint_imports_command as f; f()"
    succeed(sys.executable, "-c", code, cwd=ROOT)


@pytest.mark.parametrize("path", sorted(TRAVELS.glob("*.py")), ids=lambda path: path.name)
def test_what_travels_in_a_bundle_needs_what_the_bundle_asks_for(path):
    known = BUNDLE_LIBRARIES | set(sys.stdlib_module_names)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] in known, f"line {node.lineno} imports {name}"


# -- what starting up loads ----------------------------------------------------


def libraries_after(code: str) -> set[str]:
    """Run code in a fresh interpreter; return the top-level libraries it loaded."""
    report = "import sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    said = succeed(sys.executable, "-c", f"{code}\n{report}")
    return set(said.splitlines()[-1].split())


def test_package_alone_loads_no_library():
    loaded = libraries_after(f"import {PACKAGE}; {PACKAGE}.__version__")
    assert not loaded & (SLOW_LIBRARIES | WINDOW_LIBRARIES | {"numpy", "pandas"})


NAMES = ("Geometry", "GrayImage", "Landmarks", "Template", "TrainingConfig", "find_images")
NAMES += ("read_image", "read_landmarks", "write_landmarks", "evaluate")
PUBLIC_NAMES = f"import {PACKAGE} as package\nfor name in {NAMES}: getattr(package, name)"
HELP = f"""
import sys; from {PACKAGE}.cli.app import main
sys.argv = ['oneshot-lmk', '--help']
try: main()
except SystemExit as end: assert not end.code, end.code
assert 'matplotlib' not in sys.modules
"""
MANIFEST = """
from npe2 import PluginManifest
assert PluginManifest.from_distribution('napari-oneshot-lmk').contributions.commands
"""


@pytest.mark.parametrize("code", [PUBLIC_NAMES, HELP, MANIFEST], ids=["names", "help", "manifest"])
def test_nothing_slow_is_loaded_by(code):
    assert not libraries_after(code) & SLOW_LIBRARIES


def test_no_module_of_the_docks_loads_anything_slow():
    paths = [path for path in (HOME / "widgets").rglob("*.py") if path.stem != "__init__"]
    modules = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    assert f"{PACKAGE}.widgets.dock" in modules
    code = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module(name)
    slow = {SLOW_LIBRARIES} & set(sys.modules)
    assert not slow, f'{{name}} loads {{slow}}'
"""
    assert "napari" in libraries_after(code), "the function above sees what is loaded"
