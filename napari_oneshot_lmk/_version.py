"""The versions of this package and of those that results depend on."""

from __future__ import annotations

from collections.abc import Iterable

__version__ = "0.1.0"


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, of this package, and of others that are installed."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "napari-oneshot-lmk": __version__}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
