"""Kinds of PNG, JPEG and BMP: read as they are, or refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from image_files import COLUMNS, GREY8, LUMA, PIXELS, ROWS, SMOOTH, check, refused
from PIL import Image

COLOURS = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "film.png"


# -- PNG -------------------------------------------------------------------------


def packed_rows(values: np.ndarray, bits: int) -> list[bytes]:
    """Return rows of several values per byte, or of bytes, or of words."""
    if bits >= 8:
        return [row.tobytes() for row in values.astype(f">u{bits // 8}")]
    each = 8 // bits
    wide = np.pad(values, ((0, 0), (0, -values.shape[1] % each))).astype(np.uint8)
    groups = wide.reshape(len(values), -1, each) << np.arange(each)[::-1] * bits
    return [row.tobytes() for row in groups.sum(-1).astype(np.uint8)]


def write_png(
    path: Path, rows: list[bytes], bits: int, kind: int, *chunks: tuple[bytes, bytes], interlaced=0
) -> None:
    """Write a PNG of its parts: no library writes all of its kinds."""
    header = struct.pack(">IIBBBBB", COLUMNS, ROWS, bits, kind, 0, 0, interlaced)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    file = b"\x89PNG\r\n\x1a\n"
    for name, chunk in [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]:
        file += struct.pack(">I", len(chunk)) + name + chunk
        file += struct.pack(">I", zlib.crc32(name + chunk))
    path.write_bytes(file)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_png_grey_of_all_depths(path, bits):
    values = PIXELS % (1 << bits) if bits < 16 else PIXELS * 80 + 3
    write_png(path, packed_rows(values, bits), bits, 0)
    # Fewer than eight bits are spread over 0 to 255, as every viewer does.
    scale = 255 // ((1 << bits) - 1) if bits < 8 else 1
    check(path, values.astype(float) * scale)


@pytest.mark.parametrize("bits", [8, 16])
def test_png_grey_and_alpha(path, bits):
    values = GREY8 if bits == 8 else PIXELS * 80 + 3
    rows = packed_rows(np.dstack([values, np.full_like(values, 18)]), bits)
    write_png(path, rows, bits, 4)
    check(path, values)


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (6, 4)])
def test_png_colours_of_sixteen_bits_keep_them(path, kind, channels):
    values = PIXELS * 80 + 3
    samples = np.dstack([values] * 3 + [np.full_like(values, 18)])[..., :channels]
    write_png(path, packed_rows(samples, 16), 16, kind)
    check(path, values)
    samples[..., 1] //= 2
    write_png(path, packed_rows(samples, 16), 16, kind)
    check(path, samples[..., :3] @ LUMA, atol=0.01)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("transparent", [False, True])
def test_png_palette(path, bits, transparent):
    colours = COLOURS.reshape(-1, 3)[: 1 << bits]
    index = PIXELS % (1 << bits)
    chunks = [(b"PLTE", colours.tobytes())]
    if transparent:
        chunks.append((b"tRNS", bytes(len(colours))))
    write_png(path, packed_rows(index, bits), bits, 3, *chunks)
    check(path, colours[index] @ LUMA, atol=1e-3)


@pytest.mark.parametrize(
    ("bits", "chunk"),
    [
        (8, (b"tRNS", struct.pack(">H", int(GREY8[3, 4])))),
        (16, (b"tRNS", struct.pack(">H", int(PIXELS[3, 4] * 80)))),
        (8, (b"gAMA", struct.pack(">I", 100000))),
    ],
)
def test_png_transparency_and_gamma_change_nothing(path, bits, chunk):
    values = GREY8 if bits == 8 else PIXELS * 80
    write_png(path, packed_rows(values, bits), bits, 0, chunk)
    check(path, values)
    chunk = (b"tRNS", struct.pack(">HHH", *COLOURS[0, 0]))
    write_png(path, packed_rows(COLOURS, 8), 8, 2, chunk)
    check(path, COLOURS @ LUMA, atol=1e-3)


def test_png_interlaced(path):
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
    passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row.tobytes() for y, x, dy, dx in passes for row in GREY8[y::dy, x::dx] if row.size]
    write_png(path, rows, 8, 0, interlaced=1)
    check(path, GREY8)


def test_png_animated(path):
    frames = [Image.fromarray(GREY8), Image.fromarray(GREY8[::-1])]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    [note] = check(path, GREY8)
    assert "an animation of 2 images" in note


# -- JPEG ------------------------------------------------------------------------


def jpeg(values: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values, mode).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        *({"subsampling": sampling} for sampling in (0, 1, 2)),
        *({"progressive": True}, {"restart_marker_rows": 1}),
        *({"optimize": True}, {"icc_profile": b"x" * 100}),
    ],
)
def test_jpeg_kinds(path, options, colour):
    path.write_bytes(jpeg(np.dstack([SMOOTH] * 3) if colour else SMOOTH, **options))
    check(path, SMOOTH, atol=4)


def test_jpeg_of_inks_and_stored_as_rgb(path):
    black = np.dstack([np.zeros_like(SMOOTH)] * 3 + [255 - SMOOTH])
    path.write_bytes(jpeg(black, "CMYK"))
    check(path, SMOOTH, atol=6)
    spaces = {"colorspace": "RGB", "outcolorspace": "RGB"}
    path.write_bytes(imagecodecs.jpeg8_encode(np.dstack([SMOOTH] * 3), level=95, **spaces))
    check(path, SMOOTH, atol=4)


@pytest.mark.parametrize("encode", ["jpeg8_encode", "ljpeg_encode"])
def test_jpeg_of_twelve_bits_is_named(path, encode):
    values = SMOOTH.astype(np.uint16) * 16
    path.write_bytes(getattr(imagecodecs, encode)(values, bitspersample=12))
    assert "damaged" not in refused(path, r"12 bits a pixel.* cannot be read")


def test_jpeg_without_loss(path):
    path.write_bytes(imagecodecs.ljpeg_encode(SMOOTH, bitspersample=8))
    check(path, SMOOTH)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.97])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("ends", [b"", b"\xff\xd9"])
def test_jpeg_whose_scan_ends_early(path, part, progressive, ends):
    noise = np.random.default_rng(0).integers(0, 255, (120, 96), dtype=np.uint8)
    data = jpeg(noise, progressive=progressive)
    path.write_bytes(data[: int(len(data) * part)] + ends)
    refused(path, "cut short or damaged")


def test_jpeg_with_something_behind_its_end(path):
    data = jpeg(SMOOTH)
    for behind in (b"\0" * 99, b"text", data):
        path.write_bytes(data + behind)
        check(path, SMOOTH, atol=4)
    # Some cameras fill up with zeros in front of the end.
    path.write_bytes(data[:-2] + b"\0" * 7 + data[-2:])
    check(path, SMOOTH, atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_stays_in_the_order_in_which_it_is_stored(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.write_bytes(jpeg(SMOOTH, exif=exif))
    notes = check(path, SMOOTH, atol=4)
    assert len(notes) == (orientation > 1)
    assert all(f"orientation {orientation}" in note for note in notes)
    path.write_bytes(jpeg(SMOOTH, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert check(path, SMOOTH, atol=4) == ()


# -- BMP -------------------------------------------------------------------------


def write_bmp(
    path: Path,
    rows: list[bytes],
    bits: int,
    palette: bytes = b"",
    *,
    header: int = 40,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    top_down: bool = False,
) -> None:
    if not top_down:
        rows = rows[::-1]
    data = b"".join(row + bytes(-len(row) % 4) for row in rows)
    info = struct.pack("<IiiHH", header, COLUMNS, -ROWS if top_down else ROWS, 1, bits)
    info += struct.pack("<IIiiII", compression, len(data), 2835, 2835, len(palette) // 4, 0)
    info += b"".join(struct.pack("<I", mask) for mask in masks)
    info = info.ljust(header, b"\0")
    start = 14 + len(info) + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start)
    path.write_bytes(head + info + palette + data)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("top_down", [True, False])
def test_bmp_palettes(path, bits, grey, top_down):
    count = 1 << bits
    colours = COLOURS.reshape(-1, 3)[:count]
    if grey:
        colours = np.repeat(np.linspace(255, 0, count).astype(np.uint8)[:, None], 3, 1)
    palette = np.column_stack([colours[:, ::-1], np.zeros(count, np.uint8)])
    index = PIXELS % count
    write_bmp(path, packed_rows(index, bits), bits, palette.tobytes(), top_down=top_down)
    check(path, colours[index] @ LUMA, atol=1e-3)


@pytest.mark.parametrize("header", [40, 108, 124])
def test_bmp_of_24_and_32_bits(path, header):
    bgr = np.ascontiguousarray(COLOURS[..., ::-1])
    write_bmp(path, packed_rows(bgr, 8), 24, header=header)
    check(path, COLOURS @ LUMA, atol=1e-3)
    rows = packed_rows(np.dstack([bgr, np.full_like(GREY8, 7)]), 8)
    write_bmp(path, rows, 32, header=header)
    check(path, COLOURS @ LUMA, atol=1e-3)
    if header > 40:
        masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        write_bmp(path, rows, 32, header=header, compression=3, masks=masks)
        check(path, COLOURS @ LUMA, atol=1e-3)


@pytest.mark.parametrize("compression", [0, 3])
def test_bmp_of_sixteen_bits_is_named(path, compression):
    rows = [row.tobytes() for row in PIXELS]
    masks = (0x7C00, 0x3E0, 0x1F) if compression else ()
    header = 108 if compression else 40
    write_bmp(path, rows, 16, header=header, compression=compression, masks=masks)
    assert "damaged" not in refused(path, r"16 bits a pixel.* cannot be read")


@pytest.mark.parametrize("bits", [4, 8])
def test_bmp_in_runs(path, bits):
    count = 1 << bits
    values = (PIXELS // 5) % count
    palette = np.repeat(np.arange(count, dtype=np.uint8)[:, None], 4, 1).tobytes()
    # Each pixel is a run of its own, each row ends with two zeros, the file with 0, 1.
    runs = np.dstack([np.ones_like(values), values << (8 - bits)]).astype(np.uint8)
    data = b"\0\0".join(row.tobytes() for row in runs[::-1]) + b"\0\1"
    write_bmp(path, [], bits, palette, compression=1 if bits == 8 else 2)
    path.write_bytes(path.read_bytes() + data)
    check(path, values)


def test_bmp_of_unknown_kinds_is_named(path):
    write_bmp(path, [row.tobytes() for row in GREY8], 8, bytes(1024), compression=5)
    refused(path, "BMP files of this kind cannot be read")
