"""Kinds of TIFF: every one is read as its tags say, or refused by name."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_files import COLUMNS, GREY8, LUMA, PIXELS, ROWS, SMOOTH, check, refused
from PIL import Image

from napari_oneshot_lmk.imaging.reader import read_image


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "film.tif"


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("pixels", [GREY8, PIXELS])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_pixels_stay_as_they_are_stored(path, orientation, pixels, compression):
    tifffile.imwrite(
        path, pixels, compression=compression, extratags=[(274, "H", 1, orientation, True)]
    )
    [note] = check(path, pixels)
    assert f"orientation {orientation}" in note
    assert "not applied" in note


def test_an_upright_film_needs_no_word(path):
    for extra in ([], [(274, "H", 1, 1, True)], [(274, "H", 1, 9, True)]):
        tifffile.imwrite(path, GREY8, extratags=extra)
        assert check(path, GREY8) == ()


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("pixels", [GREY8, PIXELS * 80])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_grey_and_alpha(path, planar, pixels, kind, tile):
    pair = [pixels, np.full_like(pixels, 7)]
    samples = np.stack(pair, axis=0 if planar == "separate" else -1)
    options = {"photometric": "minisblack", "extrasamples": [kind], "tile": tile}
    tifffile.imwrite(path, samples, planarconfig=planar, **options)
    assert check(path, pixels) == ()
    if tile is None and pixels is GREY8:
        Image.fromarray(np.dstack(pair), "LA").save(path)
        check(path, GREY8)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_unnamed_channels_are_left_out_with_a_word(path, planar):
    samples = np.stack([PIXELS, PIXELS // 2, PIXELS // 3, PIXELS // 4, PIXELS // 5])
    if planar == "contig":
        samples = np.moveaxis(samples, 0, -1)
    tifffile.imwrite(path, samples, photometric="minisblack", planarconfig=planar)
    [note] = check(path, PIXELS)
    assert "5 channels of grey, of which the first is read" in note


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("pixels", [GREY8, PIXELS * 80])
@pytest.mark.parametrize("channels", [3, 4])
def test_grey_saved_as_colour(path, planar, pixels, channels):
    planes = [pixels] * 3 + [np.full_like(pixels, 9)]
    samples = np.stack(planes[:channels], axis=0 if planar == "separate" else -1)
    tifffile.imwrite(path, samples, photometric="rgb", planarconfig=planar)
    check(path, pixels)


def test_colours_of_sixteen_bits_are_weighted(path):
    rgb = np.dstack([PIXELS * 80, PIXELS * 40, PIXELS * 20])
    tifffile.imwrite(path, rgb, photometric="rgb")
    check(path, rgb @ LUMA)


def test_inks(path):
    cmyk = np.zeros((ROWS, COLUMNS, 4), np.uint8)
    cmyk[..., 3] = GREY8
    tifffile.imwrite(path, cmyk, photometric="separated")
    check(path, 255.0 - GREY8, atol=1e-4)


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 7}])
def test_sample_formats(path, dtype, byteorder, layout):
    pixels = (PIXELS % 120).astype(dtype)
    if dtype[0] != "u":
        pixels = pixels - np.array(60, dtype)
    tifffile.imwrite(path, pixels, byteorder=byteorder, **layout)
    check(path, pixels)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_packed_bits(path, bits):
    pixels = PIXELS % (1 << bits)
    packed = imagecodecs.packints_encode(pixels.astype(np.uint16 if bits > 8 else np.uint8), bits)
    write_by_hand(path, packed, bits)
    check(path, pixels)


def write_by_hand(path: Path, strip: bytes, bits: int, **tags: int) -> None:
    """Write one strip of grey, with tags given by number as ``t262=0``."""
    entries = {256: COLUMNS, 257: ROWS, 258: bits, 259: 1, 262: 1, 273: 0, 277: 1, 278: ROWS}
    entries |= {279: len(strip), **{int(name[1:]): value for name, value in tags.items()}}
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    file = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    for code in sorted(entries):
        file += struct.pack("<HHII", code, 4, 1, entries[code])
    path.write_bytes(file + bytes(4) + strip)


@pytest.mark.parametrize(("dtype", "largest"), [("u1", 255), ("u2", 65535)])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_white_is_zero(path, dtype, largest, tile):
    pixels = (PIXELS % 251).astype(dtype)
    tifffile.imwrite(path, pixels, photometric="miniswhite", tile=tile)
    check(path, largest - pixels.astype(np.int64))


def test_white_is_zero_with_few_bits_and_of_two_colours(path):
    packed = imagecodecs.packints_encode(PIXELS % 4096, 12)
    write_by_hand(path, packed, 12, t262=0)
    check(path, 4095 - PIXELS % 4096)
    black = GREY8 > 120
    Image.fromarray(black).save(path, compression="group4")
    np.testing.assert_array_equal(read_image(path).pixels > 0, black)


def test_white_is_zero_of_signed_and_of_floats_is_turned_round(path):
    for pixels in (PIXELS.astype(np.int16) - 90, PIXELS.astype(np.float32) / 7):
        tifffile.imwrite(path, pixels, photometric="miniswhite")
        assert np.all(np.diff(read_image(path).pixels.ravel()) < 0)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette(path, bits):
    colours = np.random.default_rng(0).integers(0, 256, (3, 1 << bits), dtype=np.uint16)
    index = (PIXELS.astype(int) * 7 % (1 << bits)).astype(f"u{bits // 8}")
    tifffile.imwrite(path, index, photometric="palette", colormap=colours * 257)
    luma = np.array([0.299, 0.587, 0.114]) @ colours[:, index].reshape(3, -1)
    np.testing.assert_allclose(read_image(path).pixels.ravel(), luma, atol=1e-3)


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [
        *((name, False) for name in ("packbits", "lerc", "png")),
        *itertools.product(("zlib", "lzw", "zstd", "lzma", "adobe_deflate"), (False, True)),
    ],
)
@pytest.mark.parametrize("pixels", [GREY8, PIXELS])
def test_compressions(path, compression, predictor, pixels):
    tifffile.imwrite(path, pixels, compression=compression, predictor=predictor)
    check(path, pixels)


@pytest.mark.parametrize("compression", ["webp", "jpeg", "jpeg2000", "jpegxl"])
def test_compressions_of_pictures(path, compression):
    values = np.dstack([SMOOTH] * 3) if compression == "webp" else SMOOTH
    tifffile.imwrite(path, values, compression=compression)
    check(path, SMOOTH, atol=4)


def test_colour_packed_as_jpeg(path):
    """YCbCr with chroma of half the size, as most programs write it."""
    Image.fromarray(np.dstack([SMOOTH] * 3)).save(path, compression="jpeg")
    check(path, SMOOTH, atol=4)


def test_floats_with_their_predictor(path):
    pixels = PIXELS.astype(np.float32) / 7
    tifffile.imwrite(path, pixels, compression="zlib", predictor=3)
    check(path, pixels)


def test_what_nobody_reads_is_named(path):
    tifffile.imwrite(path, GREY8)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["Compression"].overwrite(32766)
    assert "damaged" not in refused(path, r"with the compression .*cannot be read")
    tifffile.imwrite(path, np.dstack([GREY8] * 3), photometric="cielab")
    refused(path, "colours of the kind CIELAB cannot be read")
    tifffile.imwrite(path, PIXELS.astype(np.complex64))
    refused(path, "complex numbers")


def test_without_imagecodecs_the_package_is_named(path, monkeypatch):
    tifffile.imwrite(path, GREY8, compression="lzw")

    def missing(self: object, key: int) -> None:
        raise KeyError(f"{key!r} requires the 'imagecodecs' package")

    monkeypatch.setattr(type(tifffile.TIFF.DECOMPRESSORS), "__getitem__", missing)
    refused(path, r"LZW.*needs the package imagecodecs")


def test_a_thumbnail_or_a_mask_is_no_page(path):
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS[::3, ::3], subfiletype=1)
        file.write(PIXELS)
        file.write(GREY8[:8, :8], subfiletype=1)
    assert check(path, PIXELS) == ()
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS, subifds=1)
        file.write(PIXELS[::2, ::2], subfiletype=1)
    check(path, PIXELS)
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS)
        file.write(GREY8 > 100, subfiletype=4, photometric="mask")
    check(path, PIXELS)


def test_pages_of_other_sizes(path):
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS)
        file.write(GREY8[:20, :16])
    refused(path, "holds 2 slices or frames")
    [note] = check(path, PIXELS, slice_index=0)
    assert "different sizes (20 x 16, 30 x 24)" in note
    check(path, GREY8[:20, :16], slice_index=1)


VOLUME = np.stack([PIXELS, PIXELS[::-1], PIXELS + 3])


@pytest.mark.parametrize(
    "kind", [{}, {"bigtiff": True}, {"imagej": True}, {"ome": True}, {"ome": True, "bigtiff": True}]
)
def test_stacks(path, kind):
    tifffile.imwrite(path, VOLUME, photometric="minisblack", **kind)
    for index in range(3):
        check(path, VOLUME[index], slice_index=index)


def test_a_stack_behind_one_page(path):
    """ImageJ writes large ones so: the file has one page and many planes."""
    tifffile.imwrite(path, VOLUME, imagej=True)
    let_follow(path, 0)
    for index in range(3):
        check(path, VOLUME[index], slice_index=index)


def let_follow(path: Path, next_page: int | None) -> None:
    """Set where the page behind the first one is; None for the first one itself."""
    with tifffile.TiffFile(path) as file:
        at, order = file.pages[0].offset, file.byteorder
    data = bytearray(path.read_bytes())
    (count,) = struct.unpack_from(f"{order}H", data, at)
    struct.pack_into(f"{order}I", data, at + 2 + 12 * count, at if next_page is None else next_page)
    path.write_bytes(data)


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
def test_strips_that_are_not_there(path, options, compression):
    tifffile.imwrite(path, GREY8, compression=compression, **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        name = "TileByteCounts" if "tile" in options else "StripByteCounts"
        counts = file.pages[0].tags[name]
        value = counts.value if isinstance(counts.value, tuple) else (counts.value,)
        counts.overwrite((*value[:-1], 0))
    refused(path, "cut short")


def test_a_page_that_follows_on_itself(path):
    tifffile.imwrite(path, GREY8, metadata=None)
    let_follow(path, None)
    refused(path, "cut short or damaged")
