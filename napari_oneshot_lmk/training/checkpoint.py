"""A training at a moment, on disk: safetensors and JSON, never pickle.

Checkpoints are numbered folders. A new one is written under a hidden name,
renamed as a whole, and only then is the one before it deleted: whenever the
process dies, the newest whole one is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.training.run_folder import NetworkFolder, RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from napari_oneshot_lmk.detection.model import TrainedModel

SCHEMA_VERSION = 1
STATE_FILE = "state.json"
TENSORS_FILE = "tensors.safetensors"
_KIND = "__kind__"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that a training needs to go on as if it had never been interrupted.

    Parameters
    ----------
    epoch : int
        Epochs that have ended.
    step : int
        Steps of the optimiser so far.
    tensors : dict of str to Tensor
        Networks, optimisers, generators.
    state : dict
        The rest, as JSON holds it. See `pack` for anything nested.
    """

    epoch: int
    step: int
    tensors: dict[str, Tensor] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write it as a new numbered folder in ``folder``, and delete older ones.

        Raises
        ------
        OutputError
            If there is no room, or the place cannot be written to.
        """
        older = _numbered(folder)
        place = folder / f"{max(older, default=0) + 1:08d}"
        content = {
            "schema_version": SCHEMA_VERSION,
            "epoch": self.epoch,
            "step": self.step,
            "state": self.state,
        }
        with atomic_write(place, folder=True) as partial:
            save_file(_plain(self.tensors), partial / TENSORS_FILE)
            text = json.dumps(content, indent=1)
            (partial / STATE_FILE).write_text(text + "\n", encoding="utf-8")
        for path in older.values():
            shutil.rmtree(path)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint | None:
        """Read the newest checkpoint of a folder, to the CPU; None if there is none.

        Raises
        ------
        ModelError
            If it is damaged, or a newer version of this program wrote it.
        """
        found = _numbered(folder)
        if not found:
            return None
        place = found[max(found)]
        try:
            content = json.loads((place / STATE_FILE).read_text(encoding="utf-8"))
            version = int(content["schema_version"])
            if version > SCHEMA_VERSION:
                raise ModelError(
                    f"the checkpoint was written by a newer version of this program ({version})",
                    file=place,
                    remedy="update napari-oneshot-lmk",
                )
            tensors = load_file(place / TENSORS_FILE)
            return cls(int(content["epoch"]), int(content["step"]), tensors, dict(content["state"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(
                f"the checkpoint is damaged ({error})",
                file=place,
                remedy="start the training anew with --overwrite",
            ) from error


def save_part(path: Path, tensors: Mapping[str, Tensor], epoch: int) -> None:
    """Write the parameters of a network that is done, and the epoch that was kept.

    Raises
    ------
    OutputError
        If there is no room, or the place cannot be written to.
    """
    with atomic_write(path, overwrite=True) as partial:
        save_file(_plain(tensors), partial, {"epoch": str(epoch)})


def load_part(path: Path) -> dict[str, Tensor]:
    """Read what `save_part` wrote, to the CPU.

    Raises
    ------
    ModelError
        If it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"a network that was done is missing or damaged ({error})",
            file=path,
            remedy="start the training anew with --overwrite",
        ) from error


def pack(value: Any, name: str = "value") -> tuple[dict[str, Tensor], Any]:
    """Split nested values, such as an optimiser's ``state_dict()``, into tensors and JSON.

    Parameters
    ----------
    value : Any
        Dicts (also with whole numbers as keys), lists, tuples, tensors, arrays,
        numbers, strings, None.
    name : str
        The tensors' names begin with it.

    Returns
    -------
    dict of str to Tensor
        All tensors and arrays in it.
    Any
        The rest; `unpack` joins both again.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _split(value, name, tensors)


def unpack(tensors: Mapping[str, Tensor], rest: Any) -> Any:
    """Join what `pack` has split."""
    if isinstance(rest, list):
        return [unpack(tensors, item) for item in rest]
    if not isinstance(rest, dict):
        return rest
    kind = rest[_KIND]
    if kind == "tensor":
        return tensors[rest["name"]]
    if kind == "array":
        return tensors[rest["name"]].numpy()
    items = [unpack(tensors, item) for item in rest["items"]]
    if kind == "tuple":
        return tuple(items)
    return dict(zip(rest["keys"], items, strict=True))


def _split(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value
        return {_KIND: "tensor", "name": name}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(value)
        return {_KIND: "array", "name": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        items = [_split(v, f"{name}.{k}", tensors) for k, v in value.items()]
        return {_KIND: "dict", "keys": list(value), "items": items}
    if isinstance(value, list | tuple):
        items = [_split(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {_KIND: "tuple", "items": items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}, which a checkpoint refuses")


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as safetensors wants them: in main memory, none twice."""
    seen: set[int] = set()
    prepared: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        prepared[name] = plain.clone() if storage in seen else plain
        seen.add(storage)
    return prepared


def _numbered(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    return {
        int(path.name): path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()
    }


class CheckpointSink(Protocol):
    """Keeps what the loop hands over."""

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""

    def save_part(self, index: int, state: dict[str, Tensor], epoch: int) -> None:
        """Keep the network of a landmark that is done."""

    def load_part(self, index: int) -> dict[str, Tensor]:
        """Return the network of a landmark that was done before."""

    def save_model(self, model: TrainedModel) -> None:
        """Keep the finished model."""


class RunCheckpoints:
    """The `CheckpointSink` in a run's folder, or of one network where each has its own."""

    def __init__(self, run: RunFolder, network: NetworkFolder | None = None) -> None:
        self._run = run
        self._place = (network or run).checkpoint_path

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint; None at the beginning."""
        return Checkpoint.load(self._place)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the one before."""
        checkpoint.save(self._place)

    def save_part(self, index: int, state: dict[str, Tensor], epoch: int) -> None:
        """Keep the network of a landmark that is done."""
        save_part(self._run.part_path(index), state, epoch)

    def load_part(self, index: int) -> dict[str, Tensor]:
        """Return the network of a landmark that was done before."""
        return load_part(self._run.part_path(index))

    def save_model(self, model: TrainedModel) -> None:
        """Keep a model in place of the one before."""
        with self._run.new_model() as folder:
            model.save(folder)
