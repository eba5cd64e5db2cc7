"""Phantoms: exact truth, determinism, difficulty, and the files that are shipped."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import fft
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter

from napari_oneshot_lmk import samples
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.lists import ISBI19_CEPHALOGRAM, numbered
from napari_oneshot_lmk.samples import sample_folder
from phantoms import ANATOMIES, SHIPPED_ANATOMIES, generate, write_samples
from phantoms.__main__ import main
from phantoms.spine_subject import ABOVE, ANNOTATED, BELOW

SAMPLES = range(5)


@pytest.fixture(params=ANATOMIES, scope="module")
def anatomy(request):
    return request.param


@pytest.fixture(params=SHIPPED_ANATOMIES, scope="module")
def shipped_anatomy(request):
    return request.param


@pytest.fixture(scope="module")
def phantoms():
    return {anatomy: [generate(anatomy, index) for index in SAMPLES] for anatomy in ANATOMIES}


# -- truth --------------------------------------------------------------------


CORNERS = ("upper_left", "upper_right", "lower_right", "lower_left")
NAMES = {
    "skull": ISBI19_CEPHALOGRAM.names,
    "hand": numbered(37).names,
    "spine": tuple(f"v{n:02}_{corner}" for n in range(1, 18) for corner in CORNERS),
}


def test_the_same_numbers_give_the_same_phantom_and_others_another(anatomy, phantoms):
    image, landmarks = phantoms[anatomy][1]
    assert landmarks.names == NAMES[anatomy]
    again, landmarks_again = generate(anatomy, 1)
    assert np.array_equal(image.pixels, again.pixels)
    assert landmarks == landmarks_again
    other, landmarks_other = generate(anatomy, 1, seed=1)
    assert landmarks_other.positions_yx.shape == landmarks.positions_yx.shape
    assert np.abs(landmarks_other.positions_yx - landmarks.positions_yx).max() > 5
    assert not np.array_equal(image.pixels, other.pixels)


# Weighted sums of all coordinates: they change when any landmark moves. Shipped images
# and published numbers depend on them.
CHECKSUMS = {
    "skull": (-580.81852, -681.7378, -897.46675),
    "hand": (-423.29555, -451.63437, -372.20026),
    "spine": (1.58614, 33.49981, -3.40552),
}


def test_landmarks_do_not_drift_between_versions(anatomy, phantoms):
    for (_, landmarks), expected in zip(phantoms[anatomy], CHECKSUMS[anatomy], strict=False):
        positions = landmarks.positions_yx
        checksum = (positions * np.cos(np.arange(positions.size)).reshape(-1, 2)).sum()
        assert checksum == pytest.approx(expected, abs=1e-3)


def test_landmarks_keep_off_the_border(anatomy, phantoms):
    for image, landmarks in phantoms[anatomy]:
        spacing = np.array(image.geometry.spacing_mm_yx)
        far_corner = np.array(image.pixels.shape) - 1
        room = np.minimum(landmarks.positions_yx, far_corner - landmarks.positions_yx)
        assert (room * spacing).min() > 4.0
        assert landmarks.geometry == image.geometry


def test_another_grid_images_the_same_field_of_view(anatomy, phantoms):
    image, landmarks = phantoms[anatomy][2]
    shape = tuple(n // 2 for n in image.pixels.shape)
    small, small_landmarks = generate(anatomy, 2, shape_yx=shape)
    assert small.pixels.shape == shape
    apart = [
        a.geometry.distances_mm(a.positions_yx[:1], a.positions_yx[1:])
        for a in (landmarks, small_landmarks)
    ]
    # The same subject; the spacing has doubled.
    assert np.allclose(apart[0], apart[1], rtol=0.01, atol=0.05)


# (landmark, direction (row, column) out of the structure that it lies on)
OUT_OF_SKIN = [("upper_lip", (0, 1)), ("lower_lip", (0, 1)), ("soft_tissue_pogonion", (0, 1))]
OUT_OF_BONE = [("menton", (1, 0)), ("pogonion", (0, 1))]


@pytest.mark.parametrize(("name", "out"), OUT_OF_SKIN + OUT_OF_BONE)
def test_contour_landmarks_lie_on_an_edge_of_the_image(name, out, phantoms):
    """Averaged over subjects, grey falls fastest across the landmark itself."""
    reach = np.arange(-12, 13)
    profiles = []
    for image, landmarks in phantoms["skull"]:
        start = np.array(landmarks[name].position_yx)
        path = start[:, None] + np.outer(out, reach)
        smooth = gaussian_filter(image.pixels, 1.0)
        profiles.append(map_coordinates(smooth, path, order=1, mode="nearest"))
    profile = np.mean(profiles, axis=0)
    fall = -np.gradient(profile)
    assert abs(reach[fall.argmax()]) <= 2, profile
    assert profile[:8].mean() > profile[-8:].mean() + 5


@pytest.mark.parametrize("tip", ["01", "05", "10", "15", "20"])
def test_fingertips_lie_on_the_end_of_bone(tip, phantoms):
    for image, landmarks in phantoms["hand"]:
        end = np.array(landmarks[tip].position_yx)
        along = end - np.array(landmarks[f"{int(tip) + 1:02}"].position_yx)
        along /= np.linalg.norm(along)
        smooth = gaussian_filter(image.pixels, 1.0)
        steps = end[:, None] + np.outer(along, [-4.0, 3.0])
        inside, outside = map_coordinates(smooth, steps, order=1)
        assert inside > outside + 3


def test_corners_of_vertebrae_lie_on_the_edge_of_brighter_bodies(phantoms):
    for image, landmarks in phantoms["spine"]:
        smooth = gaussian_filter(image.pixels, 1.0)
        corners = landmarks.positions_yx.reshape(ANNOTATED, 4, 2)
        middles = corners.mean(axis=1, keepdims=True)
        levels = [
            map_coordinates(smooth, np.moveaxis(middles + share * (corners - middles), -1, 0))
            for share in (0.8, 1.3)
        ]
        assert np.mean(levels[0] > levels[1]) > 0.95


# -- variety and difficulty ----------------------------------------------------


def test_vertebrae_are_alike_and_the_field_of_view_shows_others_beyond_them(phantoms):
    """One vertebra off looks nearly right: size and surroundings say little about which it is."""
    centres = []
    for image, landmarks in phantoms["spine"]:
        spacing = np.array(image.geometry.spacing_mm_yx)
        middles = landmarks.positions_yx.reshape(ANNOTATED, 4, 2).mean(axis=1)
        pitch_mm = np.linalg.norm(np.diff(middles, axis=0) * spacing, axis=1)
        assert np.std(pitch_mm) < 0.15 * np.mean(pitch_mm)
        growth = (pitch_mm[1:] / pitch_mm[:-1]).mean()
        assert 1.01 < growth < 1.03
        height = len(image.pixels)
        pitch_px = pitch_mm / spacing[0]
        above = middles[0, 0] / pitch_px[0]
        below = (height - middles[-1, 0]) / pitch_px[-1]
        # There is another one at both ends, and more than fit on the film. The upper ones are
        # smaller: more of them fit than of the first one's size.
        assert 1 < above < 0.85 * ABOVE
        assert 1 < below < BELOW
        centres.append((middles[ANNOTATED // 2, 0] - height / 2) / pitch_px.mean())
    assert np.ptp(centres) > 1
    assert np.abs(centres).max() < 2


def best_match(image, patches):
    """Whole-image normalised cross-correlation: (N, 2) best (row, column)."""
    size, pixels = len(patches[0]), image.astype(np.float64)
    shape = [fft.next_fast_len(n + size, real=True) for n in pixels.shape]
    spectrum = fft.rfft2(pixels, shape)
    mean = uniform_filter(pixels, size)
    spread = np.sqrt(np.maximum(uniform_filter(pixels**2, size) - mean**2, 1e-3))
    half = size // 2
    found = []
    for patch in patches:
        match = fft.irfft2(spectrum * np.conj(fft.rfft2(patch - patch.mean(), shape)), shape)
        valid = match[: pixels.shape[0] - size + 1, : pixels.shape[1] - size + 1]
        valid = valid / spread[half : half + len(valid), half : half + valid.shape[1]]
        row, column = np.unravel_index(valid.argmax(), valid.shape)
        found.append((row + half, column + half))
    return np.array(found, dtype=float)


def patches_around(image, landmarks, size):
    padded = np.pad(image.pixels.astype(np.float64), size // 2, mode="edge")
    corners = np.rint(landmarks.positions_yx).astype(int)
    return [padded[y : y + size, x : x + size] for y, x in corners]


@pytest.mark.parametrize("size", [31, 49])
def test_matching_raw_grey_patches_fails(anatomy, size, phantoms):
    (image, landmarks), *others = phantoms[anatomy]
    patches = patches_around(image, landmarks, size)
    # The search itself works: it finds the patches in their own image.
    own = best_match(image.pixels, patches)
    assert (image.geometry.distances_mm(own, landmarks.positions_yx) < 0.5).mean() > 0.9
    within = []
    for other, truth in others[:3]:
        found = best_match(other.pixels, patches)
        within.append(truth.geometry.distances_mm(found, truth.positions_yx) < 4.0)
    assert np.mean(within) < 0.5


# -- files --------------------------------------------------------------------


def test_shipped_samples_are_a_data_folder_with_their_truth(shipped_anatomy, phantoms):
    dataset = Dataset.load(sample_folder(shipped_anatomy))
    assert len(dataset.images) == 12
    assert dataset.template_image in dataset.train
    assert {*dataset.train, *dataset.test} == {file.name for file in dataset.images}
    assert not {*dataset.train} & {*dataset.test}
    described = json.loads((dataset.folder / "dataset.json").read_text())
    assert described["license"] == "Apache-2.0"
    assert "synthetic" in described["about"]
    # The generator still makes what is shipped.
    image, landmarks = phantoms[shipped_anatomy][0]
    truth = dataset.truth[dataset.template_image]
    assert np.abs(truth.positions_yx - landmarks.positions_yx).max() < 1e-3
    shipped = read_image(dataset.file_of(dataset.template_image).path)
    assert np.abs(shipped.pixels - image.pixels).max() < 2.0
    assert shipped.geometry.spacing_mm_yx is None


def test_shipped_dicom_files_say_what_they_should(shipped_anatomy):
    pydicom = pytest.importorskip("pydicom")
    dataset = Dataset.load(sample_folder(shipped_anatomy))
    kinds = set()
    for file in (file for file in dataset.images if file.path.suffix == ".dcm"):
        header = pydicom.dcmread(file.path)
        kinds.add((header.PhotometricInterpretation, "PixelSpacing" in header))
        assert header.Modality == "CR"
        assert header.BitsAllocated == 16
        assert header.pixel_array.max() < 2**header.BitsStored
        spacing = [float(mm) for mm in header.ImagerPixelSpacing]
        assert spacing == pytest.approx(dataset.spacing_mm_yx(file.name))
        image = read_image(file.path)
        assert image.geometry.spacing_mm_yx == pytest.approx(spacing)
        # Air above the face is dark, whatever the file's convention.
        nose = dataset.truth[file.name].positions_yx.mean(axis=0).astype(int)
        bone = np.percentile(image.pixels[nose[0] - 40 : nose[0]], 90)
        assert np.median(image.pixels) < bone
    assert kinds == {("MONOCHROME2", True), ("MONOCHROME1", True), ("MONOCHROME2", False)}


def test_files_do_not_depend_on_the_number_of_workers(tmp_path):
    reports = []
    write_samples(tmp_path / "a", 4, 5, ["hand"], on_image=lambda *n: reports.append(n))
    write_samples(tmp_path / "b", 4, 5, ["hand"], workers=2)
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    names = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(names) == 6
    assert any(name.suffix == ".dcm" for name in names)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_samples_are_made_by_default_and_nothing_else(tmp_path):
    assert main(["--out", str(tmp_path), "--count", "1"]) == 0
    assert {folder.name for folder in tmp_path.iterdir()} == {"skull", "hand"}


def test_the_command_refuses_what_is_there_until_told_otherwise(tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--count", "1", "--anatomy", "hand"]
    assert main(arguments) == 0
    before = (tmp_path / "hand" / "landmarks.csv").read_bytes()
    assert main([*arguments, "--seed", "3"]) == 2
    assert "hand" in capsys.readouterr().err
    assert (tmp_path / "hand" / "landmarks.csv").read_bytes() == before
    assert main([*arguments, "--seed", "3", "--overwrite"]) == 0
    assert (tmp_path / "hand" / "landmarks.csv").read_bytes() != before


@pytest.mark.parametrize(
    ("count", "seed", "anatomy"), [(0, 0, "hand"), (1, -1, "hand"), (1, 0, "foot")]
)
def test_what_cannot_be_drawn_writes_nothing(tmp_path, count, seed, anatomy):
    with pytest.raises(UsageError):
        write_samples(tmp_path / "out", count, seed, [anatomy])
    if count:
        with pytest.raises(UsageError):
            generate(anatomy, 0, seed)
    assert list(tmp_path.iterdir()) == []


def test_samples_are_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "napari_oneshot_lmk"
    monkeypatch.setattr(samples, "__file__", str(package / "samples.py"))
    with pytest.raises(UsageError, match="install"):
        sample_folder("hand")
    for home in (tmp_path / "sample_data", package / "sample_data"):
        (home / "hand").mkdir(parents=True)
        (home / "hand" / "dataset.json").write_text("{}")
        assert sample_folder("hand") == Path(home / "hand").resolve()
    with pytest.raises(UsageError, match="choose one of hand"):
        sample_folder("foot")
