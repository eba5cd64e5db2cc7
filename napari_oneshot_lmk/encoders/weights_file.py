"""Reading VGG19's parameters from a file, without running anything in it."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_oneshot_lmk.encoders.vgg19 import (
    IMAGENET,
    InputNormalisation,
    check_shapes,
    checked_parameters,
    content_sha256,
    parameter_shapes,
)
from napari_oneshot_lmk.errors import WeightsError
from napari_oneshot_lmk.storage.atomic import atomic_write

_ARCHITECTURE = "torchvision.models.vgg19.features"
# A safetensors header of VGG19 has about 3 kB; one that claims more than this
# describes another model, or is no header.
_LARGEST_HEADER = 10_000_000
_FETCH_AGAIN = "fetch the file again"
_PICKLE_REMEDY = "give a safetensors file, or a .pth file that holds tensors and nothing else"


@dataclass(frozen=True, eq=False)
class EncoderWeights:
    """Parameters of VGG19's convolution part and what is known of them."""

    parameters: dict[str, torch.Tensor]
    """In float32, under torchvision's names."""
    normalisation: InputNormalisation
    """That they were trained with."""
    sha256: str
    """Hash of their content, the same for every file format."""
    source: str
    """An address or a path."""
    licence: str = ""
    """As their source states it; empty where it states none."""
    path: Path | None = None
    """The file that they were read from."""


def read_weights(path: Path) -> EncoderWeights:
    """Read a safetensors file, or a ``.pth`` or ``.pt`` file of plain tensors.

    A classifier in it is not read. A file whose name ends in a hash, as torchvision's do
    (``vgg19-dcbb9e9d.pth``), must have that SHA-256.

    Raises
    ------
    WeightsError
        If it is missing, damaged, of another architecture, or holds code.
    """
    path = Path(path).expanduser()
    try:
        if not path.exists():
            raise WeightsError("no such file", remedy="check the path of the weights")
        if not path.is_file():
            raise WeightsError("not a file", remedy="give the weights file itself")
        if path.suffix.lower() in (".pth", ".pt"):
            _check_hash_in_name(path)
            return _from_torch_file(path)
        return _from_safetensors(path)
    except WeightsError as error:
        raise error.about(path) from error.__cause__
    except OSError as error:
        raise WeightsError(f"cannot be read ({error.strerror or error})", file=path) from error


def write_weights(path: Path, weights: EncoderWeights, *, half: bool = False) -> None:
    """Write them as safetensors with all that is known of them, complete or not at all.

    Parameters
    ----------
    path : Path
        Replaced where it exists.
    weights : EncoderWeights
    half : bool
        In half precision; only for what `half_precision` returned.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    metadata = {
        "architecture": _ARCHITECTURE,
        "mean": json.dumps(weights.normalisation.mean),
        "std": json.dumps(weights.normalisation.std),
        "source": weights.source,
        "licence": weights.licence,
        "sha256": weights.sha256,
    }
    parameters = weights.parameters
    if half:
        parameters = {name: value.half() for name, value in parameters.items()}
    with atomic_write(path, overwrite=True) as partial:
        save_file(parameters, partial, metadata=metadata)


def half_precision(weights: EncoderWeights) -> EncoderWeights:
    """Return the weights rounded to half precision, which take half the space in a file.

    The values and the hash are those of float32: rounding twice changes nothing.

    Raises
    ------
    WeightsError
        If a value is too large for half precision.
    """
    rounded = {name: p.half().float() for name, p in weights.parameters.items()}
    if not all(bool(torch.isfinite(p).all()) for p in rounded.values()):
        what = "the encoder's weights hold values that are too large for half precision"
        remedy = "leave --pack out, and keep the file of the weights"
        raise WeightsError(what, file=weights.path, remedy=remedy)
    return replace(weights, parameters=rounded, sha256=content_sha256(rounded))


def _check_hash_in_name(path: Path) -> None:
    """Compare a file's SHA-256 with the first digits, if its name ends in them."""
    expected = re.search(r"-([0-9a-f]{8,64})\.[^.]+$", path.name)
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected[1]):
        begins = f"{found[: len(expected[1])]}, not with {expected[1]}"
        what = f"damaged or incomplete: its SHA-256 begins with {begins}"
        raise WeightsError(what, file=path, remedy=_FETCH_AGAIN)


