"""The computer and the versions that a result was made on, and its peak memory."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_oneshot_lmk._version import package_versions
from napari_oneshot_lmk.errors import OneshotError

PACKAGES = (
    *("torch", "torchvision", "monai", "SimpleITK", "numpy", "pandas", "matplotlib"),
    *("pydantic", "safetensors", "typer", "dask", "distributed", "napari", "npe2", "qtpy"),
    *("PySide6-Essentials", "PySide6", "PyQt6", "PyQt5"),
)


def describe() -> dict[str, Any]:
    """Return system, devices and versions, for the files of a result."""
    return {
        "system": platform.platform(),
        "devices": _devices(),
        "versions": package_versions(PACKAGES),
    }


def describe_installation(encoder_weights: Path | None = None) -> dict[str, Any]:
    """Return what a bug report needs: the machine, and where encoder weights were found.

    Nothing is downloaded, and nothing of the user is in it but the folders of the caches.
    """
    from napari_oneshot_lmk.encoders.shipped import shipped_card
    from napari_oneshot_lmk.encoders.weights import describe_search

    places = describe_search(encoder_weights)
    shipped = shipped_card()
    return describe() | {
        "encoder_weights": [asdict(place) for place in places],
        "encoder_weights_found": next((place.where for place in places if place.found), None),
        "shipped_encoder": {"name": shipped.identity, "title": shipped.title},
    }


def _devices() -> list[dict[str, Any]]:
    """Return the CPU and every GPU that torch can use; memory in 10^9 bytes where known."""
    import torch

    from napari_oneshot_lmk.encoders.device import fast_bf16

    def device(name: str, title: str, memory_gb: float | None) -> dict[str, Any]:
        bf16 = fast_bf16(torch.device(name))
        return {"name": name, "title": title, "memory_gb": memory_gb, "bf16": bf16}

    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    title = f"{_processor()}, {cores} core{'s' if cores != 1 else ''} usable"
    gpus = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return [
        device("cpu", title, _memory_gb()),
        *(device(f"cuda:{n}", g.name, round(g.total_memory / 1e9, 1)) for n, g in enumerate(gpus)),
    ]


def _processor() -> str:
    found = _value_in("/proc/cpuinfo", "model name")
    return found or platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None  # Windows


def _value_in(path: str, key: str) -> str:
    """Return the value of the first line ``key: value``; empty where not on Linux."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def markdown_machine(machine: dict[str, Any]) -> list[str]:
    """Return lines of Markdown on the computer that a result was made on."""
    lines = [f"- system: {machine['system']}"]
    for device in machine["devices"]:
        bf16 = "bf16 used" if device["bf16"] else "no fast bf16"
        memory = f", {device['memory_gb']} GB" if device["memory_gb"] else ""
        lines.append(f"- {device['name']}: {device['title']}{memory}, {bf16}")
    shown = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return [*lines, f"- versions: {shown}"]


def own_peak_mb() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    # Not getrusage here: on Linux its maximum survives exec and would be
    # that of the process that started us.
    if peak_kb := _value_in("/proc/self/status", "VmHWM:"):
        return int(peak_kb.split()[0]) * 1024 / 1e6
    try:
        import resource
    except ImportError as error:
        raise OneshotError("peak memory cannot be measured on this system") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others kilobytes.
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6
