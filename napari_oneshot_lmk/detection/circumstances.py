"""What results depend on: those of other circumstances are never mixed with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from napari_oneshot_lmk._version import __version__


@dataclass(frozen=True)
class Circumstances:
    """All that the results of an image depend on, apart from the image.

    Parameters
    ----------
    method, encoder : str
        As in `Provenance`.
    template_sha256, model_sha256 : str
        Of their content; without a model it is empty.
    spacing_mm_yx : pair of float, optional
        That overrides what the files say.
    slice_index : int, optional
        Of volumes.
    version : str
        Of this program.
    """

    method: str
    encoder: str
    template_sha256: str
    model_sha256: str = ""
    spacing_mm_yx: tuple[float, float] | None = None
    slice_index: int | None = None
    version: str = __version__

    def differences(self, others: Mapping[str, Any]) -> list[str]:
        """Name what is not the same in the first line of a journal."""
        mine = json.loads(json.dumps(asdict(self)))
        names = {
            "method": "method",
            "encoder": "encoder",
            "template_sha256": "template",
            "model_sha256": "model",
            "spacing_mm_yx": "spacing",
            "slice_index": "slice",
            "version": "version of this program",
        }
        return [names[key] for key, value in mine.items() if others.get(key) != value]
