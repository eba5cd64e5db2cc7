"""``oneshot-lmk measure``: distances, angles and ratios between landmarks, for all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import (
    print_info,
    print_json,
    print_table,
    print_text,
    print_warning,
)
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import (
    AsJson,
    Overwrite,
    Slice,
    SpacingText,
    option,
    spacing_from,
)
from napari_oneshot_lmk.cli.report import Form, OneFile, PageOptions, SetName, named_sources
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.measure.page_format import PageFormat

if TYPE_CHECKING:
    import pandas as pd

    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.measure.measurement_set import MeasurementSet

SHOWN_IMAGES = 3
"""More are in the file."""


@handle_errors
def measure_landmarks(
    landmarks: Annotated[
        Path | None, typer.Argument(metavar="LANDMARKS", help="Landmarks of one or many images.")
    ] = None,
    chosen: SetName = "lateral_cephalogram",
    out: Annotated[Path | None, option("FILE.csv", "Where the table goes.")] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="One row per image instead of one per value.")
    ] = False,
    print_set: Annotated[
        bool, typer.Option("--print-set", help="Print the set's file, to be changed, and end.")
    ] = False,
    pages: Annotated[
        Path | None,
        typer.Option("--report", metavar="FOLDER", help="Write a page per image; see --images."),
    ] = None,
    images: Annotated[
        str | None, option("FOLDER|GLOB", "Where the images are that --report draws.")
    ] = None,
    form: Form = PageFormat.PDF,
    one_file: OneFile = False,
    spacing: SpacingText = None,
    slice_index: Slice = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure distances, angles and ratios between landmarks.

    Lengths are in millimetres where the file or --spacing says the spacing, else in
    pixels. What cannot be measured is listed with the reason. --report writes a
    page per image: picture, points, tracing, measurements with norms.
    """
    from napari_oneshot_lmk.landmarks.files import read_landmarks
    from napari_oneshot_lmk.measure.measurement_set import SETS, MeasurementSet, shipped_set
    from napari_oneshot_lmk.storage.atomic import check_writable

    spacing_mm_yx = spacing_from(spacing)
    if out is not None and pages is not None:
        raise UsageError(
            "--out and --report were both given",
            remedy="leave out --out: the table is in the report's folder, too",
        )
    if out is not None:
        check_writable(out, overwrite=overwrite)
    definitions = MeasurementSet.load(chosen)
    if print_set:
        text = shipped_set(chosen) if chosen in SETS else Path(chosen).read_text("utf-8-sig")
        print_text(text)
        return
    if landmarks is None:
        raise UsageError("there are no landmarks to measure", remedy="name a landmark file")
    found = read_landmarks(landmarks, tell=print_warning)
    if pages is None:
        TableOptions(out, wide, overwrite, as_json).report(found, definitions, spacing_mm_yx)
        return
    among = [] if images is None else [images]
    sources = named_sources(found, among, spacing_mm_yx, slice_index, landmarks)
    PageOptions(pages, form, one_file, overwrite, as_json).write(sources, definitions, [])


@dataclass(frozen=True)
class TableOptions:
    """Where a table of measurements goes, and how it looks."""

    out: Path | None
    wide: bool
    overwrite: bool
    as_json: bool

    def report(
        self,
        images: Sequence[Landmarks],
        definitions: MeasurementSet,
        spacing_mm_yx: tuple[float, float] | None = None,
    ) -> None:
        """Measure images, print the table and write it."""
        from napari_oneshot_lmk.measure.measurement_set import measurement_table, one_row_per_image
        from napari_oneshot_lmk.storage.atomic import atomic_write

        table = measurement_table(images, definitions, spacing_mm_yx)
        if self.as_json:
            print_json(table.astype(object).where(table.notna(), None).to_dict("records"))
        else:
            print_measurements(table, definitions)
        if self.out is not None:
            written = one_row_per_image(table) if self.wide else table.set_index("image")
            with atomic_write(self.out, overwrite=self.overwrite) as partial:
                written.to_csv(partial, float_format="%.4f")
            print_info(f"Written to {self.out}")


def print_measurements(table: pd.DataFrame, definitions: MeasurementSet) -> None:
    """Print the values of the first images, and what could not be measured."""
    shown = list(table["image"].drop_duplicates()[:SHOWN_IMAGES])
    few = table[table["image"].isin(shown) & table["value"].notna()]
    rows = []
    for each in definitions.measurement:
        values = few[few["measurement"] == each.name].set_index("image")
        if not len(values):
            continue
        cells = [
            f"{values.loc[image, 'value']:.1f} {values.loc[image, 'unit']}"
            if image in values.index
            else "–"
            for image in shown
        ]
        norm = f"{each.norm.mean:g}" if each.norm else ""
        if each.norm and each.norm.sd is not None:
            norm += f" ± {each.norm.sd:g}"
        rows.append([each.name, *cells, norm])
    print_table(definitions.title or "Measurements", ["", *shown, "norm"], rows)
    more = table["image"].nunique() - len(shown)
    if more:
        print_info(f"and {more} more image{'s' if more != 1 else ''}; --out writes all of them")
    missing = table[table["value"].isna()].groupby("measurement", sort=False)["missing"]
    for name, reasons in missing:
        images = f"{len(reasons)} image{'s' if len(reasons) != 1 else ''}"
        print_warning(f"{name}: {reasons.iloc[0]} ({images}).")
