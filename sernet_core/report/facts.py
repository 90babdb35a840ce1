"""Where a run took place: processor, memory and the versions of what matters."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

# Instruction sets that decide how fast a network runs on a CPU.
_FLAGS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "sve",
)
_PACKAGES = (
    "sernet_ros",
    "torch",
    "numpy",
    "opencv-python-headless",
    "rclpy",
    "ros-jazzy-rclpy",
    "ros-kilted-rclpy",
)


def machine() -> dict[str, str | int]:
    """Processor, its instruction sets of interest, usable cores, memory and operating system."""
    processor, flags = _processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    facts: dict[str, str | int] = {
        "processor": processor,
        "flags": " ".join(flag for flag in _FLAGS if flag in flags),
        "cores": cores,
        "system": f"{platform.system()} {platform.release()}",
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    return facts


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that decide the result."""
    found = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> tuple[str, set[str]]:
    entries: dict[str, str] = {}
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.is_file() else []:
        key, _, value = line.partition(":")
        entries.setdefault(key.strip(), value.strip())
    flags = entries.get("flags") or entries.get("Features") or ""
    return entries.get("model name") or platform.processor() or platform.machine(), set(flags.split())
