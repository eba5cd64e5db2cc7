"""``python scripts/phantoms``: writes synthetic radiographs; the defaults make the samples."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from napari_oneshot_lmk.errors import OneshotError

if not __package__:
    # Run by the folder's name: Python then looks for modules inside it, not beside it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from phantoms import ANATOMIES, SHIPPED_ANATOMIES, write_samples

SHIPPED_COUNT = 12
SHIPPED_SEED = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Write phantoms; the defaults make the shipped samples."""
    parser = argparse.ArgumentParser(
        prog="python scripts/phantoms",
        description="Write synthetic radiographs with exact landmarks.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--count", type=int, default=SHIPPED_COUNT, help="per anatomy")
    parser.add_argument("--seed", type=int, default=SHIPPED_SEED, help="population")
    parser.add_argument(
        "--anatomy",
        action="append",
        choices=ANATOMIES,
        help=f"may be given again; by default {' and '.join(SHIPPED_ANATOMIES)}",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    chosen = parser.parse_args(arguments)
    try:
        write_samples(
            chosen.out,
            chosen.count,
            chosen.seed,
            tuple(dict.fromkeys(chosen.anatomy or SHIPPED_ANATOMIES)),
            overwrite=chosen.overwrite,
            workers=chosen.workers,
            on_image=_show,
        )
    except OneshotError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done} of {total} phantoms", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
