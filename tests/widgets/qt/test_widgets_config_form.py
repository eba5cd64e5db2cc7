"""A form of controls that a pydantic model describes."""

from enum import StrEnum

import pytest
from pydantic import BaseModel, Field
from qtpy.QtWidgets import QRadioButton

from napari_oneshot_lmk.widgets.qt.config_form import UNSET, ConfigForm


class Pace(StrEnum):
    SLOW = "slow"
    FAST = "fast"


class Settings(BaseModel):
    count: int | None = Field(default=None, title="Count", json_schema_extra={"minimum": 1})
    kind: str | None = Field(default=None, json_schema_extra={"choices": ["a", "b"]})
    always: str = Field(default="a", json_schema_extra={"choices": ["a", "b"]})
    pace: Pace = Field(default=Pace.SLOW, json_schema_extra={"titles": {"slow": "Slow"}})
    some: str = Field(default="a", json_schema_extra={"choices": [*"abcde"], "offered": [*"abcd"]})
    share: float | None = Field(default=None, json_schema_extra={"maximum": 1})
    on: bool = Field(default=True, title="Switch", description="What it switches.")
    name: str = ""


def test_controls_follow_the_fields(qtbot):
    changes: list[None] = []
    names = ["count", "kind", "always", "pace", "some", "share", "on"]
    form = ConfigForm(Settings, names, "as ever", lambda: changes.append(None))
    qtbot.addWidget(form.native)
    form.show_values(Settings())
    assert form.values() == Settings().model_dump(exclude={"name"})
    assert changes == []
    assert (form["count"].label, form["count"].value) == ("Count", 0)
    assert form["count"].native.text() == "as ever"
    assert form["kind"].choices == (UNSET, "a", "b")
    assert form["always"].choices == ("a", "b")
    assert form["some"].choices == tuple("abcd")
    buttons = form["pace"].native.findChildren(QRadioButton)
    assert [button.text() for button in buttons] == ["Slow", "fast"]
    assert (form["on"].text, form["on"].tooltip) == ("Switch", "What it switches.")
    settings = Settings(
        count=3, kind="b", always="b", pace=Pace.FAST, some="d", share=0.25, on=False
    )
    form.show_values(settings)
    assert form.values() == settings.model_dump(exclude={"name"})
    form["count"].value = 4
    assert len(changes) == 1


def test_a_field_without_a_control_is_refused():
    with pytest.raises(TypeError, match="no control for name"):
        ConfigForm(Settings, ["name"], "", lambda: None)
