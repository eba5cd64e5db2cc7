"""The detector: two steps, the image's own pixels, states and failures."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import SimpleITK

from napari_oneshot_lmk.detection.batch import DOUBTFUL, Counts, detect_many
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.errors import ImageError, LandmarkError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.landmarks.template import Template


def scene(shift_yx=(0.0, 0.0), shape_yx=(300, 240), spacing=0.5, seed=0):
    """Textured blobs at places that move with ``shift_yx``; smooth, so that any
    sub-pixel shift can be drawn exactly."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.15, 0.85, (60, 2)) * shape_yx
    heights, widths = rng.uniform(-1, 1, 60), rng.uniform(3, 14, 60)
    rows, columns = np.indices(shape_yx)
    pixels = np.zeros(shape_yx)
    for (y, x), height, width in zip(places + shift_yx, heights, widths, strict=True):
        squared = (rows - y) ** 2 + (columns - x) ** 2
        pixels += height * np.exp(-squared / (2 * width**2))
    names = [f"p{i}" for i in range(8)]
    points = {n: tuple(p) for n, p in zip(names, places + shift_yx, strict=False)}
    image = GrayImage.from_array(1000 * pixels, spacing, "scene")
    return image, Landmarks.from_positions(points, "scene", image.geometry)


@pytest.fixture(scope="module")
def encoder():
    return shipped_encoder()


@pytest.fixture
def template():
    return Template.create(*scene(), name="scene")


def detected(encoder, template, image):
    detector = Detector.instant(template, encoder=encoder)
    detector.set_image(image)
    return detector.detect()


def test_template_finds_itself(encoder, template):
    found = detected(encoder, template, template.image)
    assert found.names == template.landmarks.names
    assert np.abs(found.positions_yx - template.landmarks.positions_yx).max() < 0.5
    assert all(0 <= p.score <= 1 for p in found)
    made = found.provenance
    assert (made.method, made.encoder, made.template) == ("instant", encoder.card.identity, "scene")


def test_shifted_scene_is_found_in_its_own_pixels(encoder, template):
    query, truth = scene(shift_yx=(9.3, -6.7))
    found = detected(encoder, template, query)
    assert np.median(np.abs(found.positions_yx - truth.positions_yx)) < 1.0
    assert found.geometry.image_shape_yx == query.geometry.image_shape_yx
    assert np.median([p.shape_residual_mm for p in found]) < 3


def test_grey_range_and_size_do_not_matter(encoder, template):
    query, truth = scene(shift_yx=(5.0, 4.0))
    doubled = np.kron(query.pixels, np.ones((2, 2))) * 3 - 5000
    other = GrayImage.from_array(doubled, 0.25, "doubled")
    found = detected(encoder, template, other)
    # Pixel (r, c) became the block around (2 r + 0.5, 2 c + 0.5).
    assert np.median(np.abs(found.positions_yx - (2 * truth.positions_yx + 0.5))) < 2.0
    for one, same in zip(found, detected(encoder, template, query), strict=True):
        assert one.radius_90_px > one.predicted_error_px > 0
        mm = [p.geometry.length_to_mm(q.radius_90_px) for p, q in ((found, one), (query, same))]
        assert mm[0] == pytest.approx(mm[1], rel=0.3)


def test_what_is_like_the_template_nowhere_gets_a_large_radius(encoder, template):
    noise = np.random.default_rng(1).normal(0, 1, template.image.pixels.shape)
    radii = [
        np.median([p.radius_90_px for p in detected(encoder, template, image)])
        for image in (template.image, GrayImage.from_array(noise, 0.5, "noise"))
    ]
    assert radii[1] > 3 * radii[0]


def test_detecting_twice_costs_one_forward_pass(encoder, template):
    counting = Mock(wraps=encoder, card=encoder.card, device=encoder.device)
    detector = Detector.instant(template, encoder=counting)
    detector.set_image(template.image)
    first, second = detector.detect(), detector.detect()
    assert counting.call_count == 2  # template and image
    np.testing.assert_array_equal(first.positions_yx, second.positions_yx)


def test_detecting_before_setting_an_image_says_so(encoder, template):
    with pytest.raises(ValueError, match="set_image"):
        Detector.instant(template, encoder=encoder).detect()


