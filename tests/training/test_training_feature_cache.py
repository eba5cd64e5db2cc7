"""Maps are computed once, kept in half precision, and never served stale."""

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
import torch.nn.functional as F
from random_vgg19 import random_parameters

from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid, Level
from napari_oneshot_lmk.encoders.vgg19 import VGG19Encoder
from napari_oneshot_lmk.errors import OutputError, UsageError
from napari_oneshot_lmk.training import feature_cache
from napari_oneshot_lmk.training.feature_cache import FeatureCache

SHAPE = (96, 64)
LEVELS = tuple(
    level
    for i, stride in enumerate((2, 4, 8, 16, 32))
    for level in (
        Level(f"before{stride}", stride, 3, after_pooling=False),
        Level(f"pool{stride}", stride, 2 + i),
    )
)


class CountingEncoder:
    """Averages of the image, and how often it was asked."""

    def __init__(self, weights: str = "a", gain: float = 1.0) -> None:
        digest = hashlib.sha256(weights.encode()).hexdigest()
        self.card = EncoderCard("counting", "Counting", digest, LEVELS)
        self.device = torch.device("cpu")
        self.gain = gain
        self.images = 0

    def __call__(self, images: torch.Tensor) -> FeaturePyramid:
        assert not torch.is_grad_enabled()
        self.images += len(images)
        maps = []
        for level in LEVELS:
            cells = F.avg_pool2d(images, level.stride) * self.gain
            maps.append(torch.cat([cells * (i + 1) for i in range(level.channels)], 1))
        return FeaturePyramid(tuple(maps), LEVELS)


def image(seed: int) -> torch.Tensor:
    return torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(seed))


def get(features: FeatureCache, seed: int) -> tuple[torch.Tensor, ...]:
    return features.get(f"image {seed}", lambda: image(seed))


def store(encoder: CountingEncoder, folder: Path | None = None) -> FeatureCache:
    """Return a cache in memory, or on the disk where there is a folder."""
    budget = None if folder is None else 0
    return FeatureCache(encoder, 8, folder, SHAPE, budget_bytes=budget)


@pytest.fixture(params=["memory", "disk"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "features" if request.param == "disk" else None


def test_batch_is_what_the_encoder_says(folder):
    encoder = CountingEncoder()
    features = store(encoder, folder)
    assert features.in_memory == (folder is None)
    for seed in (1, 2, 3):
        get(features, seed)
    batch = features.batch(["image 3", "image 1", "image 3"])
    images = torch.cat([image(3), image(1), image(3)])
    with torch.no_grad():
        expected = encoder(images).after_pooling.maps
    assert len(batch) == 5
    for found, true in zip(batch, expected, strict=True):
        assert found.shape == true.shape
        assert found.dtype == torch.float32
        assert found.is_contiguous(memory_format=torch.channels_last)
        # Half precision has eleven bits.
        torch.testing.assert_close(found, true, rtol=2**-11, atol=1e-6)


def test_maps_can_be_trained_on_in_any_precision(folder):
    features = store(CountingEncoder(), folder)
    (finest, *_) = get(features, 1)
    weight = torch.ones(2, requires_grad=True)
    (finest * weight.view(1, 2, 1, 1)).sum().backward()
    assert weight.grad is not None
    assert not finest.requires_grad
    for dtype in (torch.float16, torch.bfloat16):
        maps = features.batch(["image 1"], torch.device("cpu"), dtype)
        assert {one.dtype for one in maps} == {dtype}


def test_nothing_is_encoded_or_read_twice(folder):
    encoder = CountingEncoder()
    features = store(encoder, folder)
    assert "image 1" not in features
    with pytest.raises(KeyError, match="image 1"):
        features.batch(["image 1"])
    get(features, 1)

    def never() -> torch.Tensor:
        raise AssertionError("this image is in the cache")

    features.get("image 1", never)
    get(features, 2)
    assert encoder.images == 2


def test_what_is_taken_cannot_spoil_the_store(folder):
    features = store(CountingEncoder(), folder)
    before = get(features, 1)[0].clone()
    features.batch(["image 1"], dtype=torch.float16)[0].zero_()
    features.batch(["image 1"])[0].zero_()
    torch.testing.assert_close(features.batch(["image 1"])[0], before)


def test_largest_values_stay_finite(folder):
    features = store(CountingEncoder(gain=1e6), folder)
    assert all(one.isfinite().all() for one in get(features, 1))


def test_files_are_found_again_by_the_same_encoder_only(tmp_path, monkeypatch):
    first, again = CountingEncoder("a"), CountingEncoder("a")
    get(store(first, tmp_path), 1)
    get(store(again, tmp_path), 1)
    assert (first.images, again.images) == (1, 0)
    other_floats = CountingEncoder("a")
    other_floats.dtype = torch.bfloat16  # type: ignore[attr-defined]
    for other in (CountingEncoder("b", gain=2), other_floats):
        assert "image 1" not in store(other, tmp_path)
    assert "image 1" not in FeatureCache(first, 8, tmp_path, (128, 64), budget_bytes=0)
    assert "image 3" not in store(first, tmp_path)
    # Another version may prepare images in another way.
    monkeypatch.setattr(feature_cache, "__version__", "99")
    assert "image 1" not in store(first, tmp_path)


def test_file_cut_short_is_made_anew(tmp_path):
    encoder = CountingEncoder()
    features = store(encoder, tmp_path)
    get(features, 1)
    (file,) = tmp_path.glob("*.f16")
    assert file.stat().st_size == features.bytes_needed(1)
    whole = file.read_bytes()
    del features
    file.write_bytes(whole[:-2])
    get(store(encoder, tmp_path), 1)
    assert encoder.images == 2
    assert file.read_bytes() == whole


def test_need_is_known_before(tmp_path):
    features = FeatureCache(VGG19Encoder(random_parameters()), 1)
    # docs/method.md: nine megabytes an image.
    assert features.bytes_needed(1) == 2 * 4_497_408
    assert features.bytes_needed(150) == 150 * features.bytes_needed(1)


def test_memory_is_taken_where_a_quarter_of_it_suffices(monkeypatch, tmp_path):
    free = SimpleNamespace(available=4 * store(CountingEncoder()).bytes_needed(8))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert FeatureCache(CountingEncoder(), 8, tmp_path, SHAPE).in_memory
    assert not FeatureCache(CountingEncoder(), 9, tmp_path, SHAPE).in_memory


def test_no_room_is_told_before(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="features of 8 images take"):
        FeatureCache(CountingEncoder(), 8, None, SHAPE, budget_bytes=0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(OutputError, match="GB are free; free some space"):
        store(CountingEncoder(), tmp_path)


@pytest.mark.parametrize("lacking", [0, 4])
def test_other_levels_are_refused(lacking):
    encoder = CountingEncoder()
    pooled = [level for level in LEVELS if level.after_pooling]
    levels = tuple(level for level in LEVELS if level is not pooled[lacking])
    encoder.card = replace(encoder.card, levels=levels)
    with pytest.raises(UsageError, match="training needs 2, 4, 8, 16, 32"):
        store(encoder)
