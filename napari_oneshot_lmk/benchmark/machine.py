"""The computer and the versions that a result was made on, and its peak memory."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_oneshot_lmk._version import package_versions
from napari_oneshot_lmk.errors import OneshotError

PACKAGES = (
    "torch",
    "torchvision",
    "monai",
    "SimpleITK",
    "numpy",
    "pandas",
    "matplotlib",
    "pydantic",
    "safetensors",
    "typer",
    "dask",
    "distributed",
    "napari",
    "npe2",
    "qtpy",
    "PySide6-Essentials",
    "PySide6",
    "PyQt6",
    "PyQt5",
)


@dataclass(frozen=True)
class Device:
    """A CPU or GPU that torch can use.

    Parameters
    ----------
    name : str
        ``"cpu"``, ``"cuda:0"`` and so on.
    title : str
        For people.
    memory_gb : float, optional
        In 10^9 bytes, where it is known.
    bf16 : bool
        Whether bfloat16 is fast on it and therefore used.
    """

    name: str
    title: str
    memory_gb: float | None
    bf16: bool


def devices() -> tuple[Device, ...]:
    """Return the CPU and every GPU that torch can use."""
    import torch

    from napari_oneshot_lmk.encoders.device import fast_bf16

    cpu = torch.device("cpu")
    cores = cores_usable()
    title = f"{processor()}, {cores} core{'s' if cores != 1 else ''} usable"
    found = [Device("cpu", title, _memory_gb(), fast_bf16(cpu))]
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        device = torch.device("cuda", index)
        memory_gb = round(gpu.total_memory / 1e9, 1)
        found.append(Device(f"cuda:{index}", gpu.name, memory_gb, fast_bf16(device)))
    return tuple(found)


def processor() -> str:
    """Return the name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def cores_usable() -> int:
    """Return the number of cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Return system, devices and versions, for the files of a result."""
    return {
        "system": platform.platform(),
        "devices": [asdict(device) for device in devices()],
        "versions": package_versions(PACKAGES),
    }


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
    try:
        # Not getrusage here: on Linux its maximum survives exec and would be
        # that of the process that started us.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass  # not Linux
    try:
        import resource
    except ImportError as error:
        raise OneshotError("peak memory cannot be measured on this system") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others kilobytes.
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None  # Windows
