"""Alignment undoes transforms that are known, as scipy does, and outliers stand out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.morphometrics.outliers import find_outliers
from napari_oneshot_lmk.measure.morphometrics.procrustes import align_shapes
from napari_oneshot_lmk.measure.morphometrics.shapes import stack_shapes

NAMES = tuple("abcdefg")
SHAPE_YX = np.random.default_rng(4).uniform(0, 300, (7, 2))


def moved(points_yx, angle=0.0, size=1.0, by=(0.0, 0.0)):
    """Turn, scale and shift, in that order."""
    c, s = np.cos(angle), np.sin(angle)
    return size * points_yx @ np.array([[c, -s], [s, c]]) + by


def marks(image, points_yx, spacing=None, names=NAMES):
    places = dict(zip(names, map(tuple, points_yx), strict=True))
    return Landmarks.from_positions(places, image, Geometry((600, 600), spacing))


def batch(count=12, noise=2.0, seed=0):
    generator = np.random.default_rng(seed)
    return [
        moved(
            SHAPE_YX + generator.normal(0, noise, SHAPE_YX.shape),
            generator.uniform(-3, 3),
            generator.uniform(0.5, 2),
            generator.uniform(-50, 50, 2),
        )
        for _ in range(count)
    ]


def aligned(shapes, **options):
    sets = [marks(f"{n:02}.png", points) for n, points in enumerate(shapes)]
    return align_shapes(stack_shapes(sets), **options)


def test_known_transforms_are_undone():
    shapes = [SHAPE_YX, moved(SHAPE_YX, 0.7, 2.0, (9, -4)), moved(SHAPE_YX, -2.5, 0.3, (1, 80))]
    alignment = aligned(shapes)
    assert np.allclose(alignment.distances, 0, atol=1e-9)
    # The mean lies as the first image does.
    centred = SHAPE_YX - SHAPE_YX.mean(axis=0)
    assert np.allclose(alignment.mean_yx, centred / np.linalg.norm(centred))
    assert np.allclose(alignment.centroid_sizes / np.linalg.norm(centred), [1, 2, 0.3])
    kept = aligned(shapes, scaling=False)
    sizes = np.linalg.norm(kept.aligned_yx, axis=(1, 2)) / np.linalg.norm(centred)
    assert np.allclose(sizes, [1, 2, 0.3])


def test_distances_from_the_mean_are_those_of_scipy():
    alignment = aligned(batch())
    for points, distance in zip(alignment.shapes.points_yx, alignment.distances, strict=True):
        _, _, disparity = procrustes(alignment.mean_yx, points)
        # scipy scales for the least squares as well: 1 − s², where ours is 2 − 2s.
        assert disparity == pytest.approx(1 - (1 - distance**2 / 2) ** 2, abs=1e-9)
    # The mean is that of the shapes aligned to it, and no other is nearer to them.
    mean = alignment.aligned_yx.mean(axis=0)
    assert np.allclose(mean / np.linalg.norm(mean), alignment.mean_yx, atol=1e-6)


def test_a_mirrored_shape_is_not_mirrored_back():
    mirrored = SHAPE_YX * (1, -1)
    _, _, disparity = procrustes(SHAPE_YX, mirrored)
    assert disparity == pytest.approx(0, abs=1e-9)
    outliers = find_outliers(aligned([*batch(8), mirrored]))
    assert outliers.images == ("08.png",)
    assert outliers.alignment.distances[-1] > 0.5


def test_one_wrong_landmark_is_found_with_its_size_in_its_own_unit():
    shapes = batch(20, noise=1.0)
    wrong = shapes[7].copy()
    wrong[3] += (40, 0)
    sets = [marks(f"{n:02}.png", points, (0.5, 0.5)) for n, points in enumerate(shapes)]
    sets[7] = marks("07.png", wrong, (0.5, 0.5))
    outliers = find_outliers(align_shapes(stack_shapes(sets)))
    assert outliers.images == ("07.png",)
    worst = outliers.landmarks[0]
    assert (worst.image, worst.landmark, worst.unit) == ("07.png", "d", "mm")
    # 20 mm, of which least squares lay a part on the other landmarks.
    assert 9 < worst.residual < 20


def test_what_is_not_placed_does_not_count():
    shapes = batch(6, noise=0.0)
    sets = [marks(f"{n}.png", points) for n, points in enumerate(shapes)]
    sets[2] = marks("2.png", shapes[2][:5], names=NAMES[:5])
    alignment = align_shapes(stack_shapes(sets))
    assert alignment.shapes.complete.tolist() == [True, True, False, True, True, True]
    assert np.allclose(alignment.distances, 0, atol=1e-9)
    assert np.isnan(alignment.aligned_yx[2, 5:]).all()
    assert np.allclose(alignment.residuals[2, :5], 0, atol=1e-6)
    few = stack_shapes(sets, landmarks=NAMES[:4])
    assert few.landmarks == NAMES[:4]
    assert few.complete.all()


def test_what_cannot_be_aligned_says_why():
    first, second = batch(2)
    sets = [marks("p.png", first, (0.5, 0.5)), marks("q.png", second)]
    with pytest.raises(UsageError, match=r"spacing of q\.png is unknown"):
        align_shapes(stack_shapes(sets), scaling=False)
    assert align_shapes(stack_shapes(sets)).residuals.shape == (2, 7)
    with pytest.raises(UsageError, match="2 images do not say what is usual"):
        find_outliers(align_shapes(stack_shapes(sets)))
    with pytest.raises(UsageError, match="2 landmarks have no shape"):
        align_shapes(stack_shapes(sets, landmarks=("a", "b")))
    with pytest.raises(UsageError, match="'x' is placed on no image; name some of a, b"):
        stack_shapes(sets, landmarks=("x",))
    sets[1] = marks("q.png", second[:4], names=NAMES[:4])
    with pytest.raises(UsageError, match=r"1 of 2 images have all landmarks \(e, f, g are"):
        align_shapes(stack_shapes(sets))
    flat = [marks(name, np.ones((7, 2))) for name in ("p.png", "q.png")]
    with pytest.raises(UsageError, match=r"all landmarks of p\.png coincide"):
        align_shapes(stack_shapes(flat))
