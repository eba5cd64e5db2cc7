"""A model with a fine stage keeps it in a bundle, and is looked with by MONAI alone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bundle_scene import Unrecorded, random_model, with_fine_stage
from dicom_files import dataset, saved
from monai.data import MetaTensor

from napari_oneshot_lmk.bundle import export as exporting
from napari_oneshot_lmk.bundle.configs import About
from napari_oneshot_lmk.bundle.export import Export, export_bundle
from napari_oneshot_lmk.bundle.load import load_model
from napari_oneshot_lmk.bundle.network import PointNetwork
from napari_oneshot_lmk.bundle.verify import Comparison
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.imaging.image import GrayImage

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return with_fine_stage(random_model(tmp_path_factory.mktemp("scene")))


@pytest.fixture(scope="module")
def bundle(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "blobs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PointNetwork, "scripted", lambda self: Unrecorded)
        patch.setattr(exporting, "verify_bundle", lambda *_: Comparison((), 0.0, ""))
        list(export_bundle(Export(model, out, About(name="Blobs"), None)))
    return out


def test_an_opened_bundle_has_the_fine_stage(bundle, model):
    opened = load_model(bundle)
    assert opened.fine is not None
    assert opened.content_sha256 == replace(model, precision="float32").content_sha256
    assert replace(opened, fine=None).content_sha256 != opened.content_sha256


@pytest.mark.parametrize(
    ("shape_yx", "spacing"), [((120, 100), 0.5), ((75, 142), 0.8), ((75, 142), None)]
)
def test_its_files_find_the_points_of_this_program(bundle, model, shape_yx, spacing):
    # It brings MONAI's engines, which warn as TorchScript does.
    from napari_oneshot_lmk.bundle.scripts.fine_stage import CropGridd, TwoLooks

    image = GrayImage.from_array(np.random.default_rng(2).random(shape_yx), spacing, "noise")
    detector = TrainedDetector.from_model(
        replace(model, precision="float32"), encoder=shipped_encoder("cpu"), upright=True
    )
    detector.set_image(image)
    ours = detector.detect()
    [step] = [
        each
        for each in json.loads((bundle / "configs/inference.json").read_text(encoding="utf-8"))[
            "preprocessing"
        ]["transforms"]
        if each["_target_"].endswith("CropGridd")
    ]
    del step["_target_"]
    meta = {"spacing_mm_yx": [spacing or np.nan] * 2}
    read = MetaTensor(torch.from_numpy(image.pixels)[None], meta=meta)
    crop = CropGridd(**step)({"crop": read})["crop"][None]
    prepared = detector.prepare(image)
    first = PointNetwork(detector)
    networks = TwoLooks(first, torch.jit.load(bundle / "models/fine.ts"))
    found = networks(prepared.pixels, crop)[0].double().numpy()
    points = prepared.geometry.points_from_network(found[:, :2])
    expected = [point.position_yx for point in ours.placed]
    np.testing.assert_allclose(points.clip(0, np.array(shape_yx) - 1.0), expected, atol=0.02)
    coarse = first(prepared.pixels)[0].double().numpy()
    moved = np.abs(found - coarse).max(1) > 1e-3
    assert moved.tolist() == [detector.fine.card.shares[2 - row] > 0 for row in range(3)]


def test_a_spacing_that_is_none_is_named(tmp_path):
    from napari_oneshot_lmk.bundle.scripts.images import PlaneReader, ReadableDataset

    pixels = np.random.default_rng(3).integers(0, 255, (40, 30), np.uint8)
    path = saved(tmp_path / "film.dcm", dataset(pixels, 8, PixelSpacing=[0, 0]))

    def transform(item, **options):
        reader = PlaneReader(**options)
        values, meta = reader.get_data(reader.read(item["image"]))
        return {"image": MetaTensor(torch.from_numpy(values)[None], meta=meta)}

    [item] = ReadableDataset([{"image": str(path), "name": "film"}], transform, (8, 8))
    assert "pixel spacing 0 x 0 mm is not between 0.0001 and 100 mm" in item["failed"]
    assert "--spacing_mm" in item["failed"]
    given = partial(transform, spacing_mm=0.2)
    [item] = ReadableDataset([{"image": str(path), "name": "film"}], given, (8, 8))
    assert item["failed"] == ""
    assert item["spacing_mm_yx"].tolist() == [0.2, 0.2]


def test_positions_that_are_no_numbers_are_named_and_not_written(bundle, tmp_path):
    from napari_oneshot_lmk.bundle.scripts.points_table import PointsTable

    table = PointsTable(str(bundle), str(tmp_path))
    state = SimpleNamespace(
        batch=[{"failed": "", "path": "a.dcm", "name": "a.dcm"}],
        output=[{"pred": np.full((3, 7), np.nan)}],
    )
    engine = SimpleNamespace(state=state)
    table._start(engine)
    table._take(engine)
    table._close(engine)
    with pytest.raises(SystemExit):
        table.finish()
    assert table.failed == ["a.dcm: the network found no position on it"]
    assert len((tmp_path / "landmarks.csv").read_text().splitlines()) == 1
