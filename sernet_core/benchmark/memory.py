"""Whether everything that takes turns fits into the memory at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from sernet_core.benchmark.settings import Settings
from sernet_core.errors import ConfigError

# Of an engine that is built and has run on a CPU: what OpenVINO and ONNX Runtime take, eager takes less.
BYTES_A_PIXEL, BYTES_A_PARAMETER = 200, 10
NODE_BYTES = 350e6  # a node's process without a network
_CGROUP = Path("/sys/fs/cgroup")


def needed(settings: Settings, parameters: Mapping[str, int], peers: Iterable[str]) -> float:
    """Bytes that the largest size is about to take on a CPU.

    Args:
        settings: Of the run.
        parameters: Of each network, models and peers, by name.
        peers: Which of them are peers.
    """
    size = max(settings.sizes, key=lambda size: size[0] * size[1])
    peers = set(peers)
    total = 0.0
    for name, count in parameters.items():
        one = _of_engine(size, count)
        engines = len(settings.engines_of(is_peer=name in peers))
        total += engines * one
        if settings.nodes and name not in peers:
            total += engines * (NODE_BYTES + one)
    return total


def needed_by_picture(engines: Iterable[tuple[str, tuple[int, int]]], parameters: Mapping[str, int]) -> float:
    """Bytes that the picture is about to take on a CPU.

    Args:
        engines: Name of the network, and width and height, of each engine that is built for it.
        parameters: Of each network, by name.
    """
    return sum(_of_engine(size, parameters[name]) for name, size in engines)


def _of_engine(size: tuple[int, int], parameters: int) -> float:
    return BYTES_A_PIXEL * size[0] * size[1] + BYTES_A_PARAMETER * parameters


def available() -> float:
    """Bytes that this process may still take, of the machine's or of its container's memory."""
    left = float(psutil.virtual_memory().available)
    try:
        most = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        cached = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        if most.isdecimal():
            left = min(left, int(most) - used + int(cached.get("inactive_file", 0)))
    except (OSError, ValueError):  # no such container
        pass
    return left


def check(sizes: float, picture: float) -> None:
    """See that the memory suffices, before anything is built; one is built after the other has gone.

    Args:
        sizes: Bytes that the largest of the sizes needs that are still to be timed.
        picture: Bytes that the picture needs, where it is still to be made.

    Raises:
        ConfigError: It does not.
    """
    need, left = max(sizes, picture), available()
    if need and need > left:
        what, less = (
            ("this", "--engines, --peers or --model, or smaller --sizes, in several runs")
            if sizes >= picture
            else (
                "the picture, which has each model at the size of its score",
                "--engines or --model, in several runs",
            )
        )
        raise ConfigError(
            f"all that takes turns is in memory at once: about {need / 1e9:.1f} GB for {what}, and "
            f"{left / 1e9:.1f} GB are available. Take fewer {less}"
        )
