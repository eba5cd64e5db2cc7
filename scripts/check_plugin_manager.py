"""Install the wheel as a napari user does: in napari's plugin manager.

    python3 scripts/check_plugin_manager.py dist/*.whl [--venv DIR] [--picture PNG]

Makes an environment that has napari, a Qt binding and the plugin manager, and
nothing of ours. A first napari opens the manager from its menu, the wheel is
dropped on it, *Install* is pressed. A second napari, started afresh as the
manager asks, opens the plugin's dock from the menu *Plugins*.

torch and torchvision are put there beforehand, as ``setup_env.py`` chooses them:
on Linux pip would otherwise fetch several gigabytes of CUDA. All else that the
plugin needs is what the manager's own pip brings.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from setup_env import (
    ROOT,
    SetupError,
    install_torch,
    installed_version,
    make_venv,
    pip_install,
    python_of,
    run,
    say,
    use_new_enough_python,
)
from system_libraries import install, missing_window_packages
from virtual_display import virtual_display

SESSION = Path(__file__).with_name("plugin_manager_session.py")
MANAGER = "napari-plugin-manager>=0.1.12"
INSTALL_LIMIT_S = 600
LOOK_LIMIT_S = 180


def napari_and_qt():
    """Return what the extra ``all`` asks for: napari and one Qt binding."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["optional-dependencies"]["all"]


def make_environment(venv):
    """Make an environment with napari, Qt and the plugin manager."""
    make_venv(venv)
    run(pip_install(venv, "--upgrade", "pip>=25.1"))
    install_torch(venv)
    say("napari, Qt and the plugin manager")
    run(pip_install(venv, *napari_and_qt(), MANAGER))


def private_folders(home):
    """Return an environment in which napari finds no settings and leaves none."""
    folders = {
        name: str(home / name.lower())
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    }
    here = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {**here, **folders, "NAPARI_CONFIG": str(home / "napari.yaml")}


def session(venv, environment, *arguments, limit_s):
    """Run one napari in the environment; its failure ends the check."""
    command = [str(python_of(venv)), "-I", str(SESSION), *map(str, arguments)]
    try:
        done = subprocess.run(
            command,
            # Not the checkout: only what is installed may be imported.
            cwd=environment["XDG_DATA_HOME"],
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise SetupError(
            f"napari did not come to its end within {limit_s} s: {arguments}"
        ) from late
    if done.returncode != 0:
        raise SetupError(f"napari failed: {' '.join(command)}")


def check(wheel, venv, picture):
    """Install, start again, look."""
    make_environment(venv)
    if installed_version(venv, "napari-oneshot-lmk") is not None:
        run([*pip_install(venv)[:4], "uninstall", "--yes", "napari-oneshot-lmk"])
    with tempfile.TemporaryDirectory() as home, virtual_display():
        environment = private_folders(Path(home))
        Path(environment["XDG_DATA_HOME"]).mkdir()
        say(f"napari: {wheel.name} is dropped on the plugin manager")
        session(venv, environment, "install", wheel, limit_s=INSTALL_LIMIT_S)
        say("napari again: the plugin's dock opens from the menu")
        shown = [] if picture is None else ["--picture", picture.absolute()]
        session(venv, environment, "look", *shown, limit_s=LOOK_LIMIT_S)


def main():
    """Read the command line and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-plugin-manager")
    parser.add_argument("--picture", type=Path, help="where to save the manager's window")
    options = parser.parse_args()
    try:
        use_new_enough_python()
        packages = missing_window_packages()
        if packages:
            install(packages)
        check(options.wheel.absolute(), options.venv.absolute(), options.picture)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
