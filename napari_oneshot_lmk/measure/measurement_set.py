"""A set of measurements in a file that a user may edit, and its table over many images."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_oneshot_lmk.errors import SourceError, UsageError
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.measurement import Measurement, measure
from napari_oneshot_lmk.storage.atomic import atomic_write

if TYPE_CHECKING:
    import pandas as pd

SETS = ("lateral_cephalogram",)
"""The sets that come with the package, files in ``sets/``."""


class Tracing(BaseModel):
    """A line that is drawn through landmarks, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    points: tuple[str, ...] = Field(min_length=2)


class MeasurementSet(BaseModel):
    """Measurements in the order in which they are shown, and lines that are drawn beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    measurement: tuple[Measurement, ...] = Field(min_length=1)
    tracing: tuple[Tracing, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> MeasurementSet:
        before: set[str] = set()
        for each in self.measurement:
            if each.name in before:
                raise ValueError(f"{each.name} stands twice")
            unknown = [name for name in each.of if name not in before]
            if unknown:
                raise ValueError(f"{each.name} is of {unknown[0]}, which does not stand above it")
            before.add(each.name)
        return self

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of all landmarks that are measured, each once."""
        return tuple(dict.fromkeys(name for each in self.measurement for name in each.points))

    def with_measurement(self, added: Measurement) -> MeasurementSet:
        """Return the set with one more measurement at its end.

        Raises
        ------
        UsageError
            If it has one of that name, or the new one is a difference of others than it has.
        """
        return self._checked((*self.measurement, added))

    def without(self, name: str) -> MeasurementSet:
        """Return the set without a measurement.

        Raises
        ------
        UsageError
            If it is the only one, or another one is a difference of it.
        """
        return self._checked(tuple(each for each in self.measurement if each.name != name))

    def _checked(self, measurements: tuple[Measurement, ...]) -> MeasurementSet:
        try:
            return MeasurementSet(title=self.title, measurement=measurements, tracing=self.tracing)
        except ValidationError as error:
            raise UsageError(first_problem(error)) from error

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the set as a TOML file that `load` reads; comments of another file are lost.

        Raises
        ------
        OutputError
            If it cannot be written, or there is a file and ``overwrite`` is false.
        """
        with atomic_write(Path(path), overwrite=overwrite) as partial:
            partial.write_text("\n".join(self._lines()) + "\n", encoding="utf-8")

    def _lines(self) -> Iterator[str]:
        yield f"title = {_toml(self.title)}"
        for key in ("measurement", "tracing"):
            for each in getattr(self, key):
                yield f"\n[[{key}]]"
                values = each.model_dump(mode="json", exclude_defaults=True)
                yield from (f"{name} = {_toml(value)}" for name, value in values.items())

    @classmethod
    def load(cls, name_or_path: str | Path) -> MeasurementSet:
        """Read a set that comes with the package, by name, or a user's file.

        Raises
        ------
        UsageError
            If there is none, or something in it cannot be.
        """
        if str(name_or_path) in SETS:
            return cls.model_validate(tomllib.loads(shipped_set(str(name_or_path))))
        path = Path(name_or_path)
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        except OSError as error:
            # "foo" may be a wrong choice, "foo.toml" is a file that is not there.
            raise (SourceError if path.suffix else UsageError)(
                f"is neither a set of measurements ({', '.join(SETS)}) nor a file that can be "
                f"read ({error.strerror or error})",
                file=path,
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SourceError(f"is not a TOML file ({error})", file=path) from error
        except ValidationError as error:
            raise SourceError(first_problem(error), file=path) from error


def shipped_set(name: str) -> str:
    """Return the file of one of `SETS`, to be copied and changed."""
    path = files("napari_oneshot_lmk.measure") / "sets" / f"{name}.toml"
    return path.read_text(encoding="utf-8")


def _toml(value: Any) -> str:
    """Write a text, a number, a list or a table of them; JSON and TOML agree on the former."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    # JSON lets one control character stand that TOML does not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def first_problem(error: ValidationError) -> str:
    """Say in a few words what is wrong with a set or a measurement."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said


def measurement_table(
    images: Sequence[Landmarks],
    chosen: MeasurementSet,
    spacing_mm_yx: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Measure all images, with a spacing instead of their own where one is given.

    Returns
    -------
    DataFrame
        One row per image and measurement: image, measurement, value, unit, norm_mean,
        norm_sd, deviation (from the norm, in the unit), deviation_sd (in its standard
        deviations) and missing, which says why there is no value.
    """
    import pandas as pd

    rows = []
    for landmarks in images:
        for value in measure(landmarks, chosen.measurement, spacing_mm_yx):
            norm = value.measurement.norm
            rows.append(
                {
                    "image": landmarks.image,
                    "measurement": value.measurement.name,
                    "value": value.value,
                    "unit": value.unit,
                    "norm_mean": None if norm is None else norm.mean,
                    "norm_sd": None if norm is None else norm.sd,
                    "deviation": value.deviation,
                    "deviation_sd": value.deviation_sd,
                    "missing": value.missing,
                }
            )
    return pd.DataFrame(rows)


def one_row_per_image(table: pd.DataFrame) -> pd.DataFrame:
    """Return a `measurement_table` with a column for each measurement and unit.

    Measurements that no image has a value for are left out.
    """
    known = table[table["value"].notna()]
    titles = known["measurement"] + " [" + known["unit"] + "]"
    wide = known.assign(title=titles).pivot_table("value", "image", "title", sort=False)
    return wide.reindex(table["image"].drop_duplicates())
