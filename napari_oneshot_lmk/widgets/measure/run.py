"""The table and the pages of all images, written in another thread."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.widgets import measure_texts, texts
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
    from napari_oneshot_lmk.measure.page_files import PageSource

Steps = Generator[Any, None, tuple[str, bool]]


class MeasureRun(WorkerRun):
    """Measures many images; ``ended`` tells how many, or what went wrong."""

    cancelled_text = measure_texts.STOPPED

    def write_table(
        self, images: Sequence[Landmarks], chosen: MeasurementSet, path: Path, *, wide: bool
    ) -> None:
        """Write a table, one row per image if ``wide``, else one per value."""
        self._work(lambda: self._table(images, chosen, path, wide))

    def write_pages(
        self, sources: Sequence[PageSource], chosen: MeasurementSet, folder: Path, form: str
    ) -> None:
        """Write pages: "pdf" or "png" per image, or "one" PDF of all."""
        self._work(lambda: self._pages(sources, chosen, folder, form))

    def _table(
        self, images: Sequence[Landmarks], chosen: MeasurementSet, path: Path, wide: bool
    ) -> Steps:
        import pandas as pd

        from napari_oneshot_lmk.measure.measurement_set import measurement_table, one_row_per_image
        from napari_oneshot_lmk.storage.atomic import atomic_write

        tables = []
        for done, landmarks in enumerate(images):
            yield self._step(measure_texts.MEASURING, done, len(images))
            tables.append(measurement_table([landmarks], chosen))
        table = pd.concat([each.astype(object) for each in tables])
        table = table.astype({"value": float})
        with atomic_write(path, overwrite=True) as partial:
            written = one_row_per_image(table) if wide else table.set_index("image")
            written.to_csv(partial, float_format="%.4f")
        images_in_words = texts.counted(len(images), "image")
        return measure_texts.TABLE_WRITTEN.format(images=images_in_words, path=path), False

    def _pages(
        self, sources: Sequence[PageSource], chosen: MeasurementSet, folder: Path, form: str
    ) -> Steps:
        from napari_oneshot_lmk.measure.page_files import write_pages
        from napari_oneshot_lmk.measure.page_format import PageFormat

        if not sources:
            raise UsageError(measure_texts.WHY_NOTHING_PLACED)
        one, failed, written = form == "one", [], 0
        kind = PageFormat.PNG if form == "png" else PageFormat.PDF
        pages = write_pages(sources, chosen, folder, form=kind, one_file=one)
        yield self._step(measure_texts.WRITING, 0, len(sources))
        with closing(pages):
            for done, page in enumerate(pages, start=1):
                failed += [] if page.error is None else [page.error]
                written += page.error is None
                yield self._step(measure_texts.WRITING, done, len(sources))
        values = {"images": texts.counted(written, "image"), "folder": folder}
        if not failed:
            return measure_texts.PAGES_WRITTEN.format(**values), False
        values |= {"failed": len(failed), "error": failed[0]}
        return measure_texts.PAGES_SOME.format(**values), True

    def _step(self, text: str, done: int, total: int) -> tuple[Any, ...]:
        return self.going, text.format(done=done, total=total), done, total
