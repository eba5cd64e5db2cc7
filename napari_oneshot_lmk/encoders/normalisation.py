"""How an encoder wants its input: what is subtracted, what it is divided by."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from napari_oneshot_lmk.errors import WeightsError

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """Per-channel (value - mean) / std of RGB values in 0..1.

    Parameters
    ----------
    mean, std : tuple of float
        One value each for red, green and blue.
    """

    mean: Triple
    std: Triple

    def __post_init__(self) -> None:
        """Check that three finite values stand in each, and no zero divisor."""
        for values in (self.mean, self.std):
            if len(values) != 3 or not all(math.isfinite(v) for v in values):
                raise WeightsError(f"input normalisation {values} is not three finite numbers")
        if min(self.std) <= 0:
            raise WeightsError(f"input normalisation divides by {self.std}")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Normalisation:
        """Read what a safetensors file says about its input.

        Understands the keys ``mean`` and ``std`` (a JSON list each), or one
        sentence under ``input`` that names a mean and a std of three numbers.
        A file that says nothing has torchvision's weights, hence ImageNet's
        normalisation.

        Raises
        ------
        WeightsError
            If the file says something that cannot be understood.
        """
        if "mean" in metadata or "std" in metadata:
            return cls(_listed(metadata, "mean"), _listed(metadata, "std"))
        if "input" in metadata:
            return cls(_spoken(metadata, "mean"), _spoken(metadata, "std"))
        return IMAGENET

    def to_metadata(self) -> dict[str, str]:
        """Return the entries that `from_metadata` reads."""
        return {"mean": json.dumps(self.mean), "std": json.dumps(self.std)}


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What the weights of torchvision's classification models were trained with."""


def _listed(metadata: Mapping[str, str], key: str) -> Triple:
    try:
        red, green, blue = (float(value) for value in json.loads(metadata[key]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the entry {key!r} of its metadata is not a list of three numbers"
        ) from error
    return red, green, blue


_NUMBER = r"(\d*\.?\d+(?:e-?\d+)?)"


def _spoken(metadata: Mapping[str, str], key: str) -> Triple:
    pattern = rf"\b{key}\b\D*?{_NUMBER}[\s,;]+{_NUMBER}[\s,;]+{_NUMBER}"
    found = re.search(pattern, metadata["input"][:1000], flags=re.IGNORECASE)
    if found is None:
        raise WeightsError(f"the entry 'input' of its metadata names no {key}")
    red, green, blue = (float(value) for value in found.groups())
    return red, green, blue
