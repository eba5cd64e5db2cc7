"""What the page of an image says: values, norms, tracing, and where all of it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.measure.measurement import Norm, Value, measure
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
from napari_oneshot_lmk.measure.tracing import TracingLine, tracing_lines

NAMED = 8
"""So many landmarks are named in a line, of more only the number."""

Fact = tuple[str, str]
"""A word or two, and what is said of it."""


@dataclass(frozen=True, eq=False)
class Page:
    """All that is drawn on the page of one image."""

    name: str
    """The image's, as a user knows it."""
    title: str
    """Of the set."""
    image: GrayImage
    landmarks: Landmarks
    values: tuple[Value, ...]
    lines: tuple[TracingLine, ...]
    facts: tuple[Fact, ...]
    norms: tuple[Norm, ...]
    """Each source and population once; a value's norm is one of them but for its numbers."""

    def norm_number(self, value: Value) -> int | None:
        """Return which of ``norms`` a value is compared with, from 1; None for none."""
        norm = value.measurement.norm
        return None if norm is None else self.norms.index(_on_meta_device(norm)) + 1


def make_page(
    image: GrayImage,
    landmarks: Landmarks,
    chosen: MeasurementSet,
    *,
    further: Iterable[Fact] = (),
    now: datetime | None = None,
) -> Page:
    """Measure an image and gather what its page says.

    Parameters
    ----------
    image : GrayImage
    landmarks : Landmarks
        In the image's pixels. Their spacing, where they have one, goes before the image's.
    chosen : MeasurementSet
    further : iterable of Fact, optional
        What else is to be said, before the date.
    now : datetime, optional
        When the page is made.

    Raises
    ------
    GeometryError
        If the landmarks were placed on an image of another size.
    """
    landmarks = on_image(landmarks, image)
    geometry = image.geometry if landmarks.geometry is None else landmarks.geometry
    values = measure(landmarks, chosen.measurement)
    norms = [_on_meta_device(v.measurement.norm) for v in values if v.measurement.norm is not None]
    facts = [
        ("Image", _image_fact(image)),
        ("Pixel spacing", _spacing_fact(image, geometry.spacing_mm_yx)),
        *_detection_facts(landmarks),
        *_decision_facts(landmarks),
        *further,
        ("Page made", f"{now or datetime.now():%Y-%m-%d %H:%M}"),
    ]
    return Page(
        landmarks.image or image.name,
        chosen.title or "Measurements",
        image,
        landmarks,
        values,
        tracing_lines(landmarks, chosen),
        tuple(facts),
        tuple(dict.fromkeys(norms)),
    )


def on_image(landmarks: Landmarks, image: GrayImage) -> Landmarks:
    """Return landmarks with the geometry of their image where they lack a spacing.

    A `GeometryError` says if they were placed on an image of another size.
    """
    own = landmarks.geometry
    if own is not None and own.image_shape_yx != image.geometry.image_shape_yx:
        sizes = [" x ".join(map(str, g.image_shape_yx)) for g in (own, image.geometry)]
        raise GeometryError(
            f"the landmarks are on {sizes[0]} pixels, but the image has {sizes[1]}",
            file=landmarks.image or image.name,
            remedy="name the image that they were placed on",
        )
    if own is None or own.spacing_mm_yx is None:
        return landmarks.with_geometry(image.geometry)
    return landmarks


def _on_meta_device(norm: Norm) -> Norm:
    return norm.model_copy(update={"mean": 0.0, "sd": None})


def _image_fact(image: GrayImage) -> str:
    rows, columns = image.geometry.image_shape_yx
    return f"{image.name}, {columns} x {rows} pixels (width x height)"


def _spacing_fact(image: GrayImage, spacing_mm_yx: tuple[float, float] | None) -> str:
    if spacing_mm_yx is None:
        return "unknown: lengths are in pixels"
    text = f"{spacing_mm_yx[0]:.5g} x {spacing_mm_yx[1]:.5g} mm (row x column)"
    if spacing_mm_yx != image.geometry.spacing_mm_yx:
        return f"{text}, stated with the landmarks"
    return f"{text}, {image.spacing_source.explained}" if image.spacing_source else text


def _detection_facts(landmarks: Landmarks) -> list[Fact]:
    made = landmarks.provenance
    if not made.method or made.method == "manual":
        return []
    text = f"{made.method}, template {made.template}" if made.template else made.method
    if made.orientation:
        text += f", image recognised as {made.orientation}"
    return [("Detected by", f"{text}{f', {readable_time(made.created)}' if made.created else ''}")]


def readable_time(text: str) -> str:
    """Write an ISO 8601 time as this computer's clock showed it; other texts stay."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    # Without a zone it is this computer's already.
    return f"{time.astimezone() if time.tzinfo else time:%Y-%m-%d %H:%M}"


_DECISIONS = {
    Source.CORRECTED: "Corrected",
    Source.ACCEPTED: "Accepted",
    Source.PLACED: "Placed",
    Source.DETECTED: "Not looked at",
    None: "Source unknown",
}


def _decision_facts(landmarks: Landmarks) -> list[Fact]:
    """Say of which landmarks somebody has decided what, and who; absent ones by themselves."""
    facts = []
    for source, word in _DECISIONS.items():
        points = [p for p in landmarks if p.source is source and p.state is State.PLACED]
        for author in dict.fromkeys(_author(point, landmarks) for point in points):
            names = [p.name for p in points if _author(p, landmarks) == author]
            unsure = sum(point.unsure for point in points)
            text = _listed(names) + (f"; {unsure} of them unsure" if unsure else "")
            facts.append((f"{word} by {author}" if author else word, text))
    absent = [point.name for point in landmarks if point.state is State.ABSENT]
    missing = [point.name for point in landmarks if point.state is State.SKIPPED]
    facts += [("Absent", _listed(absent))] if absent else []
    return facts + ([("Not placed", _listed(missing))] if missing else [])


def _author(point: Landmark, landmarks: Landmarks) -> str:
    return (point.author or landmarks.provenance.author) if point.is_manual else ""


def _listed(names: Sequence[str]) -> str:
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{len(names)} landmarks: {', '.join(names[:NAMED])}, …"
