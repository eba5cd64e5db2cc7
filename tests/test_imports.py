"""Who may import whom, and what starting up may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "napari_oneshot_lmk"
ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / PACKAGE
TRAVELS = HOME / "bundle" / "scripts"
"""Copied into bundles, where it stands alone."""
SOURCES = sorted(HOME.rglob("*.py"))
LONGEST_FILE = 400

WINDOW_LIBRARIES = {"magicgui", "napari", "qtpy", "PyQt5", "PyQt6", "PySide6", "superqt"}
TERMINAL_LIBRARIES = {"typer", "rich", "click"}
SLOW_LIBRARIES = {"torch", "torchvision", "monai", "SimpleITK"}

# The house, from the ground up: a room, and the rooms that it stands on. A file
# that lies beside the rooms is a room of its own.
STANDS_ON: dict[str, set[str]] = {
    "errors": set(),
    "geometry": {"errors"},
    "storage": {"errors"},
    "imaging": {"errors", "geometry"},
    "landmarks": {"errors", "geometry", "imaging", "storage"},
    "encoders": {"errors", "storage"},
    "network": {"errors"},
    "matching": {"errors", "encoders", "network"},
    "samples": {"errors"},
    "detection": {
        *("errors", "geometry", "storage", "imaging", "landmarks"),
        *("encoders", "matching", "network"),
    },
    "training": {
        *("errors", "geometry", "storage", "imaging", "landmarks"),
        "encoders",
        *("matching", "network", "detection"),
    },
    "bundle": {
        *("errors", "geometry", "storage", "imaging", "landmarks", "encoders"),
        *("matching", "network", "detection", "training"),
    },
    "cluster": {"errors", "imaging", "landmarks", "encoders", "detection", "training"},
    "evaluation": {"errors", "geometry", "imaging", "landmarks", "storage"},
    "benchmark": {
        *("errors", "geometry", "storage", "imaging", "landmarks", "encoders"),
        *("matching", "network", "detection", "training", "evaluation"),
    },
    "cli": {
        *("errors", "geometry", "storage", "imaging", "landmarks", "encoders"),
        *("samples", "detection", "training", "bundle", "cluster", "evaluation"),
        "benchmark",
    },
    "widgets": {
        *("errors", "geometry", "storage", "imaging", "landmarks", "encoders"),
        *("samples", "detection", "training", "benchmark", "bundle"),
    },
}
RELATIVE = "."
BUNDLE_LIBRARIES = {"torch", "monai", "numpy", "ignite", "SimpleITK"}
"""What a bundle asks for; see PACKAGES in bundle/configs.py."""
ENTRANCES = {"__init__", "__main__", "_version"}

# Doors between two rooms that may open for one module only.
ONLY_DOOR = {
    # What a pyramid is, never how it was made.
    ("matching", "encoders"): {f"{PACKAGE}.encoders.encoder", f"{PACKAGE}.encoders.device"},
    ("landmarks", "imaging"): {
        f"{PACKAGE}.imaging.image",
        # Points of 3D Slicer lie where ITK, which it reads with, sees the pixels.
        f"{PACKAGE}.imaging.formats.itk",
        # A data set finds its images, and opens the one that is its template.
        f"{PACKAGE}.imaging.find",
        f"{PACKAGE}.imaging.reader",
    },
}


@dataclass(frozen=True)
class Import:
    """One import statement."""

    module: str
    line: int
    at_start: bool
    """True where importing the file runs it."""


def imports_of(path: Path) -> Iterator[Import]:
    """Yield every import of a file, those for the type checker left out."""
    yield from _imports_below(ast.parse(path.read_text(encoding="utf-8")), True)


def _imports_below(node: ast.AST, at_start: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, at_start)
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            # Only what travels says where its neighbours are; see the test of it.
            yield Import(RELATIVE, node.lineno, at_start)
            return
        assert node.module is not None
        submodules = [f"{node.module}.{alias.name}" for alias in node.names]
        known = [name for name in submodules if _is_module(name)]
        for name in known or [node.module]:
            yield Import(name, node.lineno, at_start)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.orelse:
            yield from _imports_below(child, at_start)
    else:
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from _imports_below(child, at_start and not inside)


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def room_of(path: Path) -> str:
    """Return the room that a source file lies in."""
    return path.relative_to(HOME).parts[0].removesuffix(".py")


def room_of_module(module: str) -> str | None:
    """Return the room of one of our modules, None for other libraries."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    return parts[1] if len(parts) > 1 else "__init__"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_core(path: Path) -> bool:
    return room_of(path) not in {"widgets", "cli", "__main__"}


def test_table_of_rooms_is_the_house() -> None:
    rooms = {room_of(path) for path in SOURCES} - ENTRANCES
    assert rooms == set(STANDS_ON)


