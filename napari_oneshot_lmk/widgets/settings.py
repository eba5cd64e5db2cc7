"""Preferences of the plugin, kept by napari's own settings page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLUGIN = "napari-oneshot-lmk"


@dataclass(frozen=True)
class Preferences:
    """Values of *File > Preferences*; ``napari.yaml`` describes them."""

    device: str = "auto"
    """"auto", "cpu" or "cuda"."""
    encoder_weights: Path | None = None
    """None to look in the usual places."""
    allow_download: bool = True
    autosave_beside_image: bool = True
    point_size_px: float = 18.0
    point_text: str = "automatic"
    """"automatic", "names" or "numbers"."""
    author: str = ""


def plugin_settings() -> Any | None:
    """Return this plugin's settings in napari; None where napari keeps none."""
    try:
        from napari.settings import get_plugin_settings

        return get_plugin_settings(PLUGIN)
    except (ImportError, KeyError):  # before napari 0.9; as a library, without the manifest
        return None


def preferences() -> Preferences:
    """Read the preferences; the defaults where napari cannot keep any."""
    kept = plugin_settings()
    if kept is None:
        return Preferences()
    detection, annotation = kept.detection, kept.annotation
    weights = str(detection.encoder_weights).strip()
    return Preferences(
        device=str(detection.device),
        encoder_weights=Path(weights).expanduser() if weights else None,
        allow_download=bool(detection.allow_download),
        autosave_beside_image=bool(annotation.autosave_beside_image),
        point_size_px=float(annotation.point_size_px),
        point_text=str(detection.point_text),
        author=str(annotation.author).strip(),
    )


def offers_tour() -> bool:
    """Say whether a new dock offers the tour; only napari's settings can remember that."""
    kept = plugin_settings()
    return kept is not None and bool(kept.help.offer_tour)


def set_offers_tour(offered: bool) -> None:
    """Remember whether a new dock offers the tour."""
    kept = plugin_settings()
    if kept is not None:
        kept.help.offer_tour = offered


def autosave_folder() -> Path:
    """Folder for annotations of images that have no folder of their own."""
    from platformdirs import user_data_path

    return user_data_path(PLUGIN) / "autosave"
