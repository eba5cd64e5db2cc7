"""Landmarks as COCO keypoints, ``.json``: any number of images in one file.

A keypoint is the zero-based index of a pixel, so whole numbers are pixel centres. The box of
an instance is the whole image: a box around few landmarks would be empty or cut the subject
off. What COCO has no field for stands under ``napari_oneshot_lmk`` of image and annotation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import json_values as values
from napari_oneshot_lmk.landmarks.files.base import (
    PLACEHOLDERS,
    LandmarkFormat,
    ReadContext,
    unless_moved,
    without_zeros,
)
from napari_oneshot_lmk.landmarks.files.json_values import OURS, Object, mapping, text
from napari_oneshot_lmk.landmarks.files.text_file import decode_anyway, read_json, write_json
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State

NOT_LABELLED, VISIBLE = 0, 2
"""COCO's v; 1 is a keypoint that has a position but is hidden."""
_REMEDY = "save it again as COCO keypoints"
# Programs that save two decimals have not moved a point.
_UNMOVED_PX = 0.01
_Position = tuple[float, float] | None


# -- writing --------------------------------------------------------------------


def write_coco(path: Path, images: Collection[Landmarks], source: Path | None = None) -> None:
    """Write images, one annotation each, and one category with all names.

    An OutputError says if the size of an image is unknown: COCO's images have one.
    """
    names = tuple(dict.fromkeys(name for la in images for name in la.names))
    category = {"id": 1, "name": "landmarks", "supercategory": "anatomy"}
    written = [_written(number, landmarks, names) for number, landmarks in enumerate(images, 1)]
    document = {
        "info": {"description": "Landmarks written by napari-oneshot-lmk"},
        "licenses": [],
        "images": [image for image, _ in written],
        "annotations": [annotation for _, annotation in written],
        "categories": [{**category, "keypoints": list(names), "skeleton": []}],
    }
    write_json(path, document)


def _written(number: int, landmarks: Landmarks, names: Sequence[str]) -> tuple[Object, Object]:
    """Return an image and its annotation."""
    geometry = landmarks.geometry
    if geometry is None:
        what = f"COCO states the size of each image, but that of {landmarks.image!r} is unknown"
        raise OutputError(what, remedy="convert it together with its image (--image, --images)")
    height, width = geometry.image_shape_yx
    size = {"width": width, "height": height}
    image = {"id": number, "file_name": landmarks.image, **size, OURS: values.note(landmarks)}
    places = {point.name: point.position_yx for point in landmarks.placed}
    keypoints: list[float] = []
    for name in names:
        y, x = places.get(name) or (0, 0)
        keypoints += [x, y, VISIBLE if name in places else NOT_LABELLED]
    annotation = {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": len(places),
        "bbox": [0, 0, width, height],
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [],
        OURS: {"points": [point.to_json() for point in landmarks]},
    }
    return image, annotation


# -- reading --------------------------------------------------------------------


def read_coco(path: Path, context: ReadContext) -> tuple[Landmarks, ...]:
    """Read every image that has an annotation with keypoints."""
    document = read_json(path, context.tell)
    if isinstance(document, dict) and isinstance(document.get("markups"), list):
        raise LandmarkError("is a Slicer markups file", remedy="let its name end in .mrk.json")
    parts = ("images", "annotations", "categories")
    found = [document.get(part) for part in parts] if isinstance(document, dict) else [None]
    if not all(isinstance(part, list) for part in found):
        what = f"is no COCO keypoints file: it needs the lists {', '.join(parts)}"
        raise LandmarkError(what, remedy=_REMEDY)
    images = values.by_identifier(document["images"], "image")
    categories = values.by_identifier(document["categories"], "category")
    annotations: dict[str, tuple[str, Object, list[_Position]]] = {}
    for number, value in enumerate(document["annotations"], start=1):
        where = f"annotation {number}"
        annotation = mapping(value, where)
        if not annotation.get("keypoints"):
            continue
        key = values.identifier(annotation.get("image_id"), f"{where}: image_id")
        if key not in images:
            what = f"{where}: image {key} is not among its images"
            raise LandmarkError(what, remedy="add the image or remove the annotation")
        positions = _positions(annotation, where)
        if key in annotations:
            # A box without keypoints is written with keypoints that are all 0.
            if not any(positions):
                continue
            if any(annotations[key][2]):
                raise LandmarkError(
                    f"{where}: image {images[key].get('file_name', key)!r} has "
                    "several annotations with keypoints",
                    remedy="keep one, there is one set of landmarks for each image",
                )
        annotations[key] = (where, annotation, positions)
    if not annotations:
        remedy = "save it as COCO keypoints, not as boxes or outlines"
        raise LandmarkError("holds no annotation with keypoints", remedy=remedy)
    annotated = [(key, image) for key, image in images.items() if key in annotations]
    return tuple(_landmarks(k, im, *annotations[k], categories, context) for k, im in annotated)


