"""What a process takes over time: processor and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

_PERIOD = 0.5  # seconds between two looks


@dataclass(frozen=True)
class Usage:
    """What a process took at a moment: percent of one core, and resident megabytes."""

    at_ns: int
    cpu_percent: float
    memory_mb: float


class Meter:
    """Looks at a process twice a second; at none where its number is not known."""

    def __init__(self, pid: int | None) -> None:
        # The first figure of a process covers the time since the one before: start with a whole period.
        self._next = time.monotonic() + _PERIOD
        self._process: psutil.Process | None = None
        if pid is None:
            return
        try:
            self._process = psutil.Process(pid)
            self._process.cpu_percent()
        except psutil.Error:
            self._process = None

    def due(self) -> bool:
        """Whether it is time to look again."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _PERIOD
        return True

    def sample(self, into: list[Usage]) -> None:
        """Append what the process takes now, if it still runs."""
        if self._process is None:
            return
        try:
            cpu, memory = self._process.cpu_percent(), self._process.memory_info().rss / 2**20
        except psutil.Error:
            return
        into.append(Usage(time.monotonic_ns(), cpu, memory))
