"""Checkpoints of a training: numbered folders of safetensors and JSON, never pickle.

A new one is written under a hidden name, renamed as a whole, and only then is the one before
it deleted: whenever the process dies, the newest whole one is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.training.distributed.group import ALONE, ProcessGroup
from napari_oneshot_lmk.training.run_folder import NetworkFolder, RunFolder

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.model import TrainedModel

SECONDS_BETWEEN_CHECKPOINTS = 60.0
"""Within an epoch; at its end there is always one."""
SCHEMA_VERSION = 1
STATE_FILE = "state.json"
TENSORS_FILE = "tensors.safetensors"
_KIND = "__kind__"
_BEGIN_ANEW = "start the training anew with --overwrite"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that a training needs to go on as if it had never been interrupted.

    ``epoch`` and ``step`` count the epochs that have ended and the optimiser's steps;
    ``tensors`` holds networks, optimisers and generators, ``state`` the rest as JSON. See
    `pack` for nested values.
    """

    epoch: int
    step: int
    tensors: dict[str, Tensor] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write a new numbered folder in ``folder``, and delete older ones."""
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

        Raises `ModelError` if it is damaged, or a newer version of this program wrote it.
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
            what = f"the checkpoint is damaged ({error})"
            raise ModelError(what, file=place, remedy=_BEGIN_ANEW) from error


def _numbered(folder: Path) -> dict[int, Path]:
    paths = folder.iterdir() if folder.is_dir() else ()
    return {int(path.name): path for path in paths if path.name.isdecimal() and path.is_dir()}


def pack(value: Any, name: str = "value") -> tuple[dict[str, Tensor], Any]:
    """Split nested values, such as an optimiser's ``state_dict()``, into tensors and JSON.

    Values are dicts (also with integer keys), lists, tuples, tensors, arrays, numbers, strings
    and None. Returns all tensors and arrays, whose names begin with ``name``, and the rest;
    `unpack` joins both again.
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
    return tuple(items) if kind == "tuple" else dict(zip(rest["keys"], items, strict=True))


def _split(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        tensors[name] = torch.as_tensor(value)
        return {_KIND: "tensor" if isinstance(value, Tensor) else "array", "name": name}
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


def _read_part(path: Path) -> KeptNetwork:
    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        about = file.metadata() or {}
    # Files of earlier versions do not say what the training had made worse.
    worse = tuple(str(name) for name in json.loads(about.get("made_worse", "[]")))
    return KeptNetwork(state, int(about.get("epoch", 0)), worse)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies in main memory: safetensors refuses tensors that share memory."""
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}


class KeptNetwork(NamedTuple):
    """A network as its training keeps it."""

    state: Mapping[str, Tensor]  # parameters, on the CPU
    epoch: int  # that it is of
    made_worse: tuple[str, ...] = ()  # of its landmarks, those that instant detection sees better


class CheckpointSink(Protocol):
    """Keeps what the training loop hands over: checkpoints, finished networks, the model."""

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint; None at the beginning."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the one before."""

    def save_part(self, index: int, network: KeptNetwork) -> None:
        """Keep the finished network of a landmark."""

    def load_part(self, index: int) -> KeptNetwork:
        """Return the network of a landmark that was finished before."""

    def save_model(self, model: TrainedModel) -> None:
        """Keep the finished model in place of the one before."""


class RunCheckpoints:
    """The `CheckpointSink` in a run's folder, written by the main process of a group.

    With ``network``, checkpoints are in that network's own folder.
    """

    def __init__(
        self, run: RunFolder, network: NetworkFolder | None = None, group: ProcessGroup = ALONE
    ) -> None:
        self._run, self._group = run, group
        self._place = (network or run).checkpoint_path

    def load(self) -> Checkpoint | None:
        """Read the newest checkpoint in the main process, for all."""
        is_main = self._group.is_main
        return self._group.from_main(Checkpoint.load(self._place) if is_main else None)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a numbered folder."""
        if self._group.is_main:
            checkpoint.save(self._place)

    def save_part(self, index: int, network: KeptNetwork) -> None:
        """Write a file of safetensors."""
        if self._group.is_main:
            about = {"epoch": str(network.epoch), "made_worse": json.dumps(network.made_worse)}
            with atomic_write(self._run.part_path(index), overwrite=True) as partial:
                save_file(_plain(network.state), partial, about)

    def load_part(self, index: int) -> KeptNetwork:
        """Read such a file in the main process, for all; raise `ModelError` if damaged."""
        path = self._run.part_path(index)
        try:
            return self._group.from_main(
                _read_part(path) if self._group.is_main else KeptNetwork({}, 0)
            )
        except (OSError, SafetensorError, ValueError) as error:
            what = f"a network that was done is missing or damaged ({error})"
            raise ModelError(what, file=path, remedy=_BEGIN_ANEW) from error

    def save_model(self, model: TrainedModel) -> None:
        """Exchange the model's folder as a whole."""
        if self._group.is_main:
            with self._run.new_model() as folder:
                model.save(folder)
