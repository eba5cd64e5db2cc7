"""Which predicted image belongs to which image of the truth."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.landmarks.image_names import image_key, spellings, stem
from napari_oneshot_lmk.landmarks.landmarks import Landmarks


@dataclass(frozen=True)
class Pair:
    """The predicted and the true landmarks of one image."""

    predicted: Landmarks
    truth: Landmarks


@dataclass(frozen=True)
class Pairing:
    """Pairs in the order of the truth, and what found no partner.

    Parameters
    ----------
    pairs : tuple of Pair
        One for each image that stands on both sides.
    unmatched_predicted, unmatched_truth : tuple of str
        Image names that stand on one side only.
    """

    pairs: tuple[Pair, ...]
    unmatched_predicted: tuple[str, ...] = ()
    unmatched_truth: tuple[str, ...] = ()


def pair_images(predicted: Sequence[Landmarks], truth: Sequence[Landmarks]) -> Pairing:
    """Pair images by name, and those without the same name by stem.

    Names are the same whatever the form of their accents, the kind of their slashes
    and the case of their ending. A stem is a name without the ending of an image.

    Parameters
    ----------
    predicted, truth : sequence of Landmarks
        One entry an image; ``Landmarks.image`` is the name.

    Raises
    ------
    UsageError
        If a name stands twice on one side, if a stem that is needed could mean
        several images, or if no image stands on both sides.
    """
    predicted_by_name = _by_name(predicted, "predicted")
    truth_by_name = _by_name(truth, "true")
    partner = _same_names(predicted_by_name, truth_by_name)

    predicted_stems = _by_stem(predicted_by_name)
    truth_stems = _by_stem(truth_by_name)
    taken = set(partner.values())
    for name in truth_by_name:
        candidates = predicted_stems.get(stem(name), [])
        if name in partner or not set(candidates) - taken:
            continue
        # An image that already has a partner of the same name still makes its
        # stem ambiguous: "001.jpg" may be the copy of "a/001.jpg" or "b/001.jpg".
        if len(candidates) > 1 or len(truth_stems[stem(name)]) > 1:
            raise UsageError(
                f"{_listed(truth_stems[stem(name)])} of the truth and "
                f"{_listed(candidates)} of the predictions share the name "
                f"{stem(name)!r}, so it is not clear which belong together",
                remedy="write the same file names, with their folders, in both files",
            )
        partner[name] = candidates[0]

    pairs = [
        Pair(predicted_by_name[partner[name]], truth_by_name[name])
        for name in truth_by_name
        if name in partner
    ]
    if not pairs:
        raise UsageError(
            f"no image stands in both files (predicted: "
            f"{_listed(predicted_by_name)}; truth: {_listed(truth_by_name)})",
            remedy="check that the image columns hold the same file names",
        )
    used = set(partner.values())
    return Pairing(
        tuple(pairs),
        tuple(name for name in predicted_by_name if name not in used),
        tuple(name for name in truth_by_name if name not in partner),
    )


def _same_names(predicted: Iterable[str], truth: Iterable[str]) -> dict[str, str]:
    """Pair names that are the same, however they are written."""
    partner: dict[str, str] = {}
    # The same path, then the same path whatever the case of its ending.
    for key in spellings()[:2]:
        taken = set(partner.values())
        free = defaultdict(list)
        for name in predicted:
            if name not in taken:
                free[key(name)].append(name)
        left = [name for name in truth if name not in partner]
        counts = Counter(key(name) for name in left)
        for name in left:
            fitting = free.get(key(name), [])
            if len(fitting) == 1 and counts[key(name)] == 1:
                partner[name] = fitting[0]
    return partner


def find_image(images: Sequence[Landmarks], name: str) -> Landmarks | None:
    """Return the landmarks of the image called ``name``, None where there are none.

    Parameters
    ----------
    images : sequence of Landmarks
        One entry an image.
    name : str
        A file name; the same rules as in `pair_images` hold.

    Raises
    ------
    UsageError
        If several entries share the stem of ``name``.
    """
    by_name = _by_name(images, "given")
    for key in spellings():
        candidates = [each for each in by_name if key(each) == key(name)]
        if len(candidates) > 1:
            raise UsageError(
                f"{_listed(candidates)} all could be the image {name!r}",
                remedy="write its full file name in the image column",
            )
        if candidates:
            return by_name[candidates[0]]
    return None


def _by_name(images: Sequence[Landmarks], side: str) -> dict[str, Landmarks]:
    named: dict[str, Landmarks] = {}
    seen: set[str] = set()
    for landmarks in images:
        if image_key(landmarks.image) in seen:
            raise UsageError(
                f"the {side} landmarks of image {landmarks.image!r} stand twice",
                remedy="keep one of the two",
            )
        seen.add(image_key(landmarks.image))
        named[landmarks.image] = landmarks
    return named


def _by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    stems: dict[str, list[str]] = defaultdict(list)
    for name in names:
        stems[stem(name)].append(name)
    return stems


def _listed(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:most]) or "none"
    return f"{shown}, …" if len(names) > most else shown
