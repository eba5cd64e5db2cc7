"""Detects with a bundle's TorchScript, where the user says that it may run.

TorchScript is a program of whoever made the bundle. Nothing here is reached without
``--trust``, and only bundles that this program cannot open as data need it.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_oneshot_lmk.bundle.card import SECTION
from napari_oneshot_lmk.bundle.layout import METADATA, SCRIPTED, TEMPLATE, is_bundle
from napari_oneshot_lmk.bundle.opening import inside, read_metadata
from napari_oneshot_lmk.bundle.point_network import COLUMNS
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.landmarks.template import Template


class _Picture:
    """Hands the picture on: the recorded network has its own encoder."""

    def __init__(self, card: EncoderCard) -> None:
        self.card = card
        self.device = torch.device("cpu")

    def __call__(self, images: Tensor) -> FeaturePyramid:
        """Return the images themselves."""
        return FeaturePyramid((images,), ())


class ScriptedDetector(Detector):
    """Runs the network that a bundle brings as TorchScript.

    Parameters
    ----------
    folder : Path
        A MONAI bundle that says of its input and its output what docs/bundle.md
        does, and has a template in ``template/``.

    Raises
    ------
    ModelError
        If it says anything else, or the TorchScript cannot be loaded.
    """

    method = "torchscript"

    # Not Detector's: there are no features to describe the template with.
    def __init__(self, folder: Path) -> None:
        self.template = Template.load(inside(folder, TEMPLATE))
        self._names = [point.name for point in self.template.landmarks.placed]
        self._check(folder, read_metadata(folder))
        path = inside(folder, SCRIPTED)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                self._network = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise ModelError(
                f"{SCRIPTED.as_posix()} is damaged, or of another version of PyTorch",
                file=folder,
                remedy="ask whoever made the bundle",
            ) from error
        self._network.eval()
        self._encoder = _Picture(EncoderCard("torchscript", folder.name, digest, ()))
        self._query = None

    def points(self, pyramid: FeaturePyramid) -> Tensor:
        """Points of the placed landmarks on the network's grid; see `Detector.points`.

        Raises
        ------
        ModelError
            If the network does not give what the bundle says.
        """
        try:
            found = self._network(pyramid.maps[0])
        except RuntimeError as error:
            raise ModelError(
                "the bundle's TorchScript failed on this image",
                remedy="ask whoever made the bundle",
            ) from error
        shape = (1, len(self._names), len(COLUMNS))
        if (
            not isinstance(found, Tensor)
            or tuple(found.shape) != shape
            or not torch.isfinite(found).all()
        ):
            raise ModelError(
                "the bundle's TorchScript gives something else than its metadata says",
                remedy="ask whoever made the bundle",
            )
        found = found[0].double()
        found[:, COLUMNS.index("score")].clamp_(0, 1)
        return found

    def _check(self, folder: Path, content: dict[str, Any]) -> None:
        rows, columns = self.template.image.geometry.network_shape_yx
        try:
            image = content["network_data_format"]["inputs"]["image"]
            points = content["network_data_format"]["outputs"]["pred"]
            meanings = content["coordinate_def"]
            agreed = (
                image["num_channels"] == 1
                and image["spatial_shape"] == [rows, columns]
                and (points["type"], points["format"]) == ("tuples", "points")
                and list(points["channel_def"].values()) == self._names
                and [each["name"] for each in meanings.values()] == list(COLUMNS)
            )
        except (KeyError, TypeError, AttributeError):
            agreed = False
        if not agreed:
            raise ModelError(
                f"{METADATA.as_posix()} describes another input or output than "
                "landmarks of its template",
                file=folder,
                remedy="run it with python -m monai.bundle",
            )


def needs_trust(path: Path) -> bool:
    """Say whether a folder is a bundle that only its own TorchScript can run.

    Raises
    ------
    ModelError
        If it is a bundle whose metadata cannot be read.
    """
    return is_bundle(path) and SECTION not in read_metadata(path)
