"""Commands in processes of their own that need not import torch and MONAI first.

A server, started once for many commands, has all that is slow to import and forks a child
for each. The child has the command's arguments, folder, environment, input and output, and
its exit code is the command's. `programs` makes an ``oneshot-lmk`` and a ``python`` that ask
the server; they go first on ``PATH``.

    python command_server.py serve SOCKET
    python command_server.py ask SOCKET PROGRAM [ARGUMENT ...]
"""

from __future__ import annotations

import json
import os
import runpy
import select
import shlex
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

SLOW = (
    "matplotlib.pyplot",
    "monai.bundle.scripts",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "napari_oneshot_lmk.bundle.export",
    "napari_oneshot_lmk.bundle.load",
    "napari_oneshot_lmk.cli.app",
    "napari_oneshot_lmk.detection.batch",
    "napari_oneshot_lmk.encoders.select",
    "napari_oneshot_lmk.training.run_lifecycle",
    "napari_oneshot_lmk.training.trainer",
)
"""Imported once, instead of in each child."""
LONGEST = 1_000_000
"""Bytes of a command with its environment."""


@contextmanager
def programs() -> Iterator[Path]:
    """Start a server; yield a folder with the programs that ask it."""
    with tempfile.TemporaryDirectory() as made:
        folder, address = Path(made), str(Path(made) / "server")
        # Without site-packages Python starts at once.
        ask = shlex.join([sys.executable, "-IS", __file__, "ask", address])
        for program in ("oneshot-lmk", "python"):
            (folder / program).write_text(f'#!/bin/sh\nexec {ask} {program} "$@"\n')
            (folder / program).chmod(0o700)
        serving = [sys.executable, __file__, "serve", address]
        with subprocess.Popen(serving, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            # Its input ends with this block, or with this process: then it ends, too.
            assert server.stdin is not None
            assert server.stdout is not None
            with server.stdin:
                assert server.stdout.readline() == b"ready\n"
                yield folder


def ask(address: str, *command: str) -> int:
    """Have a command run; return its exit code."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        asked = json.dumps([command, str(Path.cwd()), dict(os.environ)])
        socket.send_fds(server, [asked.encode()], [0, 1, 2])
        server.shutdown(socket.SHUT_WR)
        return int(server.recv(10) or 1)


def serve(address: str) -> int:
    """Fork a child for each command that comes, one after the other."""
    # It is a folder of tests, not of what the commands import.
    del sys.path[0]
    for name in SLOW:
        import_module(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            asking, _ = server.accept()
            with asking:
                asked, files, _, _ = socket.recv_fds(asking, LONGEST, 3)
                while more := asking.recv(LONGEST):
                    asked += more
                pid = os.fork()
                if not pid:
                    server.close()
                    asking.close()
                    run_and_end(files, *json.loads(asked))
                for file in files:
                    os.close(file)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                # As a shell tells of a signal.
                asking.send(str(code if code >= 0 else 128 - code).encode())
    return 0


def run_and_end(
    files: list[int], command: list[str], folder: str, environment: dict[str, str]
) -> None:
    """Do in this process what a new one would do."""
    code: object = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        # Those of the server remember what its files were.
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, closefd=False)
            for number, mode in ((0, "r"), (1, "w"), (2, "w"))
        )
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        run(*command)
        code = 0
    except SystemExit as end:
        code = end.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code or 0))  # type: ignore[call-overload]


def run(program: str, *arguments: str) -> None:
    """Run ``oneshot-lmk …``, ``python -m MODULE …``, ``python - …`` or ``python FILE …``."""
    sys.argv = [program, *arguments]
    if program == "oneshot-lmk":
        runpy.run_module("napari_oneshot_lmk", run_name="__main__", alter_sys=True)
        return
    sys.argv = list(arguments)
    if arguments[0] == "-":
        exec(sys.stdin.read(), {"__name__": "__main__"})
    elif arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    sys.exit({"ask": ask, "serve": serve}[sys.argv[1]](*sys.argv[2:]))
