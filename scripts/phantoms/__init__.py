"""Synthetic radiographs with exact landmarks: the shipped samples, and as many as a test needs.

`generate` makes one, `write_samples` a folder of them. ``python scripts/phantoms --help`` is the
command line.
"""

from phantoms.generator import ANATOMIES, SHIPPED_ANATOMIES, generate
from phantoms.writer import write_samples

__all__ = ["ANATOMIES", "SHIPPED_ANATOMIES", "generate", "write_samples"]
