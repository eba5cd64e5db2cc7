"""``oneshot-lmk info``: what a bug report needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_oneshot_lmk.cli.console import print_json, print_line, print_table
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import AsJson, Weights

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.weights import Place


@handle_errors
def info(encoder_weights: Weights = None, as_json: AsJson = False) -> None:
    """Print versions, devices and where encoder weights were found.

    Nothing is downloaded, and nothing about you or your images is printed
    except the folders of the caches.
    """
    from napari_oneshot_lmk.benchmark.machine import describe
    from napari_oneshot_lmk.encoders.orientation import shipped_encoder
    from napari_oneshot_lmk.encoders.weights import describe_search

    machine = describe()
    places = describe_search(encoder_weights)
    shipped = shipped_encoder("cpu").card
    found = next((place for place in places if place.found), None)
    if as_json:
        print_json(
            machine
            | {
                "encoder_weights": [asdict(place) for place in places],
                "encoder_weights_found": found.where if found else None,
                "shipped_encoder": {"name": shipped.identity, "title": shipped.title},
            }
        )
        return
    print_table("Versions", ["", "version"], list(machine["versions"].items()))
    print_line(f"System: {machine['system']}")
    devices = [
        [
            device["name"],
            device["title"],
            f"{device['memory_gb']} GB" if device["memory_gb"] else "unknown",
            "yes" if device["bf16"] else "no",
        ]
        for device in machine["devices"]
    ]
    print_table("Devices", ["", "what", "memory", "fast bf16"], devices)
    print_line("Encoder weights, in the order in which they are looked for:")
    for place in places:
        print_line(f"  {place.what}: {place.where} ({_found(place)})")
    if found is None:
        print_line(
            "No weights are on this computer: VGG19 is downloaded when it is first "
            f"needed, or else the shipped encoder is used ({shipped.title})."
        )
    else:
        print_line(f"Encoder: VGG19, weights from {found.where}")
        print_line(f"Without them it would be the shipped one: {shipped.title}")


def _found(place: Place) -> str:
    if place.found:
        return f"found, {place.detail}" if place.detail else "found"
    return place.detail or "nothing there"
