"""Random actions on images and layers: opening, choosing, hiding, removing."""

from typing import Any

import imageio.v3 as imageio
from qtpy.QtWidgets import QApplication
from random_dock_window import FILMS, MOST_IMAGES, SPACINGS, Window, need, pixels_of


class ImageActions(Window):
    """What a user does with images and with the layer list."""

    def do_open(self, which: int, *_: int) -> None:
        """Open one of the images that is not open."""
        shut = [n for n in range(len(FILMS)) if n not in self.film.values()]
        need(len(self.layers) < MOST_IMAGES)
        film = FILMS[self.pick(shut, which)]
        number = next(self._numbers)
        pixels = pixels_of(film)
        identity = (film["folder"], film["name"], film["seed"])
        mm = None if film["mm"] is None else (film["mm"],) * 2
        before = set(self.viewer.layers)
        if film["folder"]:
            path = self.folder / film["folder"] / film["name"]
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                imageio.imwrite(path, pixels)
            self.viewer.open(path, plugin="napari")
            stem = film["name"]
        else:
            scale = {} if mm is None else {"scale": mm, "units": "mm"}
            if film["kind"] == "stack":
                scale = {"scale": (1, *mm), "units": "mm"}
            self.viewer.add_image(pixels, name=film["name"], **scale)
            # napari tells two layers of one name apart by a number.
            stem = None
        new = [la for la in self.viewer.layers if la not in before]
        (layer,) = (la for la in new if la.as_layer_data_tuple()[2] == "image")
        self.layers[number] = layer
        self.film[number] = FILMS.index(film)
        facts = {"identity": identity, "spacing": mm, "shape": film["shape"]}
        self.oracle.open_image(number, name=stem or layer.name, **facts)
        self.chosen(number)

    def do_remove_image(self, which: int, *_: int) -> None:
        """Remove an image, as the bin of the layer list does."""
        number = self.pick(self.layers, which)
        self._remove_image(number, [])

    def do_remove_both(self, which: int, *_: int) -> None:
        number = self.pick(self.layers, which)
        marks = [la for key, la in self.landmark_layers() if key[0] == number]
        self._remove_image(number, marks)

    def _remove_image(self, number: int, others: list[Any]) -> None:
        selection, layers = self.viewer.layers.selection, [self.layers[number], *others]
        # What is selected on the way is turned to.
        selection.active = None
        selection.clear()
        selection.update(layers)
        QApplication.processEvents()
        self.follow_target()
        # A hidden image that is selected is shown, and its landmark layer selected.
        selection.clear()
        selection.update(layers)
        QApplication.processEvents()
        assert set(selection) == set(layers), "the selection is not the user's"
        left = [la for key, la in self.landmark_layers() if key[0] == number]
        self.viewer.layers.remove_selected()
        QApplication.processEvents()
        self.left += [layer for layer in left if layer in self.viewer.layers]
        self.oracle.remove_image(number)
        del self.layers[number], self.film[number]
        self.follow_target()

    def do_remove_landmarks(self, which: int, *_: int) -> None:
        """Remove a landmark layer: the landmarks come off their image."""
        key, layer = self.pick(self.landmark_layers(), which)
        self.viewer.layers.remove(layer)
        QApplication.processEvents()
        self.oracle.take_off(key)
        self.follow_target()

    def do_remove_foreign(self, which: int, *_: int) -> None:
        """Remove a points layer that is nobody's."""
        mine = self.pick(self.foreign, which)
        self.viewer.layers.remove(mine["layer"])
        self.foreign.remove(mine)
        self.follow_target()

    def do_drop_removed(self, *_: int) -> None:
        """Let go of the results of removed images."""
        need(bool(self.detect.session.removed.results()))
        self.detect.form.removed.linkActivated.emit("drop")
        for identity in self.oracle.removed:
            # Their file is earlier work from now on.
            self.oracle.sidecars.pop(identity, None)
        self.oracle.removed.clear()

    def do_rename(self, which: int, text: int, *_: int) -> None:
        """Give an image or a landmark layer another name."""
        number = self.pick(self.layers, which)
        if which % 3 == 0:
            need(self.landmark_layer(self.key(number))).name = f"my points {text % 5}"
            return
        self.layers[number].name = f"renamed {text % 5}"
        if not FILMS[self.film[number]]["folder"]:
            self.oracle.images[number]["name"] = self.layers[number].name

    def do_combo(self, which: int, *_: int) -> None:
        """Choose an image in the dock."""
        chooser = self.dock.header.chooser
        index = self.pick(range(chooser.count()), which)
        chooser.setCurrentIndex(index)
        chooser.activated.emit(index)
        images = [la for la in self.viewer.layers if la in self.layers.values()]
        self.chosen(self.number_of(images[index]))

    def do_select(self, which: int, *_: int) -> None:
        """Choose a layer in the layer list."""
        layer = self.pick(self.listed(), which)
        self.viewer.layers.selection.active = layer
        if layer in self.layers.values():
            self.chosen(self.number_of(layer))
        elif (key := self.owner(layer)) is not None:
            self.chosen(key[0])

    def do_select_several(self, one: int, other: int, *_: int) -> None:
        listed = self.listed()
        layers = {self.pick(listed, n) for n in (one, other) if listed}
        self.viewer.layers.selection.clear()
        self.viewer.layers.selection.update(layers)
        QApplication.processEvents()
        self.follow_target()

    def do_eye(self, which: int, *_: int) -> None:
        """Show or hide a layer with its eye."""
        layer = self.pick(self.listed(), which)
        layer.visible = not layer.visible
        if layer in self.layers.values() and layer.visible and self.oracle.only_this:
            self.chosen(self.number_of(layer))

    def do_only_this(self, *_: int) -> None:
        """Tick or untick "show only this image"."""
        need(len(self.layers) > 1)
        self.dock.header.only_this.click()
        self.oracle.only_this = not self.oracle.only_this

    def do_reorder(self, one: int, other: int, *_: int) -> None:
        """Drag a layer to another place in the list."""
        count = len(self.viewer.layers)
        need(count > 1)
        self.viewer.layers.move(one % count, other % count)

    def do_slice(self, which: int, *_: int) -> None:
        need(self.viewer.dims.ndim > 2)
        self.viewer.dims.set_current_step(0, which % 3)
        target = self.oracle.target
        if target is not None and target[1]:
            self.chosen(target[0])

    def do_spacing(self, which: int, *_: int) -> None:
        field = self.dock.header.spacing
        text, target = self.pick(SPACINGS, which), self.target
        field.setText(text)
        field.editingFinished.emit()
        if text == "wrong":
            # The field goes on showing it; what holds is unchanged.
            return
        values = [float(part) for part in text.split(" x ")] if text else []
        self.oracle.set_spacing((values[0], values[-1]) if values else None, target)
