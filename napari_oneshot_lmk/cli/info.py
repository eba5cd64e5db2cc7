"""``oneshot-lmk info``: what a bug report needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_oneshot_lmk.cli.console import print_json, print_line, print_table
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import AsJson, Weights


@handle_errors
def info(encoder_weights: Weights = None, as_json: AsJson = False) -> None:
    """Print versions, devices and where encoder weights were found.

    Nothing is downloaded, and nothing about you or your images is printed
    except the folders of the caches.
    """
    from napari_oneshot_lmk.benchmark.machine import describe_installation

    about = describe_installation(encoder_weights)
    if as_json:
        print_json(about)
        return
    print_table("Versions", ["", "version"], list(about["versions"].items()))
    print_line(f"System: {about['system']}")
    devices = [
        [
            device["name"],
            device["title"],
            f"{device['memory_gb']} GB" if device["memory_gb"] else "unknown",
            "yes" if device["bf16"] else "no",
        ]
        for device in about["devices"]
    ]
    print_table("Devices", ["", "what", "memory", "fast bf16"], devices)
    print_line("Encoder weights, in the order in which they are looked for:")
    for place in about["encoder_weights"]:
        print_line(f"  {place['what']}: {place['where']} ({_found(place)})")
    shipped, found = about["shipped_encoder"]["title"], about["encoder_weights_found"]
    if found is None:
        print_line(
            "No weights are on this computer: VGG19 is downloaded when it is first "
            f"needed, or else the shipped encoder is used ({shipped})."
        )
    else:
        print_line(f"Encoder: VGG19, weights from {found}")
        print_line(f"Without them it would be the shipped one: {shipped}")


def _found(place: Mapping[str, Any]) -> str:
    if place["found"]:
        return f"found, {place['detail']}" if place["detail"] else "found"
    return place["detail"] or "nothing there"
