"""What the tab "Train" remembers, in napari's settings of this plugin."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.geometry import checked_spacing
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.widgets.header import parse_spacing, spacing_text
from napari_oneshot_lmk.widgets.qt.config_form import from_plain, to_plain
from napari_oneshot_lmk.widgets.settings import PLUGIN, plugin_settings
from napari_oneshot_lmk.widgets.train.advanced import ADVANCED
from napari_oneshot_lmk.widgets.train.form import MAIN

FIELDS = {name: TrainingConfig.model_fields[name] for name in (*MAIN, *ADVANCED)}


@dataclass(frozen=True)
class RememberedSettings:
    """What was set the last time."""

    config: TrainingConfig = field(default_factory=TrainingConfig)
    images: str = ""
    """A folder; empty where none was chosen yet."""
    preview: bool = True
    """Whether predicted points are shown."""


def remembered() -> RememberedSettings:
    """Read what was set the last time; the defaults where nothing can be kept."""
    kept = _section()
    if kept is None:
        return RememberedSettings()
    config = TrainingConfig(
        preset=str(kept.preset).strip(),
        spacing_mm_yx=_spacing(str(kept.spacing)),
        **{n: from_plain(f, getattr(kept, n)) for n, f in FIELDS.items() if hasattr(kept, n)},
    )
    if config.training_method.per_landmark and kept.landmark:
        config = config.model_copy(update={"landmarks": (str(kept.landmark),)})
    return RememberedSettings(config, str(kept.images).strip(), bool(kept.preview))


def remember(memory: RememberedSettings) -> None:
    """Keep what is set now for the next time."""
    kept = _section()
    if kept is None:
        return
    config = memory.config
    mm_yx = config.spacing_mm_yx
    values: dict[str, Any] = {
        "landmark": "".join(config.landmarks),
        "preset": str(config.preset),
        "spacing": "" if mm_yx is None else spacing_text(mm_yx),
        "images": memory.images,
        "preview": memory.preview,
        **{name: to_plain(field, getattr(config, name)) for name, field in FIELDS.items()},
    }
    for name, plain in values.items():
        # napari keeps what napari.yaml declares. Each change is written to disk: only what
        # is new.
        if hasattr(kept, name) and getattr(kept, name) != plain:
            # A landmark's name may be one that the page refuses to hold.
            with suppress(ValueError):
                setattr(kept, name, plain)


def training_folder() -> Path:
    """Folder in which trainings and their models are kept."""
    from platformdirs import user_data_path

    return user_data_path(PLUGIN) / "training"


def _spacing(kept: str) -> tuple[float, float] | None:
    try:
        return checked_spacing(parse_spacing(kept))
    except GeometryError:
        # Typed on the settings page, which checks no text.
        return None


def _section() -> Any | None:
    """Return the section "training"; None where napari keeps no settings."""
    kept = plugin_settings()
    return None if kept is None else kept.training