def _from_safetensors(path: Path) -> EncoderWeights:
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            check_shapes({k: tuple(file.get_slice(k).get_shape()) for k in list(file.keys())})
            tensors = {name: file.get_tensor(name) for name in parameter_shapes()}
            metadata = file.metadata() or {}
    except SafetensorError as error:
        what = f"not a complete safetensors file ({_one_line(error)})"
        raise WeightsError(what, remedy=_FETCH_AGAIN) from error
    return _weights(path, tensors, metadata)


def _check_header(path: Path) -> None:
    """Refuse by its first bytes what is no safetensors file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(9)
    # Pickles of protocol 2 and later begin like this; newer .pth files are zip archives.
    if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise WeightsError("a pickle, not a safetensors file", remedy=_PICKLE_REMEDY)
    if start[:4] == b"PK\x03\x04":
        raise WeightsError("a zip archive, not a safetensors file", remedy=_PICKLE_REMEDY)
    if size < 9 or start[8:] != b"{":
        what = "empty" if size == 0 else "not a safetensors file"
        raise WeightsError(what, remedy="give VGG19's weights as .safetensors or .pth")
    header = int.from_bytes(start[:8], "little")
    if header > min(size - 8, _LARGEST_HEADER):
        claims = f"its header claims {header} bytes and the file has {size}"
        what = f"truncated, or no safetensors file: {claims}"
        raise WeightsError(what, remedy=_FETCH_AGAIN)


def _from_torch_file(path: Path) -> EncoderWeights:
    with path.open("rb") as file:
        archive = file.read(4) == b"PK\x03\x04"
    try:
        # Mapped, so that the classifier's half gigabyte is never read. Files from before
        # 2020 are no archives and cannot be mapped.
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        what = "refused: it holds more than tensors, and opening it could run code"
        raise WeightsError(what, remedy=_PICKLE_REMEDY) from error
    except (MemoryError, OSError):
        raise
    except Exception as error:
        # A damaged or malicious file can fail anywhere in the unpickler.
        raise WeightsError(
            f"damaged, or not a PyTorch file ({_one_line(error)})", remedy=_FETCH_AGAIN
        ) from error
    return _weights(path, _state_dict(loaded), {})


def _state_dict(loaded: Any) -> dict[str, Any]:
    nested = loaded.get("state_dict") if isinstance(loaded, Mapping) else None
    found = nested if isinstance(nested, Mapping) else loaded
    if not isinstance(found, Mapping):
        what = f"holds a {type(found).__name__}, not a table of parameters"
        raise WeightsError(what, remedy="give the weights of torchvision.models.vgg19")
    return {str(name): value for name, value in found.items()}


def _weights(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> EncoderWeights:
    parameters = checked_parameters(tensors)
    sha256 = content_sha256(parameters)
    ours = metadata.get("architecture") == _ARCHITECTURE
    if ours and metadata.get("sha256", sha256) != sha256:
        what = "damaged: its content is not what its own hash says"
        raise WeightsError(what, remedy=_FETCH_AGAIN)
    return EncoderWeights(
        parameters,
        read_normalisation(metadata),
        sha256,
        source=metadata.get("source", str(path)),
        licence=metadata.get("licence", ""),
        path=path.absolute(),
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else f"{text[:117]}..."


def read_normalisation(metadata: Mapping[str, str]) -> InputNormalisation:
    """Return the normalisation that the metadata of a safetensors file state.

    They have the keys ``mean`` and ``std`` (a JSON list each), or one sentence under
    ``input`` that names a mean and a std of three numbers. A file that states nothing has
    torchvision's weights, hence ImageNet's normalisation.

    Raises
    ------
    WeightsError
        If it is not understood.
    """
    if "mean" in metadata or "std" in metadata:
        read = _read_list
    elif "input" in metadata:
        read = _read_sentence
    else:
        return IMAGENET
    return InputNormalisation(read(metadata, "mean"), read(metadata, "std"))


def _read_list(metadata: Mapping[str, str], key: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(value) for value in json.loads(metadata[key]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the entry {key!r} of its metadata is not a list of three numbers"
        ) from error
    return red, green, blue


_NUMBER = r"(\d*\.?\d+(?:e-?\d+)?)"


def _read_sentence(metadata: Mapping[str, str], key: str) -> tuple[float, float, float]:
    pattern = rf"\b{key}\b\D*?{_NUMBER}[\s,;]+{_NUMBER}[\s,;]+{_NUMBER}"
    found = re.search(pattern, metadata["input"][:1000], flags=re.IGNORECASE)
    if found is None:
        raise WeightsError(f"the entry 'input' of its metadata names no {key}")
    red, green, blue = (float(value) for value in found.groups())
    return red, green, blue
