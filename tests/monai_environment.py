"""An environment that has the requirements of a bundle, and not this package."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

WANTED = ("torch", "monai", "numpy", "SimpleITK", "pytorch-ignite", "fire")


def made_environment(folder: Path, wanted: Iterable[str] = WANTED) -> Path:
    """Make a virtual environment with distributions and their requirements; return its Python.

    They are links to what is installed here: no network, no copy.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = next(p for p in (folder / "bin/python", folder / "Scripts/python.exe") if p.exists())
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    there = Path(asked.stdout.strip())
    here = {Path(sysconfig.get_paths()[key]) for key in ("purelib", "platlib")}
    for found in _closure(wanted).values():
        for top in {Path(str(f)).parts[0] for f in found.files or ()} - {"..", "bin"}:
            for base in here:
                source, link = base / top, there / top
                if source.exists() and not link.exists() and top != "__pycache__":
                    link.symlink_to(source)
    return python


def _closure(names: Iterable[str]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            # Required on another system only.
            continue
        for text in found[name].requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found
