"""Which image of a folder to annotate: a list with thumbnails and reasons."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.find import ImageFile, find_images
from napari_oneshot_lmk.review.thumbnails import shrink
from napari_oneshot_lmk.widgets import advise_texts, texts
from napari_oneshot_lmk.widgets.qt.connections import without_argument
from napari_oneshot_lmk.widgets.qt.parts import WARN, Button, MessageLabel, icon_of, row_of
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from napari_oneshot_lmk.detection.advise import Advice
    from napari_oneshot_lmk.widgets.detectors import DetectorCache

MOST_TEMPLATES = 50
SIDE_PX = 64
"""Of a thumbnail."""


class AdviseRun(WorkerRun):
    """Compares images in another thread."""

    ranked = Signal(object, object)
    """The `Advice` on each image, the best first, and path -> small grey pixels."""
    cancelled_text, failed_text = advise_texts.CANCELLED, advise_texts.FAILED

    def __init__(self, encoders: DetectorCache) -> None:
        super().__init__()
        self._encoders = encoders

    def start(self, folder: Path, count: int) -> None:
        """Begin, unless a run is under way."""
        if not self.running:
            wanted = preferences()
            self.going.emit(texts.BUSY_LOADING, 0, 0)
            self._work(lambda: self._advise(folder, count, wanted))

    def _advise(
        self, folder: Path, count: int, wanted: Any
    ) -> Generator[Any, None, tuple[str, bool]]:
        from napari_oneshot_lmk.detection.advise import advise, describe_image
        from napari_oneshot_lmk.imaging.reader import read_image

        files = find_images([folder])
        yield None
        encoder = self._encoders.encoder(wanted, lambda *_: None)
        described, failed = [], []
        small: dict[Path, np.ndarray] = {}
        for number, file in enumerate(files, start=1):
            text = advise_texts.ADVISING
            text = text.format(image=file.name, number=number, count=len(files))
            yield self.going, text, number - 1, len(files)
            try:
                image = read_image(file.path)
                described.append(describe_image(file, image, encoder))
            except OneshotError as error:
                failed.append(error.about(file.name))
            else:
                small[file.path] = shrink(image.pixels, SIDE_PX)
        yield self.ranked, advise(described, count), small
        said = advise_texts.ADVISED.format(images=texts.counted(len(described), "image"))
        if failed:
            left_out = texts.counted(len(failed), "image")
            said += " " + advise_texts.LEFT_OUT.format(images=left_out, error=failed[0])
        return said, bool(failed)


class AdviseDialog(QDialog):
    """Asks for a folder and lists its images; ``picked`` carries the file that is clicked.

    Parameters
    ----------
    parent : QWidget
        The dock, whose theme it has.
    encoders : DetectorCache
    """

    picked = Signal(object)

    def __init__(self, parent: QWidget, encoders: DetectorCache) -> None:
        super().__init__(parent)
        self.setWindowTitle(advise_texts.TITLE)
        self.resize(560, 640)
        self.run = AdviseRun(encoders)
        self.folder = Button(advise_texts.FOLDER, advise_texts.FOLDER_TIP)
        self.count = QSpinBox()
        self.count.setRange(1, MOST_TEMPLATES)
        self.count.setToolTip(advise_texts.COUNT_TIP)
        self.list = QListWidget()
        self.list.setIconSize(QSize(SIDE_PX, SIDE_PX))
        self.list.setWordWrap(True)
        self.list.setToolTip(advise_texts.LIST_TIP)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.cancel = Button(texts.CANCEL)
        self.message = MessageLabel(advise_texts.NO_FOLDER)
        layout = QVBoxLayout(self)
        layout.addLayout(row_of(self.folder, advise_texts.COUNT, self.count))
        layout.addWidget(self.list, 1)
        layout.addLayout(row_of(self.progress, self.cancel, stretched=self.progress))
        layout.addWidget(self.message)
        self.message.show()
        self.folder.clicked.connect(without_argument(self._on_folder))
        self.cancel.clicked.connect(without_argument(self.run.cancel))
        self.list.itemActivated.connect(self._on_item)
        self.list.itemClicked.connect(self._on_item)
        self.run.going.connect(self._on_going)
        self.run.ranked.connect(self._on_ranked)
        self.run.ended.connect(self._on_ended)
        self._on_going("", 0, 0)

    def advise(self, folder: Path) -> None:
        """Compare the images of a folder."""
        self.list.clear()
        self.run.start(folder, self.count.value())

    def done(self, result: int) -> None:
        """Stop what runs when the dialog is closed."""
        self.run.cancel()
        super().done(result)

    def _on_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, advise_texts.FOLDER_TITLE)
        if path:
            self.advise(Path(path))

    def _on_going(self, text: str, done: int, total: int) -> None:
        busy = bool(text)
        for part in (self.progress, self.cancel):
            part.setVisible(busy)
        self.progress.setMaximum(total)
        self.progress.setValue(done)
        reason = texts.WHY_BUSY.format(what=text) if busy else ""
        self.folder.set_reason(reason)
        if busy:
            self.message.say(f"{text}…")

    def _on_ranked(self, advice: Sequence[Advice], small: Mapping[Path, np.ndarray]) -> None:
        for number, each in enumerate(advice, start=1):
            chosen = each.chosen
            text = advise_texts.ROW.format(
                number=number,
                image=each.file.name,
                template="" if chosen is None else advise_texts.AS_TEMPLATE.format(number=chosen),
                reason="; ".join(each.reasons),
            )
            item = QListWidgetItem(icon_of(small[each.file.path]), text)
            item.setData(Qt.ItemDataRole.UserRole, each.file)
            self.list.addItem(item)

    def _on_item(self, item: QListWidgetItem) -> None:
        file: ImageFile = item.data(Qt.ItemDataRole.UserRole)
        self.picked.emit(file)

    def _on_ended(self, text: str, failed: bool, report: str) -> None:
        self._on_going("", 0, 0)
        self.message.say(text, WARN if failed else "")
