"""Kinds of TIFF: every one is read as its tags say, or refused by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_files import COLUMNS, GREY8, LUMA, PIXELS, ROWS, SMOOTH, check, refused
from PIL import Image

from napari_oneshot_lmk.imaging.reader import read_image

ALPHA8 = np.full_like(GREY8, 100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "film.tif"


def tag(path: Path, code: int, value: int) -> None:
    """Change a short tag of the first page in place."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[code].overwrite(value)


# -- the turn that a scanner notes ---------------------------------------------


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


# -- samples beside the grey ---------------------------------------------------


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("pixels", [GREY8, PIXELS * 80])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_grey_and_alpha(path, planar, pixels, kind, tile):
    pair = [pixels, np.full_like(pixels, 7)]
    samples = np.stack(pair, axis=0 if planar == "separate" else -1)
    tifffile.imwrite(
        path, samples, photometric="minisblack", planarconfig=planar, extrasamples=[kind], tile=tile
    )
    assert check(path, pixels) == ()


def test_grey_and_alpha_of_pillow(path):
    Image.fromarray(np.dstack([GREY8, ALPHA8]), "LA").save(path)
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
    samples = np.stack([pixels] * channels, axis=0 if planar == "separate" else -1)
    samples = samples.copy()
    if channels == 4:
        at = (3,) if planar == "separate" else (..., 3)
        samples[at] = 9
    tifffile.imwrite(path, samples, photometric="rgb", planarconfig=planar)
    check(path, pixels)


def test_colours_of_sixteen_bits_are_weighted(path):
    rgb = np.dstack([PIXELS * 80, PIXELS * 40, PIXELS * 20])
    tifffile.imwrite(path, rgb, photometric="rgb")
    luma = rgb @ LUMA
    check(path, luma)


def test_inks(path):
    cmyk = np.zeros((ROWS, COLUMNS, 4), np.uint8)
    cmyk[..., 3] = GREY8
    tifffile.imwrite(path, cmyk, photometric="separated")
    check(path, 255.0 - GREY8, atol=1e-4)


# -- what a number means -------------------------------------------------------


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
    import imagecodecs

    pixels = PIXELS % (1 << bits)
    packed = imagecodecs.packints_encode(pixels.astype(np.uint16 if bits > 8 else np.uint8), bits)
    write_by_hand(path, packed, bits)
    check(path, pixels)


def write_by_hand(path: Path, strip: bytes, bits: int, **tags: int) -> None:
    """Write one strip of grey, with tags given by number as ``t262=0``."""
    entries = {
        256: COLUMNS,
        257: ROWS,
        258: bits,
        259: 1,
        262: 1,
        273: 0,
        277: 1,
        278: ROWS,
        279: len(strip),
    }
    entries |= {int(name[1:]): value for name, value in tags.items()}
    count = len(entries)
    entries[273] = 8 + 2 + 12 * count + 4
    file = io.BytesIO()
    file.write(b"II*\0" + (8).to_bytes(4, "little") + count.to_bytes(2, "little"))
    for code in sorted(entries):
        file.write(code.to_bytes(2, "little") + (4).to_bytes(2, "little"))
        file.write((1).to_bytes(4, "little") + entries[code].to_bytes(4, "little"))
    file.write(bytes(4) + strip)
    path.write_bytes(file.getvalue())


@pytest.mark.parametrize(("dtype", "largest"), [("u1", 255), ("u2", 65535)])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_white_is_zero(path, dtype, largest, tile):
    pixels = (PIXELS % 251).astype(dtype)
    tifffile.imwrite(path, pixels, photometric="miniswhite", tile=tile)
    check(path, largest - pixels.astype(np.int64))


def test_white_is_zero_with_few_bits_and_of_two_colours(path):
    import imagecodecs

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


def test_complex_numbers_are_refused(path):
    tifffile.imwrite(path, PIXELS.astype(np.complex64))
    refused(path, "complex numbers")


# -- how it is packed ----------------------------------------------------------


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [
        *((name, False) for name in ("packbits", "lerc", "png")),
        *((name, False) for name in ("zlib", "lzw", "zstd", "lzma", "adobe_deflate")),
        *((name, True) for name in ("zlib", "lzw", "zstd", "lzma", "adobe_deflate")),
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


def test_a_compression_that_nobody_reads_is_named(path):
    tifffile.imwrite(path, GREY8)
    tag(path, 259, 32766)
    assert "damaged" not in refused(path, r"with the compression .*cannot be read")


def test_without_imagecodecs_the_package_is_named(path, monkeypatch):
    tifffile.imwrite(path, GREY8, compression="lzw")

    def missing(self: object, key: int) -> None:
        raise KeyError(f"{key!r} requires the 'imagecodecs' package")

    monkeypatch.setattr(type(tifffile.TIFF.DECOMPRESSORS), "__getitem__", missing)
    refused(path, r"LZW.*needs the package imagecodecs")


def test_strange_colours_are_named(path):
    tifffile.imwrite(path, np.dstack([GREY8] * 3), photometric="cielab")
    refused(path, "colours of the kind CIELAB cannot be read")


# -- pages ---------------------------------------------------------------------


def test_a_thumbnail_is_no_page(path):
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS[::3, ::3], subfiletype=1)
        file.write(PIXELS)
        file.write(GREY8[:8, :8], subfiletype=1)
    assert check(path, PIXELS) == ()
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS, subifds=1)
        file.write(PIXELS[::2, ::2], subfiletype=1)
    check(path, PIXELS)


def test_a_mask_is_no_page(path):
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


@pytest.mark.parametrize(
    "kind", [{}, {"bigtiff": True}, {"imagej": True}, {"ome": True}, {"ome": True, "bigtiff": True}]
)
def test_stacks(path, kind):
    volume = np.stack([PIXELS, PIXELS[::-1], PIXELS + 3])
    tifffile.imwrite(path, volume, photometric="minisblack", **kind)
    for index in range(3):
        check(path, volume[index], slice_index=index)


def test_a_stack_behind_one_page(path):
    """ImageJ writes large ones so: the file has one page and many planes."""
    volume = np.stack([PIXELS, PIXELS[::-1], PIXELS + 3])
    tifffile.imwrite(path, volume, imagej=True)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].offset
        count = int.from_bytes(data[at : at + 2], {"<": "little", ">": "big"}[file.byteorder])
        data[at + 2 + 12 * count : at + 6 + 12 * count] = bytes(4)
    path.write_bytes(data)
    for index in range(3):
        check(path, volume[index], slice_index=index)


# -- damaged -------------------------------------------------------------------


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
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    data[at + 2 + 12 * count : at + 6 + 12 * count] = data[4:8]
    path.write_bytes(data)
    refused(path, "cut short or damaged")
