"""Make the virtual environment that ``make demo`` and ``make test`` run in.

    python3 scripts/setup_env.py [--window] [--venv DIR] [--wheel FILE]

Needs Python 3.11 or newer and nothing else. A second run finds its stamp and
does nothing. torch comes first and is pinned while the rest is installed, so
that no dependency swaps it for another build. pip does it all: uv reads other
settings than pip and may resolve to another torch.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from system_libraries import SetupError, install, missing_window_packages

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
NEWER_PYTHONS = ("python3.13", "python3.12", "python3.11", "python3.14")

# The pair that the tests run with; torchvision x goes with exactly one torch.
TORCH = "2.13.0"
TORCHVISION = "0.28.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def say(what):
    """Print a step as it begins."""
    print(f"== {what}", flush=True)


def use_new_enough_python():
    """Start again with a newer interpreter where this one is too old."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for name in NEWER_PYTHONS:
        path = shutil.which(name)
        if path:
            os.execv(path, [path, *sys.argv])
    raise SetupError(
        f"Python {platform.python_version()} is too old: install Python 3.11 or "
        "newer, then run make with PYTHON=/path/to/it"
    )


# -- the environment ----------------------------------------------------------


def python_of(venv):
    """Return the environment's interpreter."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def works(venv):
    """Say whether the environment has an interpreter with pip."""
    if not python_of(venv).exists():
        return False
    asked = [str(python_of(venv)), "-c", "import pip"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def missing_venv_packages(venv):
    """Return what making the environment needs and this Python lacks."""
    if works(venv) or importlib.util.find_spec("ensurepip") is not None:
        return []
    # Debian and Ubuntu keep this part of Python in a package of its own.
    return [f"python{sys.version_info.major}.{sys.version_info.minor}-venv"]


def make_venv(venv):
    """Create the environment, or keep the one that is there and works."""
    if works(venv):
        return
    say(f"virtual environment {venv} (Python {platform.python_version()})")
    run([sys.executable, "-m", "venv", "--clear", str(venv)])


def run(command):
    """Run a command; its failure ends the set-up."""
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise SetupError("this step failed: " + " ".join(map(str, command)))


def pip(venv, *arguments):
    """Return pip's command line in the environment."""
    return [
        *(str(python_of(venv)), "-m", "pip", "--disable-pip-version-check"),
        *map(str, arguments),
    ]


def pip_install(venv, *arguments):
    """Return the command that installs, without old warnings and questions."""
    return pip(venv, "install", "--quiet", "--no-input", *arguments)


def installed_version(venv, distribution):
    """Return the version of an installed distribution, or None."""
    code = (
        "import importlib.metadata as m, sys\n"
        "try: print(m.version(sys.argv[1]))\n"
        "except m.PackageNotFoundError: pass"
    )
    asked = [str(python_of(venv)), "-c", code, distribution]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True)
    return answer.stdout.strip() or None


# -- torch --------------------------------------------------------------------


def has_nvidia_gpu():
    """Say whether an NVIDIA driver serves a card here."""
    if Path("/proc/driver/nvidia/version").exists():
        return True
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU" in listed.stdout


def offered_versions(venv, distribution):
    """Return the versions that pip's own configuration offers."""
    answer = subprocess.run(
        pip(venv, "index", "versions", distribution), capture_output=True, text=True, check=False
    )
    listed = re.search(r"Available versions:(.*)", answer.stdout)
    return [v.strip() for v in listed.group(1).split(",")] if listed else []


def torch_attempts(system, gpu, offered):
    """Return the ways to get torch, best first, as (what, pip arguments).

    PyPI's builds for Linux bring several gigabytes of CUDA. Where no card could
    use them, a CPU build from the configured index comes first, then the one
    from PyTorch's own index.

    Parameters
    ----------
    system : str
        As ``platform.system()`` says.
    gpu : bool
        Whether there is an NVIDIA card.
    offered : list of str
        Versions of torch that pip's own configuration offers.
    """
    pair = [f"torch=={TORCH}", f"torchvision=={TORCHVISION}"]
    default = ("the default build", pair)
    if gpu or system != "Linux":
        return [default]
    if f"{TORCH}+cpu" in offered:
        return [("a CPU build", [f"torch=={TORCH}+cpu", pair[1]])]
    return [
        (
            f"a CPU build from {CPU_INDEX}",
            # Only the two come from there: its copies of other packages are old.
            [
                *("--no-deps", "--index-url", CPU_INDEX),
                *("--timeout", "20", "--retries", "1", *pair),
            ],
        ),
        (
            "the default build, with CUDA, several GB: no CPU build can be "
            "reached. Ctrl-C stops it",
            pair,
        ),
    ]


def install_torch(venv):
    """Install torch and its torchvision unless they are there."""
    have = [installed_version(venv, name) for name in ("torch", "torchvision")]
    if all(
        version is not None and version.split("+")[0] == wanted
        for version, wanted in zip(have, (TORCH, TORCHVISION), strict=True)
    ):
        return
    gpu = has_nvidia_gpu()
    offered = offered_versions(venv, "torch")
    for what, arguments in torch_attempts(platform.system(), gpu, offered):
        say(f"torch {TORCH}: {what}")
        command = pip_install(venv, *arguments)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return
    raise SetupError(
        f"torch {TORCH} could not be installed: is the package index reachable, "
        f"and does torch support Python {platform.python_version()}?"
    )


# -- the rest -----------------------------------------------------------------


def install_rest(venv, wheel):
    """Install the project with its dependencies, torch held where it is."""
    constraints = venv / "torch-constraints.txt"
    pins = [f"{name}=={installed_version(venv, name)}" for name in ("torch", "torchvision")]
    constraints.write_text("\n".join(pins) + "\n")
    held = ("--constraint", constraints)
    if wheel is not None:
        say(f"{wheel.name} and what it needs")
        run(pip_install(venv, *held, wheel))
        return
    say("napari-oneshot-lmk, napari and the tools of the tests (a minute or two)")
    project = ("--editable", f"{ROOT}[all]", "--group", f"{ROOT}/pyproject.toml:dev")
    run(pip_install(venv, *held, *project))


def fingerprint(wheel):
    """Return a hash of all that decides what is installed."""
    sources = [ROOT / "pyproject.toml", Path(__file__)]
    if wheel is not None:
        sources.append(wheel)
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    parts += [str(ROOT), platform.python_version()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def set_up(venv, wheel=None, window=False):
    """Make the environment complete; at once where it already is."""
    stamp = venv / "oneshot-lmk-ready"
    wanted = fingerprint(wheel)
    ready = stamp.exists() and stamp.read_text() == wanted
    # All system packages in one go: who must ask an administrator asks once.
    packages = [] if ready else missing_venv_packages(venv)
    if window:
        packages += missing_window_packages()
    if packages:
        install(packages)
    if ready:
        return
    make_venv(venv)
    stamp.unlink(missing_ok=True)
    say("pip")
    # Dependency groups came with pip 25.1; Debian's own is older.
    run(pip_install(venv, "--upgrade", "pip>=25.1"))
    install_torch(venv)
    install_rest(venv, wheel)
    stamp.write_text(wanted)
    say("ready")


def main():
    """Read the command line and set up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--window", action="store_true", help="also what a napari window needs")
    parser.add_argument("--wheel", type=Path, help="install this wheel instead of the checkout")
    options = parser.parse_args()
    try:
        use_new_enough_python()
        set_up(options.venv.absolute(), options.wheel, options.window)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
