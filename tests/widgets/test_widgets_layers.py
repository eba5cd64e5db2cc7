"""From layers of any make to images for detection, and points back onto them."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Points
from widget_scene import textured

from napari_oneshot_lmk.errors import GeometryError, ImageError, LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, State
from napari_oneshot_lmk.widgets.header import parse_spacing, spacing_text
from napari_oneshot_lmk.widgets.layers import image_view, labels, points, style
from napari_oneshot_lmk.widgets.layers.labels import LabelDeclutter
from napari_oneshot_lmk.widgets.layers.open_layers import landmarks_on
from napari_oneshot_lmk.widgets.layers.style import landmark_colours, score_colours

GREY = textured((60, 50))


MM = {"units": "mm"}


@pytest.mark.parametrize(
    ("arguments", "mm_yx", "assumed"),
    [
        ({}, None, False),
        ({"scale": (1, 1)}, None, False),
        ({"scale": (0.1, 0.2)} | MM, (0.1, 0.2), False),
        ({"scale": (1, 1)} | MM, (1, 1), False),
        ({"scale": (100, 200), "units": "um"}, (0.1, 0.2), False),
        ({"scale": (0.01, 0.02), "units": "cm"}, (0.1, 0.2), False),
        ({"scale": (0.1, 0.2)}, (0.1, 0.2), True),
        ({"affine": np.diag([-0.1, -0.2, 1])}, (0.1, 0.2), True),
        ({"affine": np.diag([-0.1, 0.2, 1])} | MM, (0.1, 0.2), False),
        ({"scale": (0.1, 0.2), "rotate": 30} | MM, (0.1, 0.2), False),
        ({"scale": (0.5, 0.5), "affine": np.diag([-0.2, 0.4, 1])} | MM, (0.1, 0.2), False),
        ({"affine": [[0, 0.2, 5], [0.1, 0, 7], [0, 0, 1]]} | MM, (0.1, 0.2), False),
        ({"scale": (0.1, 0.2), "translate": (500, -3)} | MM, (0.1, 0.2), False),
    ],
)
def test_spacing_is_the_length_of_a_step(arguments, mm_yx, assumed):
    spacing = image_view.spacing_of(Image(GREY, **arguments))
    assert spacing.assumed is assumed
    assert spacing.mm_yx == (mm_yx and pytest.approx(mm_yx))


def test_an_absurd_scale_is_unknown_and_says_why():
    spacing = image_view.spacing_of(Image(GREY, scale=(5000, 5000), units="mm"))
    assert spacing.mm_yx is None
    assert "5000" in spacing.problem


def test_a_stack_takes_the_spacing_of_rows_and_columns():
    stack = Image(np.stack([GREY, GREY]), scale=(3, 0.1, 0.2), units="mm")
    assert image_view.spacing_of(stack).mm_yx == pytest.approx((0.1, 0.2))


def test_colours_become_grey_and_transparency_is_ignored():
    rgba = np.zeros((60, 50, 4), np.uint8)
    rgba[..., :3] = np.random.default_rng(0).integers(0, 255, (60, 50, 3))
    rgba[..., 3] = 7
    target = image_view.ImageView(Image(rgba, rgb=True, name="photo"))
    grey = target.read_pixels(None).gray_image().pixels
    assert target.shape_yx == grey.shape == (60, 50)
    expected = rgba[..., :3].astype(float) @ [0.299, 0.587, 0.114]
    assert np.allclose(grey, expected, atol=1e-3)


def test_a_pyramid_gives_its_finest_level():
    target = image_view.ImageView(Image([GREY, GREY[::2, ::2]], multiscale=True, name="pyramid"))
    assert target.shape_yx == (60, 50)
    assert np.array_equal(target.read_pixels(None).gray_image().pixels, GREY)


def test_the_image_that_is_detected_on_is_a_copy():
    pixels = GREY.copy()
    image = image_view.ImageView(Image(pixels)).read_pixels((0.1, 0.1)).gray_image()
    pixels[:] = 0
    assert np.array_equal(image.pixels, GREY)
    assert image.geometry.spacing_mm_yx == (0.1, 0.1)


@pytest.mark.parametrize(
    ("pixels", "said"), [(np.zeros((5, 5)), "same value"), (np.full((5, 5), np.nan), "not numbers")]
)
def test_an_image_without_content_is_refused(pixels, said):
    with pytest.raises(ImageError, match=f"bad.*{said}"):
        image_view.ImageView(Image(pixels, name="bad")).read_pixels(None).gray_image()


def viewer_with(dims: dict[str, Any]) -> Any:
    usual = {"ndim": 3, "ndisplay": 2, "displayed": (1, 2), "point": (0, 0, 0)}
    return SimpleNamespace(dims=SimpleNamespace(**{**usual, **dims}))


def test_the_slice_that_is_shown_is_found_through_the_transform():
    stack = np.stack([GREY + n for n in range(5)])
    layer = Image(stack, scale=(2.5, 1, 1), translate=(10, 0, 0), name="stack")
    target = image_view.target_of(layer, viewer_with({"point": (10 + 3 * 2.5, 0, 0)}))
    assert target.slice_index == (3,)
    assert target.image_name == "stack [3]"
    assert target.slices == 5
    assert target.slice_number == 4
    assert np.array_equal(target.read_pixels(None).gray_image().pixels, stack[3])
    data = target.to_layer([(1.5, 2.5)])
    assert data.tolist() == [[3, 1.5, 2.5]]
    assert target.from_layer(data).tolist() == [[1.5, 2.5]]
    # Beyond the ends of this layer, the nearest slice.
    assert image_view.target_of(layer, viewer_with({"point": (999, 0, 0)})).slice_index == (4,)


def test_a_single_slice_keeps_the_name_of_its_file():
    target = image_view.target_of(Image(GREY[None], name="image"), viewer_with({}))
    assert (target.slice_index, target.image_name) == ((0,), "image")


@pytest.mark.parametrize(
    ("dims", "said"), [({"ndisplay": 3}, "3-D"), ({"displayed": (0, 2)}, "other axes")]
)
def test_a_stack_seen_another_way_is_refused(dims, said):
    with pytest.raises(ImageError, match=said):
        image_view.target_of(Image(np.stack([GREY, GREY]), name="stack"), viewer_with(dims))


def test_a_plain_image_is_found_in_any_view():
    assert image_view.target_of(Image(GREY), viewer_with({"ndisplay": 3})).slice_index == ()


def test_points_lie_on_their_image_whatever_its_transform():
    image = Image(GREY, scale=(0.5, 0.25), rotate=15, shear=[0.1], affine=np.diag([-1, 2, 1]))
    marks = Points([(10, 20)], **image_view.transform_of(image))
    assert marks.data_to_world((10, 20)) == pytest.approx(image.data_to_world((10, 20)))


# -- landmarks and points layers ----------------------------------------------------

WHOLE = Landmarks(
    (
        Landmark("a", (1.25, 2.5), description="first"),
        Landmark("b", None, State.SKIPPED),
        Landmark(
            *("c", (30.0, 40.0)),
            score=0.75,
            unsure=True,
            shape_residual_mm=1.5,
            predicted_error_px=2.5,
            radius_90_px=6.0,
        ),
        Landmark("d", None, State.ABSENT, description="missing tooth"),
    ),
    "image.png",
    Geometry((60, 50), (0.1, 0.2), (1, 2, 3), (0, 0, -1), (0, 1, 0)),
    Provenance("instant", "vgg19-12345678", "t", "me", "2026-01-02T03:04:05"),
)


def test_a_points_layer_loses_nothing():
    look = style.landmark_style(WHOLE, points.placed_yx(WHOLE))
    layer = Points(**look, name="layer")
    # What other programs keep of metadata is JSON.
    metadata = json.loads(json.dumps(layer.metadata))
    attributes = {"features": layer.features, "metadata": metadata, "name": "layer"}
    assert points.from_layer(layer.data, attributes) == WHOLE


def test_the_layer_has_the_last_word():
    layer = Points(**style.landmark_style(WHOLE, points.placed_yx(WHOLE)))
    layer.data = np.array([[5.0, 6.0], [30.0, 40.0]])
    layer.selected_data = {1}
    layer.remove_selected()
    attributes = {"features": layer.features, "metadata": layer.metadata}
    read = points.from_layer(layer.data, attributes)
    assert read["a"].position_yx == (5.0, 6.0)
    assert read["c"].state is State.SKIPPED
    assert read["d"].state is State.ABSENT


def test_points_of_another_make_get_numbers():
    read = points.from_layer([(0, 1, 2), (0, 3, 4)], {"name": "Points", "metadata": {}})
    assert read.names == ("01", "02")
    assert read["02"].position_yx == (3, 4)
    assert read.image == "Points"


def test_a_name_at_two_points_is_refused():
    table = points.label_table(["a", "a"], ["a"])
    with pytest.raises(LandmarkError, match="'a'"):
        points.from_layer([(1, 2), (3, 4)], {"features": table, "name": "Points"})


def test_a_layer_with_another_transform_is_read_where_it_shows():
    image = Image(GREY, scale=(0.5, 0.5), translate=(10, 20), name="image")
    world = image.data_to_world((12, 34))
    marks = Points([world], features=points.label_table(["a"], ["a"]))
    read = landmarks_on(image_view.ImageView(image), marks)
    assert read["a"].position_yx == pytest.approx((12, 34))
    assert read.image == "image"


# -- colours and the spacing field ----------------------------------------------------


def test_colours_of_neighbours_differ():
    colours = np.array(list(landmark_colours([f"{n}" for n in range(40)]).values()))
    steps = np.abs(np.diff(colours[:, :3], axis=0)).sum(axis=1)
    assert steps.min() > 0.4


def test_scores_are_ordered_in_colour_and_unknown_is_grey():
    colours = score_colours([0.0, 0.5, 1.0, np.nan, 2.0, -1.0])
    assert colours.shape == (6, 4)
    assert np.all(np.diff(colours[:3, 2]) > 0)
    assert len(set(colours[3, :3])) == 1
    assert np.array_equal(colours[4], colours[2])
    assert np.array_equal(colours[5], colours[0])


def test_labels_read_on_every_grey():
    greys = np.repeat(np.linspace(0, 1, 256)[:, None], 3, axis=1)
    behind = labels.luminance_of(greys)
    text = labels.luminance_of(labels.text_colours(behind))
    high, low = np.maximum(behind, text), np.minimum(behind, text)
    # Large text asks for 3 : 1 (WCAG); these letters differ in hue besides.
    assert ((high + 0.05) / (low + 0.05)).min() > 3.4


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_label_takes_its_colour_from_what_lies_under_it(viewer, theme):
    viewer.theme = theme
    declutter = LabelDeclutter(viewer)
    bone = np.zeros((400, 300))
    bone[:, 150:] = 1000.0
    image = viewer.add_image(bone, contrast_limits=(0, 1000), scale=(0.5, 0.5))
    where = Landmarks.from_positions({"dark": (50, 20), "bone": (100, 200), "outside": (50, 600)})
    look = style.landmark_style(where, points.placed_yx(where))
    layer = viewer.add_points(**look, scale=(0.5, 0.5))
    viewer.scene.camera.zoom = 4.0

    def light() -> list[bool]:
        declutter.refresh()
        colours = np.asarray(layer.text.color.array)
        return [bool(np.allclose(c, labels.ON_DARK, atol=0.01)) for c in colours]

    assert light() == [True, False, theme == "dark"]
    image.colormap = "gray_r"
    assert light() == [False, True, theme == "dark"]
    image.visible = False
    assert light() == [theme == "dark"] * 3


@pytest.mark.parametrize(
    ("text", "mm_yx"),
    [
        ("", None),
        ("0.1", (0.1, 0.1)),
        (" 0,1 mm ", (0.1, 0.1)),
        ("0.10 x 0.12", (0.1, 0.12)),
        ("0.10 × 0.12 mm", (0.1, 0.12)),
    ],
)
def test_the_spacing_field_reads(text, mm_yx):
    assert parse_spacing(text) == mm_yx
    if mm_yx is not None:
        assert parse_spacing(spacing_text(mm_yx)) == mm_yx


@pytest.mark.parametrize("text", ["abc", "0.1 x 0.2 x 0.3", "1e"])
def test_the_spacing_field_refuses(text):
    with pytest.raises(GeometryError):
        parse_spacing(text)