def test_table_of_rooms_has_no_circle() -> None:
    built: set[str] = set()
    for room, ground in STANDS_ON.items():
        assert ground <= built, f"{room} stands on rooms that are not built yet"
        built.add(room)


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_arrows_only_point_down(path: Path) -> None:
    room = room_of(path)
    if room in ENTRANCES:
        return
    for statement in imports_of(path):
        target = room_of_module(statement.module)
        if target in (None, room):
            continue
        if target == "_version":
            continue
        assert target in STANDS_ON[room], (
            f"line {statement.line}: {room} does not stand on {target}"
        )
        door = ONLY_DOOR.get((room, target))
        assert door is None or statement.module in door, (
            f"line {statement.line}: {room} may only see {door} of {target}"
        )


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_core_knows_neither_napari_nor_the_terminal(path: Path) -> None:
    if not is_core(path):
        return
    for statement in imports_of(path):
        library = statement.module.split(".")[0]
        assert library not in WINDOW_LIBRARIES | TERMINAL_LIBRARIES, (
            f"line {statement.line} imports {library}"
        )


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_widgets_never_hold_torch(path: Path) -> None:
    if room_of(path) != "widgets":
        return
    for statement in imports_of(path):
        assert statement.module.split(".")[0] != "torch", f"line {statement.line}"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_widgets_and_commands_load_nothing_slow_at_start(path: Path) -> None:
    if room_of(path) not in {"widgets", "cli"}:
        return
    for statement in imports_of(path):
        slow = statement.module.split(".")[0] in SLOW_LIBRARIES
        assert not (slow and statement.at_start), (
            f"line {statement.line}: import {statement.module} where it is used"
        )


def test_torchvision_is_imported_in_one_place() -> None:
    importers = {
        named(path)
        for path in SOURCES
        for statement in imports_of(path)
        if statement.module.split(".")[0] == "torchvision"
    }
    assert importers == {f"{PACKAGE}/encoders/vgg19.py"}


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_file_is_short_and_named_after_a_thing(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_imports_are_absolute_but_in_what_travels(path: Path) -> None:
    relative = [i.line for i in imports_of(path) if i.module == RELATIVE]
    assert not relative or path.parent == TRAVELS


@pytest.mark.parametrize("path", sorted(TRAVELS.glob("*.py")), ids=named)
def test_what_travels_in_a_bundle_needs_what_the_bundle_asks_for(path: Path) -> None:
    known = BUNDLE_LIBRARIES | set(sys.stdlib_module_names) | {RELATIVE}
    for statement in imports_of(path):
        library = statement.module.split(".")[0] or RELATIVE
        assert library in known, f"line {statement.line} imports {statement.module}"


# -- what starting up loads ----------------------------------------------------


def libraries_after(code: str) -> set[str]:
    """Run code in a fresh interpreter; return the top-level libraries it loaded."""
    report = "import sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_libraries_after_sees_what_is_loaded() -> None:
    # The tests below would pass without meaning if it did not.
    assert "numpy" in libraries_after("import numpy")


def test_package_alone_loads_no_library() -> None:
    loaded = libraries_after(f"import {PACKAGE}; {PACKAGE}.__version__")
    assert not loaded & (SLOW_LIBRARIES | WINDOW_LIBRARIES | {"numpy", "pandas"})


def test_all_public_names_but_the_detector_load_nothing_slow() -> None:
    code = (
        f"import {PACKAGE} as package\n"
        "for name in set(package.__all__) - {'Detector'}: getattr(package, name)"
    )
    assert not libraries_after(code) & SLOW_LIBRARIES


def test_help_loads_nothing_slow() -> None:
    code = (
        f"import sys; from {PACKAGE}.cli.app import main\n"
        "sys.argv = ['oneshot-lmk', '--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code"
    )
    assert not libraries_after(code) & (SLOW_LIBRARIES | {"matplotlib"})


def test_manifest_loads_nothing_slow() -> None:
    code = (
        "from npe2 import PluginManifest\n"
        "manifest = PluginManifest.from_distribution('napari-oneshot-lmk')\n"
        "assert manifest.contributions.commands\n"
    )
    assert not libraries_after(code) & SLOW_LIBRARIES


def test_no_module_of_the_docks_loads_anything_slow() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in SOURCES
        if room_of(path) == "widgets" and path.stem != "__init__"
    ]
    assert f"{PACKAGE}.widgets.dock" in modules
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        f"    slow = {SLOW_LIBRARIES} & set(sys.modules)\n"
        "    assert not slow, f'{name} loads {slow}'"
    )
    assert "napari" in libraries_after(code)
