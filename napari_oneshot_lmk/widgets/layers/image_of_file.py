"""The image that a landmark file is about: open already, or beside the file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QEventLoop, QThread, QTimer
from qtpy.QtWidgets import QApplication

from napari_oneshot_lmk.errors import OneshotError

if TYPE_CHECKING:
    from napari_oneshot_lmk.geometry import Geometry
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView

PLAIN_PICTURES = (".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".tif", ".tiff")
"""Endings of what napari's own reader opens as it is."""


def find_open_image(image: str, beside: Path, alone: bool) -> ImageView | None:
    """Find the open image that landmarks belong to.

    Parameters
    ----------
    image : str
        Name of the image, as the landmark file has it.
    beside : Path
        The landmark file.
    alone : bool
        It is about one image only.
    """
    import napari
    from napari.layers import Image

    from napari_oneshot_lmk.landmarks.image_names import image_key, stem
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView, slice_of_name

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    layers = [layer for layer in viewer.layers if isinstance(layer, Image)]
    wanted, index = slice_of_name(image)
    whole = [layer for layer in layers if image in _names(layer)]
    if index and whole:
        # "film [1]" is also what napari calls the second layer that is named "film".
        wanted, index = image, ()
    fitting = [la for la in layers if la.ndim - 2 == len(index) or not index]
    file = image_beside(wanted, beside)
    for layer in reversed(fitting):
        # Of images with the same name, the one in the same folder.
        if file is not None and _same_file(layer.source.path, file):
            return ImageView(layer, index or (0,) * (layer.ndim - 2))
    for key in (image_key, lambda n: PurePosixPath(image_key(n)).name, stem):
        for layer in reversed(fitting):
            if wanted and key(wanted) in {key(name) for name in _names(layer)}:
                return ImageView(layer, index or (0,) * (layer.ndim - 2))
    # Slicer's own files do not say what image they are about.
    if not wanted and alone and len(layers) == 1 and layers[0].ndim == 2:
        return ImageView(layers[0])
    return None


def is_only_one(target: ImageView, image: str, beside: Path) -> bool:
    """Say whether no other open image of that name could be meant as well.

    Parameters
    ----------
    target : ImageView
        What was found.
    image : str
        Name of the image, as the landmark file has it.
    beside : Path
        The landmark file.
    """
    import napari
    from napari.layers import Image

    from napari_oneshot_lmk.widgets.layers.image_view import slice_of_name

    viewer = napari.current_viewer()
    wanted, _ = slice_of_name(image)
    file = image_beside(wanted, beside)
    if viewer is None or (file and _same_file(target.layer.source.path, file)):
        return True
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    return sum(bool({image, wanted} & _names(layer)) for layer in images) < 2


def image_beside(image: str, path: Path) -> Path | None:
    """Return the image file of that name in or below the folder of a landmark file.

    Without an ending, as Slicer and the ISBI challenge name theirs, it is the only
    image there of that name.
    """
    from napari_oneshot_lmk.imaging.formats import is_image_name
    from napari_oneshot_lmk.landmarks.files import holds_landmarks

    name = PurePosixPath(image.replace("\\", "/"))
    inside = not name.is_absolute() and ".." not in name.parts
    for place in ((name,) if inside else ()) + (name.name,):
        file = path.parent / place
        if is_image_name(file) and file.is_file() and not holds_landmarks(file):
            return file
    if not name.name or is_image_name(Path(name.name)):
        return None
    fitting = [
        file
        for file in path.parent.glob(f"{_plain(name.name)}.*")
        if is_image_name(file)
        and file.name.partition(".")[0] == name.name
        and not holds_landmarks(file)
    ]
    return fitting[0] if len(fitting) == 1 else None


def show_image(file: Path) -> ImageView | None:
    """Open an image file: a plain image as napari does, others as we read them.

    Of DICOM files napari's own reader would take all in the folder for a stack, and
    knows neither their spacing nor that MONOCHROME1 is inverted.
    """
    import napari
    from napari.layers import Image
    from napari.utils.notifications import show_warning

    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    layers: list[Any] = []
    if file.name.lower().endswith(PLAIN_PICTURES):
        # A layer that napari opens knows its file, which autosave goes by.
        with suppress(Exception):
            layers = viewer.open(file, plugin="napari")
    if not layers:
        try:
            picture = off_window(read_image, file)
        except OneshotError as error:
            show_warning(str(error))
            return None
        spacing = picture.geometry.spacing_mm_yx
        placed = {} if spacing is None else {"scale": spacing, "units": ("mm", "mm")}
        layers = [viewer.add_image(picture.pixels, name=file.name, colormap="gray", **placed)]
    images = [layer for layer in layers if isinstance(layer, Image) and layer.ndim == 2]
    return ImageView(images[0]) if images else None


def geometry_of(image: str, beside: Path) -> Geometry | None:
    """Return the geometry of the image of a landmark file, None where it is unknown.

    That of the file goes before that of the layer, which knows nothing of where
    the image lies in the patient.
    """
    from napari_oneshot_lmk.geometry import Geometry
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.widgets.layers.image_view import spacing_of

    target = find_open_image(image, beside, alone=True)
    file = file_of(image, beside)
    if file is not None:
        try:
            return off_window(read_image, file).geometry
        except OneshotError:
            # A stack, or damaged: the layer has to do.
            pass
    if target is None:
        return None
    return Geometry(target.shape_yx, spacing_of(target.layer).mm_yx)


def file_of(image: str, beside: Path) -> Path | None:
    """Return the file of the image of a landmark file: open, or in its folder."""
    target = find_open_image(image, beside, alone=True)
    if target is not None and target.path is not None:
        return target.path
    return image_beside(image, beside)


def _names(layer: Any) -> set[str]:
    """Return what an image is called: its file, and its layer."""
    source = layer.source.path
    return {layer.name} | ({Path(source).name} if source else set())


def _same_file(one: str | None, other: Path) -> bool:
    try:
        return one is not None and Path(one).samefile(other)
    except OSError:
        return False


def _plain(name: str) -> str:
    """Return a name in which a pattern means itself."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


Result = TypeVar("Result")
POLL_MS = 10


def off_window(work: Callable[..., Result], *given: Any) -> Result:
    """Call a function in another thread and return what it returns.

    napari calls readers in the window's thread and waits for what they return. The
    first image that is read there would import PyTorch, which takes seconds. Clicks
    and keys wait meanwhile: nothing may change under the caller.

    Parameters
    ----------
    work : callable
        It must touch no layer, viewer or widget. What it raises is raised here.
    given : object
        What it is called with.
    """
    app = QApplication.instance()
    if app is None or QThread.currentThread() is not app.thread():
        return work(*given)
    loop, poll = QEventLoop(), QTimer()
    with ThreadPoolExecutor(1, "off-window") as threads:
        future = threads.submit(work, *given)
        poll.timeout.connect(lambda: loop.quit() if future.done() else None)
        poll.start(POLL_MS)
        loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        poll.stop()
    return future.result()
