"""Find the system libraries that a napari window lacks, and install them.

Runs on the standard library of any Python, before anything is installed. It
asks the dynamic linker rather than the package manager, so that it is right on
every distribution and asks for nothing that is already there.
"""

import ctypes
import os
import shutil
import subprocess
import sys

# What Qt's xcb plugin, Qt's OpenGL and Qt's network module link to (objdump -p,
# PySide6 6.12), with the Debian and Ubuntu package of each.
PACKAGE_OF_LIBRARY = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    # The renderer behind libGL where there is no graphics card; brings Mesa.
    "libGLX_mesa.so.0": "libglx-mesa0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    # Without these two Qt blames xcb-cursor0, wrongly.
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
}


class SetupError(Exception):
    """Something that the person at the keyboard has to do first."""


def has_display():
    """Say whether windows can open on this machine as it is."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def loads(library):
    """Say whether the dynamic linker finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_window_packages():
    """Return the packages that a napari window needs and that are not there."""
    if not sys.platform.startswith("linux"):
        return []
    missing = [p for lib, p in PACKAGE_OF_LIBRARY.items() if not loads(lib)]
    if not has_display() and shutil.which("Xvfb") is None:
        missing.insert(0, "xvfb")
    return missing


def apt_prefix():
    """Return how to call apt-get without being asked anything, or None."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    allowed = subprocess.run(
        ["sudo", "-n", "true"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return ["sudo", "-n"] if allowed.returncode == 0 else None


def install(packages):
    """Install Debian packages, or raise SetupError with the exact command."""
    by_hand = "sudo apt-get update && sudo apt-get install -y " + " ".join(packages)
    prefix = apt_prefix()
    if prefix is None:
        raise SetupError(
            "system packages are missing that only an administrator can install. "
            f"Run\n\n    {by_hand}\n\n"
            "(or what your distribution calls them), then start again."
        )
    print(f"== system packages: {' '.join(packages)}", flush=True)
    quiet = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            [*quiet, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SetupError(
                f"{done.stdout}\napt-get {arguments[0]} failed; what is needed is"
                f"\n\n    {by_hand}\n"
            )