def _landmarks(
    key: str,
    image: Object,
    where: str,
    annotation: Object,
    positions: list[_Position],
    categories: Mapping[str, Object],
    context: ReadContext,
) -> Landmarks:
    name = text(image.get("file_name"), f"image {key}: file_name")
    ours = mapping(image.get(OURS) or {}, OURS)
    listed = mapping(annotation.get(OURS) or {}, OURS).get("points") or []
    noted = [mapping(each, OURS) for each in values.sequence(listed, OURS)]
    category = _category(annotation, where, categories)
    names = _names(where, category, context.names, len(positions))
    points = _points(dict(zip(names, positions, strict=True)), noted)
    if not noted:
        points, zeros = without_zeros(points)
        if zeros:
            context.tell(f"{zeros} keypoints of image {name!r} at 0, 0 are taken for not placed")
    given = context.geometry_of(name)
    geometry = values.noted_geometry(ours) or _geometry(f"image {key}", image, given)
    return Landmarks(points, name, geometry, values.noted_provenance(ours))


def _category(annotation: Object, where: str, categories: Mapping[str, Object]) -> Object:
    stated = annotation.get("category_id")
    if stated is None and len(categories) <= 1:
        # Only one can be meant.
        return next(iter(categories.values()), {})
    key = values.identifier(stated, f"{where}: category_id")
    if key not in categories:
        raise LandmarkError(
            f"{where}: category {key} is not among its categories, so the keypoints have no names",
            remedy="add the category or correct category_id",
        )
    return categories[key]


def _geometry(where: str, image: Object, given: Geometry | None) -> Geometry | None:
    # Programs that do not know the size write nothing, null or 0.
    if not image.get("height") or not image.get("width"):
        return given
    height = values.whole_number(image["height"], f"{where}: height")
    stated = Geometry((height, values.whole_number(image["width"], f"{where}: width")))
    # The given one knows more, where it is about the same grid.
    return given if given and given.image_shape_yx == stated.image_shape_yx else stated


def _points(positions: dict[str, _Position], noted: Sequence[Object]) -> tuple[Landmark, ...]:
    """Return the landmarks of an annotation; what we noted of them, unless it was changed."""
    read = {}
    for name, position_yx in positions.items():
        if position_yx in PLACEHOLDERS and not noted:
            position_yx = None
        state = State.SKIPPED if position_yx is None else State.PLACED
        read[name] = Landmark(name, position_yx, state)
    with values.noted_by_us():
        ours = [Landmark.from_json(each) for each in noted]
    # A keypoint overrides what was noted; the category may name landmarks that were
    # not on this image's list.
    kept = [
        unless_moved(p, read[p.name].position_yx, _UNMOVED_PX) if p.name in read else p
        for p in ours
    ]
    listed = {point.name for point in ours}
    added = [p for p in read.values() if p.name not in listed and (p.position_yx or not ours)]
    return (*kept, *added)


def _names(where: str, category: Object, known_names: Sequence[str], count: int) -> list[str]:
    """Return the category's names, else the known ones where they fit, else numbers."""
    stated = values.sequence(category.get("keypoints") or [], "the category's keypoints")
    names = [text(name, "a keypoint of the category").strip() for name in stated]
    if not names:
        fitting = len(known_names) == count
        return list(known_names) if fitting else [str(n + 1) for n in range(count)]
    if len(names) != count:
        what = f"{where} has {count} keypoints, its category names {len(names)}"
        raise LandmarkError(what, remedy="make them agree")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LandmarkError(f"the category names the keypoint {twice!r} twice", remedy="rename one")
    return names


def _positions(annotation: Object, where: str) -> list[_Position]:
    """Return (row, column) of each keypoint, None where it is not labelled."""
    numbers = values.sequence(annotation["keypoints"], f"{where}: keypoints")
    if len(numbers) % 3:
        what = f"{where} has {len(numbers)} numbers for its keypoints, not three each"
        raise LandmarkError(what, remedy=_REMEDY)
    triples = zip(*[iter(numbers)] * 3, strict=True)
    return [_position(f"{where}: keypoint {n}", *xyv) for n, xyv in enumerate(triples, 1)]


def _position(what: str, x: Any, y: Any, v: Any) -> _Position:
    if values.is_nothing(v):
        # Without a v, a keypoint is labelled if it has a position.
        labelled = not (values.is_nothing(x) and values.is_nothing(y))
    else:
        labelled = values.number(v, f"{what}: v") > NOT_LABELLED
    if not labelled:
        return None
    return values.number(y, f"{what}: y"), values.number(x, f"{what}: x")


def _recognise(path: Path) -> bool:
    # The words may stand behind a long list of images.
    try:
        content = decode_anyway(path.read_bytes())
    except OSError:
        return False
    words = ('"images"', '"annotations"', '"categories"', '"keypoints"')
    return all(word in content for word in words)


COCO_JSON = LandmarkFormat(
    "COCO keypoints", ".json", _recognise, read_coco, write_coco, shared=True
)
