"""What the processor can do that decides about results, not only about speed."""

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
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ""
    try:
        words = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return "what this processor can do is not known"
    if set(EXACT_INT8) & set(words):
        return ""
    return "this processor has no VNNI, so that its 8-bit sums may saturate"
