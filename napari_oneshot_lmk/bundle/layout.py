"""Where what lies in a bundle; loads no torch."""

from __future__ import annotations

from pathlib import Path

METADATA = Path("configs", "metadata.json")
INFERENCE = Path("configs", "inference.json")
TRAINING = Path("configs", "train.json")
LOGGING = Path("configs", "logging.conf")
STATE = Path("models", "model.pt")
SCRIPTED = Path("models", "model.ts")
README = Path("docs", "README.md")
DATA_TERMS = Path("docs", "data_license.txt")
LICENCE = Path("LICENSE")
SCRIPTS = Path("scripts")
TEMPLATE = Path("template")


def is_bundle(path: str | Path) -> bool:
    """Say whether a folder looks like a MONAI bundle, ours or not."""
    return (Path(path) / METADATA).is_file()
