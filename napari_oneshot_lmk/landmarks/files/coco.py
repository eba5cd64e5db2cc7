"""Landmarks as COCO keypoints, ``.json``: any number of images in one file.

Fields are those of COCO's data format for keypoint detection. A keypoint is the
zero-based index of a pixel, so whole numbers are pixel centres as they are ours;
readers that measure from the image's corner (detectron2) add the half themselves.
The box of an instance is the whole image: it shows one subject, and a box drawn
around few landmarks would be empty or cut it off.

What COCO has no field for stands under ``napari_oneshot_lmk`` beside the fields
of image and annotation, where other readers pass over it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError, OneshotError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.coco_annotation import (
    NOT_LABELLED,
    VISIBLE,
    landmarks_of,
)
from napari_oneshot_lmk.landmarks.files.landmark_format import Known, LandmarkFormat
from napari_oneshot_lmk.landmarks.files.text_file import read_json
from napari_oneshot_lmk.landmarks.landmark import Landmarks
from napari_oneshot_lmk.landmarks.record import (
    geometry_from_record,
    geometry_to_record,
    landmark_to_record,
    provenance_from_record,
)

OURS = "napari_oneshot_lmk"
_REMEDY = "save it again as COCO keypoints"

# -- writing ------------------------------------------------------------------


def write_coco(
    path: Path, images: Collection[Landmarks], source: Path | None = None
) -> None:
    """Write images, one annotation each, and one category with all names.

    Raises
    ------
    OutputError
        If the size of an image is unknown: COCO's images have one.
    """
    names = tuple(dict.fromkeys(name for la in images for name in la.names))
    document = {
        "info": {"description": "Landmarks written by napari-oneshot-lmk"},
        "licenses": [],
        "images": [_image(number, la) for number, la in enumerate(images, 1)],
        "annotations": [
            _annotation(number, la, names) for number, la in enumerate(images, 1)
        ],
        "categories": [
            {
                "id": 1,
                "name": "landmarks",
                "supercategory": "anatomy",
                "keypoints": list(names),
                "skeleton": [],
            }
        ],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _image(number: int, landmarks: Landmarks) -> dict[str, Any]:
    geometry = landmarks.geometry
    if geometry is None:
        raise OutputError(
            f"COCO states the size of each image, but that of {landmarks.image!r} is "
            "unknown",
            remedy="convert it together with its image (--image, --images)",
        )
    height, width = geometry.image_shape_yx
    return {
        "id": number,
        "file_name": landmarks.image,
        "width": width,
        "height": height,
        OURS: {
            "geometry": geometry_to_record(geometry),
            "provenance": asdict(landmarks.provenance),
        },
    }


def _annotation(
    number: int, landmarks: Landmarks, names: Sequence[str]
) -> dict[str, Any]:
    assert landmarks.geometry is not None  # its image was written before
    height, width = landmarks.geometry.image_shape_yx
    keypoints: list[float] = []
    for name in names:
        position_yx = landmarks[name].position_yx if name in landmarks else None
        if position_yx is None:
            keypoints += [0, 0, NOT_LABELLED]
        else:
            keypoints += [position_yx[1], position_yx[0], VISIBLE]
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": len(landmarks.placed),
        "bbox": [0, 0, width, height],
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [],
        OURS: {"points": [landmark_to_record(point) for point in landmarks]},
    }


# -- reading ------------------------------------------------------------------


def read_coco(path: Path, known: Known) -> tuple[Landmarks, ...]:
    """Read every image that has an annotation with keypoints.

    Raises
    ------
    LandmarkError
        If it is no such file, or an image has several such annotations.
    """
    document = read_json(path)
    if isinstance(document, dict) and isinstance(document.get("markups"), list):
        raise LandmarkError(
            "is a Slicer markups file",
            file=path,
            remedy="let its name end in .mrk.json",
        )
    parts = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(
        isinstance(document.get(part), list) for part in parts
    ):
        raise LandmarkError(
            f"is no COCO keypoints file: it needs the lists {', '.join(parts)}",
            file=path,
            remedy=_REMEDY,
        )
    try:
        return _read(document, known)
    except OneshotError as error:
        raise error.about(path) from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LandmarkError(
            f"does not follow COCO's keypoints format ({error!r})",
            file=path,
            remedy=_REMEDY,
        ) from error


def _read(document: Mapping[str, Any], known: Known) -> tuple[Landmarks, ...]:
    categories = {category["id"]: category for category in document["categories"]}
    of_image: dict[Any, Mapping[str, Any]] = {}
    for number, annotation in enumerate(document["annotations"], start=1):
        if not annotation.get("keypoints"):
            continue
        if annotation["image_id"] in of_image:
            raise LandmarkError(
                f"annotation {number}: image {annotation['image_id']!r} has several "
                "annotations with keypoints",
                remedy="keep one, there is one set of landmarks for each image",
            )
        of_image[annotation["image_id"]] = annotation
    if not of_image:
        raise LandmarkError(
            "holds no annotation with keypoints",
            remedy="save it as COCO keypoints, not as boxes or outlines",
        )
    found = []
    for image in document["images"]:
        annotation = of_image.pop(image["id"], {})
        if annotation:
            name = str(image["file_name"])
            ours = image.get(OURS, {})
            found.append(
                Landmarks(
                    landmarks_of(
                        annotation,
                        categories.get(annotation.get("category_id"), {}),
                        annotation.get(OURS, {}).get("points", []),
                        known.names,
                    ),
                    name,
                    _geometry(image, ours, known.geometry_of(name)),
                    provenance_from_record(ours.get("provenance", {})),
                )
            )
    if of_image:
        raise LandmarkError(
            f"annotates image {next(iter(of_image))!r}, which is not among its images",
            remedy="add the image or remove the annotation",
        )
    return tuple(found)


def _geometry(
    image: Mapping[str, Any], ours: Mapping[str, Any], given: Geometry | None
) -> Geometry | None:
    if "geometry" in ours:
        return geometry_from_record(ours["geometry"])
    if "height" not in image or "width" not in image:
        return given
    stated = Geometry((int(image["height"]), int(image["width"])))
    # The given one knows more, where it is about the same grid.
    same = given is not None and given.image_shape_yx == stated.image_shape_yx
    return given if same else stated


def _sniff(path: Path) -> bool:
    # The words may stand behind a long list of images.
    try:
        data = path.read_bytes()
    except OSError:
        return False
    words = (b'"images"', b'"annotations"', b'"categories"', b'"keypoints"')
    return all(word in data for word in words)


COCO_JSON = LandmarkFormat(
    ".json", "COCO keypoints", read_coco, write_coco, _sniff, shared=True
)
