"""A form of magicgui controls, made from the fields of a pydantic model.

Controls, and napari's settings page, know no None. There an optional field holds a value
that it cannot have itself: one below its minimum, or `UNSET` among its choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import NoneType
from typing import Any, get_args

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, RadioButtons
from magicgui.widgets.bases import ValueWidget
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from napari_oneshot_lmk.widgets.qt.parts import narrow

UNSET = "preset"
"""Among choices: what stands for None."""
LARGEST = 2**31 - 1
DECIMALS = 4
FEW = 3
"""So many choices stand side by side as buttons."""
ONE_LINE = 32
"""So many letters of all their titles fit into a row."""


class ConfigForm(Container[ValueWidget[Any]]):
    """One control per field, with its title, description, range and choices.

    The metadata of a field (``json_schema_extra``) may hold ``minimum``, ``maximum``,
    ``choices`` (an enumeration has its members), ``offered`` for those of them that a form
    shows, their ``titles``, and a ``tip`` instead of the description.

    ``names`` are the fields of ``model`` that are shown, in this order; the text ``unset``
    stands for None. ``on_change`` is called when the user has changed a control, not by
    `show_values`.

    A `TypeError` says if there is no control for a field.
    """

    def __init__(
        self,
        model: type[BaseModel],
        names: Iterable[str],
        unset: str,
        on_change: Callable[[], None],
    ) -> None:
        self._fields = {name: model.model_fields[name] for name in names}
        controls = [make_control(name, field, unset) for name, field in self._fields.items()]
        super().__init__(widgets=controls, labels=True)
        self.margins = (0, 0, 0, 0)
        for control in controls:
            control.changed.connect(lambda _: on_change())

    def values(self) -> dict[str, Any]:
        """Return what is set, by field."""
        return {name: from_plain(field, self[name].value) for name, field in self._fields.items()}

    def show_values(self, config: BaseModel) -> None:
        """Show the values of a configuration."""
        for name, field in self._fields.items():
            with self[name].changed.blocked():
                self[name].value = to_plain(field, getattr(config, name))


def make_control(name: str, field: FieldInfo, unset: str) -> ValueWidget[Any]:
    """Return the control of a field."""
    extra = metadata(field)
    kind, optional = _kind(field)
    common: dict[str, Any] = {
        "name": name,
        "label": field.title or name,
        "tooltip": extra.get("tip") or field.description,
    }
    control: ValueWidget[Any]
    if kind is bool:
        return CheckBox(text=common.pop("label"), **common)
    if offered := _choices(field):
        titles = extra.get("titles", {})
        choices = [(titles.get(choice, choice), choice) for choice in offered]
        if len(choices) <= FEW and not optional:
            in_a_row = sum(len(title) for title, _ in choices) <= ONE_LINE
            orientation = "horizontal" if in_a_row else "vertical"
            return RadioButtons(choices=choices, orientation=orientation, **common)
        control = ComboBox(choices=[(unset, UNSET)] * optional + choices, **common)
    elif kind in (int, float):
        lowest = extra.get("minimum", 0) - optional
        # The one of integers shows no text for its minimum.
        control = FloatSpinBox(
            value=lowest, min=lowest, max=extra.get("maximum", LARGEST), **common
        )
        control.native.setDecimals(0 if kind is int else DECIMALS)
        if optional:
            control.native.setSpecialValueText(unset)
    else:
        raise TypeError(f"there is no control for {name}, which is {field.annotation}")
    narrow(control.native)
    return control


def to_plain(field: FieldInfo, value: Any) -> Any:
    """Return a field's value as controls and the settings page hold it."""
    if value is not None:
        return value.value if isinstance(value, Enum) else value
    return UNSET if _choices(field) else metadata(field).get("minimum", 0) - 1


def from_plain(field: FieldInfo, plain: Any) -> Any:
    """Return the value that `to_plain` has turned into this."""
    kind, optional = _kind(field)
    return None if optional and plain == to_plain(field, None) else kind(plain)


def metadata(field: FieldInfo) -> Mapping[str, Any]:
    """Return what is said of a field beside its type."""
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def _choices(field: FieldInfo) -> list[Any]:
    extra, (kind, _) = metadata(field), _kind(field)
    enumerated = isinstance(kind, type) and issubclass(kind, Enum)
    members = [member.value for member in kind] if enumerated else []
    return list(extra.get("offered") or extra.get("choices") or members)


def _kind(field: FieldInfo) -> tuple[Any, bool]:
    """Return a field's type, and whether it may be None."""
    kinds = get_args(field.annotation) or (field.annotation,)
    return kinds[0], NoneType in kinds
