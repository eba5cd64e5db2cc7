"""Check an installed napari-oneshot-lmk from outside its checkout.

Imports every module that does not belong to napari, reads the manifest's file
and a sample image: what a broken wheel would lack.
"""

import importlib
import importlib.util
import pkgutil
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import napari_oneshot_lmk
from napari_oneshot_lmk import GrayImage, read_image

# The interpreter of the command line itself.
NOT_IMPORTED = "napari_oneshot_lmk.__main__"
NAPARI_SIDE = "napari_oneshot_lmk.widgets"
OF_EXTRAS = {"distributed", "highdicom", "pydicom"}
"""What the extras bring: modules that stand on them are imported when they are used."""


def main() -> None:
    """Raise where something is missing."""
    home = Path(napari_oneshot_lmk.__file__).parent
    assert "site-packages" in home.parts, f"{home} is a checkout, not a wheel"
    assert version("napari-oneshot-lmk") == napari_oneshot_lmk.__version__

    names = [
        found.name
        for found in pkgutil.walk_packages([str(home)], "napari_oneshot_lmk.")
        if found.name != NOT_IMPORTED and not found.name.startswith(NAPARI_SIDE)
    ]
    left_out = []
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in OF_EXTRAS:
                raise
            left_out.append(name)
    assert importlib.util.find_spec("napari") is None, "this environment is not bare"

    (manifest,) = entry_points(group="napari.manifest")
    assert manifest.value == "napari_oneshot_lmk:napari.yaml", manifest
    for file in ("napari.yaml", "py.typed"):
        assert (home / file).is_file(), f"the wheel lacks {file}"

    pictures = sorted((home / "sample_data").rglob("images/*"))
    assert pictures, "the wheel lacks the sample images"
    image = read_image(pictures[0])
    assert isinstance(image, GrayImage)
    print(
        f"napari-oneshot-lmk {napari_oneshot_lmk.__version__}: "
        f"{len(names) - len(left_out)} modules imported, {len(left_out)} of extras "
        f"left out, {len(pictures)} sample images, {image.name} is "
        f"{image.pixels.shape}, Python {sys.version.split()[0]}"
    )


if __name__ == "__main__":
    main()
