"""Run a command on a virtual display where the machine has none.

    python scripts/virtual_display.py COMMAND [ARGUMENT ...]

Xvfb picks a free display number itself, so that several runs do not collide
(``xvfb-run`` guesses one, and needs xauth besides).
"""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from system_libraries import SetupError, has_display


@contextmanager
def virtual_display():
    """Set DISPLAY to a new virtual screen for the time of the block.

    Yields
    ------
    str or None
        The display, or None where the machine has a screen already.
    """
    if has_display():
        yield None
        return
    if shutil.which("Xvfb") is None:
        raise SetupError(
            "there is no display and no Xvfb to make one; run: sudo apt-get install -y xvfb"
        )
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        [
            *("Xvfb", "-displayfd", str(write_end), "-screen", "0", "1600x1200x24"),
            *("-nolisten", "tcp", "-noreset"),
        ],
        pass_fds=[write_end],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as answer:
            number = answer.readline().strip()
        if not number:
            raise SetupError("Xvfb did not start; run Xvfb :99 to see why")
        os.environ["DISPLAY"] = f":{number}"
        try:
            yield os.environ["DISPLAY"]
        finally:
            os.environ.pop("DISPLAY", None)
    finally:
        server.terminate()
        server.wait()


def main():
    """Run the command given on the command line."""
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with virtual_display():
            return subprocess.run(sys.argv[1:], check=False).returncode
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
