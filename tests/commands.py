"""Child processes that must succeed."""

import subprocess
from typing import Any


def succeed(*command: object, **options: Any) -> str:
    """Run a command, which must succeed; return what it printed."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    done = subprocess.run([str(c) for c in command], check=False, **output, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)
