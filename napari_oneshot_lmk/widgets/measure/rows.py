"""Measurements as rows of the table, in words."""

from __future__ import annotations

from collections.abc import Sequence

from napari_oneshot_lmk.measure.measurement import Kind, Measurement, Value
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
from napari_oneshot_lmk.widgets import measure_texts
from napari_oneshot_lmk.widgets.measure.form import ValueRow

FAR_SDS = 2.0


def value_rows(measurements: MeasurementSet | None, values: Sequence[Value]) -> list[ValueRow]:
    """Return a row per measurement of a set; without values where there is no image."""
    if measurements is None:
        return []
    taken = {value.measurement.name: value for value in values}
    return [_row(each, taken.get(each.name)) for each in measurements.measurement]


def parts_of(measurements: MeasurementSet, name: str) -> tuple[Measurement, ...]:
    """Return a measurement, and before it those that it is a difference of."""
    by_name = {each.name: each for each in measurements.measurement}
    if name not in by_name:
        return ()
    one = by_name[name]
    parts = [part for of in one.of for part in parts_of(measurements, of)]
    return tuple(dict.fromkeys([*parts, one]))


def _row(each: Measurement, value: Value | None) -> ValueRow:
    norm = each.norm
    norm_text = ""
    if norm is not None:
        norm_text = f"{norm.mean:g}" + ("" if norm.sd is None else f" ± {norm.sd:g}")
    if value is None or value.value is None:
        missing = "" if value is None else value.missing
        tip = _tip(each, missing)
        return ValueRow(each.name, measure_texts.MISSING, norm_text, "", tip, missing=True)
    sds, deviation = value.deviation_sd, ""
    if sds is not None:
        deviation = f"{sds:+.1f} SD"
    elif value.deviation is not None:
        deviation = f"{value.deviation:+.1f} {value.unit}"
    far = sds is not None and abs(sds) > FAR_SDS
    if far:
        # A sign besides the colour.
        deviation = f"{deviation} !"
    text = f"{value.value:.1f} {value.unit}"
    return ValueRow(each.name, text, norm_text, deviation, _tip(each), far=far)


def _tip(each: Measurement, missing: str = "") -> str:
    named = each.of if each.kind is Kind.DIFFERENCE else each.points
    between = f"{measure_texts.KINDS[each.kind]}: {' – '.join(named)}"
    lines = [each.name, between, each.definition, each.source]
    norm = each.norm
    if norm is not None:
        spread = "" if norm.sd is None else f" ± {norm.sd:g}"
        words = {"norm": f"{norm.mean:g}{spread}", "population": norm.population}
        lines.append(measure_texts.TIP_NORM.format(**words, source=norm.source))
    return "\n".join(line for line in (*lines, missing) if line)
