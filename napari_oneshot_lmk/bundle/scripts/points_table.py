"""From the network's output to a table of landmarks in each image's own pixels."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

COLUMNS = (
    *("image", "landmark", "x_px", "y_px", "x_mm", "y_mm", "score", "state"),
    *("shape_residual_mm", "unsure", "predicted_error_px", "radius_90_px"),
    *("predicted_error_mm", "radius_90_mm", "description", "height_px", "width_px"),
    *("method", "encoder", "template", "spacing_mm_yx"),
)
PLACED = "placed"
WORTH_OPTIMISING = 100
"""Images from which on the seconds pay that TorchScript takes to optimise itself."""


def run(evaluator: Any, images: int) -> None:
    """Run an evaluator over so many images."""
    with torch.jit.optimized_execution(images > WORTH_OPTIMISING):  # type: ignore[attr-defined]
        evaluator.run()


class PointsTable:
    """Writes OUTPUT_DIR/landmarks.csv while an evaluator runs.

    x counts columns and y rows from the centre of the first pixel. The file appears
    as a whole when all images are done.

    Parameters
    ----------
    bundle_root : str
        Its configs/metadata.json names the landmarks.
    output_dir : str
        Made where it does not exist.
    """

    def __init__(self, bundle_root: str, output_dir: str) -> None:
        text = Path(bundle_root, "configs", "metadata.json").read_text(encoding="utf-8")
        metadata = json.loads(text)
        form = metadata["network_data_format"]["inputs"]["image"]
        self.shape_yx = np.array(form["spatial_shape"], dtype=float)
        self.landmarks = metadata["landmarks"]
        self.unsure_below = metadata["unsure_below"]
        self.of_all = metadata["provenance"]
        self.path = Path(output_dir, "landmarks.csv")
        self.failed: list[str] = []
        self.done = 0

    def attach(self, engine: Engine) -> None:
        """Follow an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._take)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def finish(self) -> None:
        """Say what was written; end with exit code 1 if a file could not be used."""
        print(f"{self.path}: {self.done} image{'s' if self.done != 1 else ''}")
        for sentence in self.failed:
            print(sentence, file=sys.stderr)
        if self.failed:
            raise SystemExit(1)

    def _start(self, engine: Engine) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self._file = self._partial.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, COLUMNS, restval="", lineterminator="\n")
        self._writer.writeheader()

    def _take(self, engine: Engine) -> None:
        items: Any = engine.state.batch
        outputs: Any = engine.state.output
        both = zip(items, outputs, strict=True)
        for item, output in both:
            if item["failed"]:
                self.failed.append(f"{item['path']}: {item['failed']}")
                continue
            found = np.asarray(output["pred"], dtype=np.float64)
            if not np.isfinite(found[:, :2]).all():
                self.failed.append(f"{item['path']}: the network found no position on it")
                continue
            self._writer.writerows(self._rows(item, found))
            self._file.flush()
            self.done += 1

    def _close(self, engine: Engine) -> None:
        self._file.close()
        self._partial.replace(self.path)

    def _rows(self, item: dict[str, Any], found: np.ndarray) -> Iterator[dict[str, Any]]:
        image_yx = np.asarray(item["shape_yx"], dtype=float)
        spacing = np.asarray(item["spacing_mm_yx"], dtype=float)
        known = bool(np.isfinite(spacing).all())
        scale = self.shape_yx / image_yx
        points = (found[:, :2] + 0.5) / scale - 0.5
        expected = (found[:, 3:5] + 0.5) / scale - 0.5
        lengths_px = found[:, 5:] / math.sqrt(scale.prod())
        residuals = [math.hypot(*row) for row in (points - expected) * spacing]
        # A peak on the border may be refined half a cell past the last pixel.
        points = np.clip(points, 0.0, image_yx - 1.0)
        of_image = {
            **self.of_all,
            "image": item["name"],
            "height_px": int(image_yx[0]),
            "width_px": int(image_yx[1]),
        }
        if known:
            of_image["spacing_mm_yx"] = " ".join(repr(float(v)) for v in spacing)
        placed = 0
        for landmark in self.landmarks:
            row = {
                **of_image,
                "landmark": landmark["name"],
                "state": landmark["state"],
                "description": landmark["description"],
            }
            if landmark["state"] == PLACED:
                y, x = (float(value) for value in points[placed])
                score = float(found[placed, 2])
                row |= {"x_px": x, "y_px": y, "score": min(max(score, 0.0), 1.0)}
                row["unsure"] = "true" if score < self.unsure_below else ""
                error_px, radius_px = (float(value) for value in lengths_px[placed])
                row |= {"predicted_error_px": error_px, "radius_90_px": radius_px}
                if known:
                    mm = math.sqrt(spacing.prod())
                    row |= {"predicted_error_mm": error_px * mm, "radius_90_mm": radius_px * mm}
                    row |= {"x_mm": x * spacing[1], "y_mm": y * spacing[0]}
                    if len(found) > 1:
                        row["shape_residual_mm"] = residuals[placed]
                placed += 1
            yield row
