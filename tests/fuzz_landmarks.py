"""Spoils landmark files of every format, seeded, and judges what is read of them."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from landmark_sets import in_a_table
from oblique_image import cephalogram, geometry, on

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.curve import Curve
from napari_oneshot_lmk.landmarks.files import holds_landmarks, read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State

SECONDS_EACH = 5.0
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_OF_PYTHON = re.compile(r"(Type|Value|Key|Attribute|Overflow|Index|Unicode)\w*Error")
_INSTEAD = (
    *("null", "NaN", "NA", "nan", "", '""', "-", "true", "[]", "{}", '"text"', "text"),
    *("1e999", "-1e999", "1e308", "5e-324", "9" * 400, "9" * 5000, "-1", "-9999"),
    *("0", "0.0", "600.0", "12,5", "1.2.3", "0x10", "1_0", "Infinity", "\\ud800", "٣"),
)
Change = Callable[[bytes, random.Random, list[bytes]], bytes]


@dataclass(frozen=True)
class Spoilt:
    """One file that was changed."""

    name: str  # says its format
    how: str  # the changes, in order
    content: bytes


# -- whole files ----------------------------------------------------------------------


def whole_files(folder: Path, film: Path) -> dict[str, bytes]:
    """Return a valid file of every format and dialect, by its name."""
    marked = on(film)
    corrected = (
        Landmark("moved", (12.5, 30.25), source=Source.CORRECTED, author="B. Other"),
        Landmark("set", (2.0, 3.0), source=Source.PLACED),
        Landmark("taken", None, State.SKIPPED, source=Source.CORRECTED),
        Landmark("found", (5.0, 6.5), score=0.5, source=Source.DETECTED),
    )
    marked = marked.with_points((*marked, *corrected))
    files = {}
    for kind in ("csv", "mrk.json", "json", "tps", "sr.dcm", "txt"):
        path = folder / f"ours.{kind}"
        landmarks = cephalogram() if kind == "txt" else marked
        if kind == "tps":
            landmarks = replace(landmarks, curves=(Curve("rim", ((1.5, 2.25), (80.0, 60.0))),))
        write_landmarks(path, [landmarks], source=film, overwrite=True)
        files[path.name] = path.read_bytes()
    files["excel.csv"] = (
        "sep=;\nimage;landmark;x_px;y_px;height_px;width_px\n"
        "Größe.png;sella;12,5;30,25;90,0;70\nGröße.png;nasion;NA;NA;90;70\n"
        "b\\c.png;sella;1;2;90;70\n"
    ).encode()
    files["points.csv"] = (
        b"index,axis-0,axis-1,label,source\n0,1.5,2,a,detected\n1,nan,nan,b,\n"
        b"2,60.25,3,c,corrected\n"
    )
    lps = geometry().points_to_lps([(10.25, 20.5), (60.0, 3.125)]).tolist()
    controls = [
        {"id": "1", "label": "S", "position": lps[0]},
        {"id": "2", "label": "N", "position": lps[1]},
        {"id": "3", "label": "P", "positionStatus": "undefined"},
    ]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": controls}
    document = {"@schema": "https://example.org/markups-schema-v1.0.3.json#", "markups": [markup]}
    files["slicer.mrk.json"] = json.dumps(document, indent=1).encode()
    rows = "".join(
        f"{n},{x!r},{y!r},{z!r},0,0,0,1,1,1,0,{n}L,,,2,0\n" for n, (x, y, z) in enumerate(lps)
    )
    files["slicer.fcsv"] = (
        "# Markups fiducial file version = 5.6\n# CoordinateSystem = LPS\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        f"{rows}9,0,0,0,0,0,0,1,1,1,0,Q,,,0,0\n"
    ).encode()
    files["foreign.json"] = json.dumps(
        {
            "images": [
                {"id": 1, "file_name": "a.png", "width": 70, "height": 90},
                {"id": 2, "file_name": "b.png", "width": None, "height": None},
            ],
            "annotations": [
                {"id": n, "image_id": image, "category_id": 1, "keypoints": keypoints}
                for n, image, keypoints in (
                    (1, 1, [10.5, 20.25, 2, 30, 5, 1, 0, 0, 0]),
                    (2, 1, [0] * 9),
                    (3, "2", [7, 8, 2] * 3),
                )
            ],
            "categories": [{"id": 1, "name": "c", "keypoints": ["p", "q", "r"]}],
        },
        indent=1,
    ).encode()
    files["foreign.tps"] = (
        b"LM=3\n10 20\n30.5 12.25\nNA NA\nIMAGE=a.png\nID=0\nSCALE=0.1\n\n"
        b"LM=2\n0 0\n-1 -1\nCURVES=1\nPOINTS=2\n1 2\n3 4\nID=b.png\n"
    )
    return files


# -- changes --------------------------------------------------------------------------


def _truncated(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    return data[: rng.randrange(len(data))]


def _flipped(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
    return bytes(spoilt)


def _spliced(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    other = rng.choice(others)
    start = rng.randrange(len(other))
    piece = other[start : start + rng.randint(1, 400)]
    place = rng.randrange(len(data))
    return data[:place] + piece + data[place + rng.choice((0, len(piece))) :]


def _repeated(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.randint(1, 200)]
    return data[:start] + piece * rng.randint(2, 40) + data[start:]


def _cut_out(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 80) :]


def _delimiters(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    old, new = rng.sample([b",", b";", b"\t", b" ", b"\n", b"\r\n", b"\r", b'"'], 2)
    return data.replace(old, new)


def _encoded(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    text = data.decode("utf-8", "replace")
    names = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-32")
    return text.encode(rng.choice(names), "replace")


def _null_bytes(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes(rng.randint(1, 20)) + data[place:]


def _value(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return data
    found = rng.choice(numbers)
    text = text[: found.start()] + rng.choice(_INSTEAD) + text[found.end() :]
    return text.encode("utf-8", "surrogateescape")


def _digit(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    places = [place for place, byte in enumerate(data) if byte in b"0123456789"]
    if not places:
        return data
    place = rng.choice(places)
    return data[:place] + rng.choice(b"0123456789.-").to_bytes() + data[place + 1 :]


def _lines(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    lines = data.splitlines(keepends=True)
    if rng.random() < 0.5:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice((b"\n", b"  \n", b"\r\n")))
    elif len(lines) > 2:
        one, other = rng.sample(range(1, len(lines)), 2)
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _ends(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n")))


def _deep(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    numbers = list(_NUMBER.finditer(text)) or [re.match("", text)]
    found = rng.choice(numbers)
    assert found is not None
    depth, (left, right) = (rng.choice((3, 900, 100_000)), rng.choice(("[]", ('{"a":', "}"))))
    deep = left * depth + "1" + right * depth
    text = text[: found.start()] + deep + text[found.end() :]
    return text.encode("utf-8", "surrogateescape")


def _twice(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    lines = data.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    line = lines[place]
    if b":" in line and not line.rstrip().endswith((b",", b"{", b"[")):
        line = line.rstrip() + b",\n"
    lines.insert(place, line)
    return b"".join(lines)


def _header(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    first, _, rest = data.partition(b"\n")
    titles = first.split(b",")
    titles.insert(rng.randrange(len(titles) + 1), rng.choice(titles))
    return b",".join(titles) + b"\n" + rest


CHANGES: tuple[Change, ...] = (
    *(_truncated, _flipped, _spliced, _repeated, _cut_out, _delimiters, _encoded),
    *(_null_bytes, _value, _value, _value, _deep, _twice, _header),
    *(_digit, _digit, _digit, _lines, _lines, _ends),
)


def spoilt_files(files: dict[str, bytes], name: str, count: int, seed: int = 0) -> Iterator[Spoilt]:
    """Yield a file again and again, changed in one to three ways each time."""
    rng = random.Random(f"{name} {seed}")
    others = list(files.values())
    for _ in range(count):
        content, done = files[name], []
        for change in rng.sample(CHANGES, rng.choice((1, 1, 1, 2, 3))):
            if content:
                content = change(content, rng, others)
                done.append(change.__name__.strip("_"))
        yield Spoilt(name, ", ".join(done), content)


# -- judgement ------------------------------------------------------------------------


def fault_of(spoilt: Spoilt, folder: Path) -> str:
    """Return what is wrong with how a file is taken; empty where nothing is."""
    path = folder / spoilt.name
    path.write_bytes(spoilt.content)
    told: list[str] = []
    started = time.perf_counter()
    try:
        holds_landmarks(path)
        images = read_landmarks(path, geometry=geometry(), tell=told.append)
    except OneshotError as error:
        return _fault_in(str(error), path) or _slow(started)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    faults = [_fault_in(sentence) for sentence in told]
    faults += [_slow(started), _unstable(images, folder), _other_than(spoilt, images)]
    return next((fault for fault in faults if fault), "")


def _slow(started: float) -> str:
    seconds = time.perf_counter() - started
    return f"took {seconds:.1f} s" if seconds > SECONDS_EACH else ""


def _fault_in(sentence: str, path: Path | None = None) -> str:
    if len(sentence.splitlines()) != 1:
        return f"is not one line: {sentence!r}"
    if path is not None and not sentence.startswith(f"{path}: "):
        return f"does not name the file: {sentence!r}"
    if _OF_PYTHON.search(sentence):
        return f"is not for users: {sentence!r}"
    # Names are repeated, but not thousands of letters of them.
    return f"has {len(sentence)} letters" if len(sentence) > 1500 else ""


def _unstable(images: tuple[Landmarks, ...], folder: Path) -> str:
    """Say where landmarks that were read do not survive being written and read."""
    for landmarks in images:
        if not np.isfinite(landmarks.with_points(landmarks.placed).positions_yx).all():
            return "has positions that are not finite"
    # No table holds curves.
    images = tuple(replace(la, curves=()) for la in images if la)
    if not images:
        return ""
    table = folder / "again.csv"
    try:
        write_landmarks(table, images, overwrite=True)
        back = read_landmarks(table, tell=lambda _: None)
    except OneshotError as error:
        return f"is read but cannot be written and read again: {error}"
    for before, after in zip(images, back, strict=True):
        if in_a_table(before) != after:
            return f"reads {before!r}, written and read again {after!r}"
    return ""


def _other_than(spoilt: Spoilt, images: tuple[Landmarks, ...]) -> str:
    """Say where positions are others than what a plain reader finds in the file."""
    try:
        text = spoilt.content.decode("utf-8-sig")
        plain = _plain(spoilt.name, text)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error):
        return ""
    if plain is None:
        return ""
    for landmarks in images:
        for point in landmarks.placed:
            assert point.position_yx is not None
            if not any(np.allclose(yx, point.position_yx, atol=0.011) for yx in plain):
                return f"reads {point!r}, which a plain reader does not find"
    return ""


def _plain(name: str, text: str) -> list[tuple[float, float]] | None:
    """Return all positions that a file can mean; None where that is undecided."""
    if name in ("ours.csv", "points.csv"):
        columns = ("y_px", "x_px") if name == "ours.csv" else ("axis-0", "axis-1")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        titles = [title.strip().lower() for title in rows[0]]
        if not set(columns) <= set(titles):
            return None
        places = [titles.index(column) for column in columns]
        return [
            _pair(*(row[place] for place in places))
            for row in rows[1:]
            if len(row) > max(places) and all(row[p].strip() for p in places)
        ]
    if name in ("ours.json", "foreign.json"):
        found = []
        for annotation in json.loads(text)["annotations"]:
            numbers = annotation.get("keypoints") or []
            found += [_pair(y, x) for x, y in zip(numbers[::3], numbers[1::3], strict=False)]
        return found
    if name in ("ours.mrk.json", "slicer.mrk.json"):
        markups = json.loads(text)["markups"]
        if any(m.get("coordinateSystem", "LPS") != "LPS" for m in markups):
            return None
        if any("geometry" in (m.get("napari_oneshot_lmk") or {}) for m in markups):
            geometries = [m["napari_oneshot_lmk"]["geometry"] for m in markups]
            if any(
                g["origin_lps_mm"] != list(geometry().origin_lps_mm)
                or g["spacing_mm_yx"] != list(geometry().spacing_mm_yx or ())
                for g in geometries
            ):
                return None
        return [
            tuple(geometry().points_from_lps([control["position"]])[0])
            for markup in markups
            for control in markup["controlPoints"]
            if control.get("position")
        ]
    return None


def _pair(y: object, x: object) -> tuple[float, float]:
    def number(value: object) -> float:
        try:
            return float(unicodedata.normalize("NFC", str(value)))
        except ValueError:
            return float("nan")

    return number(y), number(x)