def test_landmarks_missing_on_the_template_are_not_invented(encoder):
    image, points = scene()
    states = {"p1": State.ABSENT, "p3": State.SKIPPED}
    partial = points.with_points(
        Landmark(p.name, None, states[p.name]) if p.name in states else p for p in points
    )
    found = detected(encoder, Template.create(image, partial), image)
    assert found.names == points.names
    assert {p.name: p.state for p in found if p.state is not State.PLACED} == states
    assert np.isnan(found.positions_yx[1]).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_landmarks_work(encoder, count):
    image, points = scene()
    few = points.with_points(points.points[:count])
    query, truth = scene(shift_yx=(4.0, -3.0))
    found = detected(encoder, Template.create(image, few), query)
    assert np.abs(found.positions_yx - truth.positions_yx[:count]).max() < 2.0


def test_unknown_spacing_gives_no_millimetres(encoder):
    image, points = scene(spacing=None)
    found = detected(encoder, Template.create(image, points), image)
    assert all(p.shape_residual_mm is None for p in found)


def test_image_with_one_hot_pixel_only_is_refused(encoder, template):
    pixels = np.zeros((2000, 2000), np.float32)
    pixels[5, 5] = 1
    with pytest.raises(ImageError, match="dead: all but a few pixels"):
        detected(encoder, template, GrayImage.from_array(pixels, 0.1, "dead"))


def test_a_bad_file_does_not_stop_the_batch_but_the_caller_can(encoder, template, tmp_path):
    good, bad = tmp_path / "good.mha", tmp_path / "bad.mha"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(template.image.pixels), good)
    bad.write_bytes(b"nothing")
    files = [ImageFile(p, p.name) for p in (bad, good, tmp_path / "gone.mha")]
    detector = Detector.instant(template, encoder=encoder)
    results = list(detect_many(detector, files))
    assert [r.landmarks and r.landmarks.image for r in results] == [None, "good.mha", None]
    assert "bad.mha" in str(results[0].error)
    assert "gone.mha" in str(results[2].error)
    assert [(r.index, r.total) for r in results] == [(0, 3), (1, 3), (2, 3)]
    assert list(detect_many(detector, files, should_stop=lambda: True)) == []


@pytest.mark.parametrize("field", ["score", "shape_residual_mm", "radius_90_px"])
def test_a_landmark_refuses_what_is_not_a_number(field):
    with pytest.raises(LandmarkError, match="finite"):
        Landmark("sella", (1.0, 2.0), **{field: float("nan")})


@pytest.mark.parametrize("length_px", [-1.0, 1e308])
@pytest.mark.parametrize("field", ["predicted_error_px", "radius_90_px"])
def test_a_landmark_refuses_what_is_no_length(field, length_px):
    with pytest.raises(LandmarkError, match="no length in an image"):
        Landmark("sella", (1.0, 2.0), **{field: length_px})
    # One without a position has none.
    assert getattr(Landmark("sella", None, State.SKIPPED, **{field: 3.0}), field) is None


def test_what_a_detector_says_of_a_point_goes_when_a_person_moves_it():
    lengths = {"predicted_error_px": 2.0, "radius_90_px": 5.0}
    found = Landmark("sella", (1.0, 2.0), score=0.5, source=Source.DETECTED, **lengths)
    accepted = replace(found, source=Source.ACCEPTED)
    assert (accepted.score, accepted.radius_90_px) == (0.5, 5.0)
    moved = replace(found, position_yx=(3.0, 2.0), source=Source.CORRECTED)
    assert (moved.score, moved.predicted_error_px, moved.radius_90_px) == (None, None, None)
    assert Landmark.from_json(found.to_json()) == found


def test_landmarks_without_a_position_are_not_counted_as_found():
    points = (Landmark("a", (1.0, 2.0)), Landmark("b", None, State.SKIPPED))
    counts = Counts()
    counts.add("one.png", Landmarks(points, "one.png").to_json(with_geometry=True))
    assert (counts.images, counts.points) == (1, 1)


def test_an_image_whose_points_are_nearly_all_unsure_is_named():
    def found(unsure: int) -> dict[str, object]:
        points = (Landmark(f"p{i}", (1.0, i), score=0.5, unsure=i < unsure) for i in range(10))
        return Landmarks(tuple(points), "").to_json(with_geometry=True)

    counts = Counts()
    counts.add("film.png", found(7), ("a note",))
    counts.add("hand.png", found(8))
    counts.add("noise.png", found(10))
    assert {note: (about.first, about.images) for note, about in counts.notes.items()} == {
        "a note": ("film.png", 1),
        DOUBTFUL: ("hand.png", 2),
    }
