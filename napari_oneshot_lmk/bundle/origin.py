"""The images that a model was trained on, where its run still knows them."""

from __future__ import annotations

from pathlib import Path

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.training.dataset import read_images
from napari_oneshot_lmk.training.run_folder import RunFolder


def training_images(model: Path) -> list[Path]:
    """Return the images of a run; none where there is no record of them.

    Parameters
    ----------
    model : Path
        A run, its model's folder, or any other model.
    """
    for folder in (model, model.absolute().parent):
        path = RunFolder(folder).images_path
        if path.is_file():
            try:
                return [image.path for image in read_images(path)]
            except OneshotError:
                return []
    return []
