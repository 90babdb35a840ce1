"""What the processor can do, where results or the choice of a precision depend on it."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

EXACT_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Flags of x86 processors that add products of 8-bit numbers up in 32 bits."""


@cache
def int8_doubt() -> str:
    """Why int8 sums may be wrong on this processor; empty where they are exact.

    Without those instructions x86 adds pairs of products up in 16 bits, which saturate: masks may then be
    worse than those that an int8 model was scored on (OpenVINO's documentation, "saturation issue"). It is a
    matter of x86 alone: what dot products like ARM's `asimddp` add elsewhere is speed.
    """
    flags = _x86_flags()
    if flags is None or set(EXACT_INT8) & flags:
        return ""
    if not flags:
        return "what this processor can do is not known"
    return "this processor has no VNNI, so that its 8-bit sums may saturate"


@cache
def bf16_doubt() -> str:
    """Why training in bfloat16 may be slower than in float32 on this processor; empty where it is not known.

    It is a matter of x86 without AMX, where torch's convolutions gain less from half the width than casting
    costs.
    """
    flags = _x86_flags()
    return "this processor has no AMX" if flags and "amx_bf16" not in flags else ""


def _x86_flags() -> set[str] | None:
    """What /proc/cpuinfo says of an x86 processor: empty where it cannot be read; None of any other."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()
