"""What the node knows about its own health: counts and times of a camera, and the status made of them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from sernet_core.errors import InputError
from sernet_ros.worker import STAGES

if TYPE_CHECKING:  # it needs torch
    from sernet_core.runtime import DeviceMemory

STALE_AFTER = 2.0
"""Seconds without an image after which an active node warns."""

_OVERLOAD = 0.1  # share of the images that may be dropped before it is told
_LITTLE_MEMORY = 0.05  # share of the device's memory, below which it is told
_RATE_WINDOW = 5.0
_LATENCIES = 500
_PERCENTILES = (5, 25, 50, 75, 95, 99)  # what a box plot needs
# Different causes of rejection that are logged, so that no sender can flood the log.
_CAUSES_LOGGED = 100


class _Rate:
    """Events a second over the last few seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._since = time.monotonic()

    def tick(self) -> None:
        self._times.append(time.monotonic())
        self._forget()

    def hertz(self) -> float:
        self._forget()
        watched = min(_RATE_WINDOW, time.monotonic() - self._since)
        return len(self._times) / watched if watched > 0 else 0.0

    def _forget(self) -> None:
        oldest = time.monotonic() - _RATE_WINDOW
        while self._times and self._times[0] < oldest:
            self._times.popleft()


@dataclass
class Counts:
    """Frames of a camera since the node was configured.

    Attributes:
        received: Frames that reached the node while it was active and enabled.
        answered: Frames whose mask was published.
        dropped: Frames replaced by a newer one before they were looked at, or stopped by the user.
        rejected: Frames that were no usable image, by reason.
        failed: Frames without a mask that can be trusted, by reason: timeout, engine, unexpected.
        incomplete: Answered frames of which something beside the mask failed.
    """

    received: int = 0
    answered: int = 0
    dropped: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    incomplete: int = 0


class CameraMonitor:
    """Keeps the counts and times of one camera; every method may be called from any thread.

    Args:
        warn: Logs a rejection; called once for each cause.
        error: Logs a failure; called for each.
    """

    def __init__(self, warn: Callable[[str], None], error: Callable[[str], None]) -> None:
        self._warn, self._error = warn, error
        self._causes: set[object] = set()
        self._lock = threading.Lock()
        self._counts = Counts()
        self._input, self._output, self._drops = _Rate(), _Rate(), _Rate()
        self._milliseconds: dict[str, deque[float]] = {
            name: deque(maxlen=_LATENCIES) for name in (*STAGES, "age")
        }
        self._waiting_since = time.monotonic()
        self._seen = False
        # Told at the next report even if a good frame has followed since.
        self._failure = self._rejection = self._missing = ""
        self._last_failed = False

    def activated(self) -> None:
        """Forget what was wrong before: the camera starts anew."""
        with self._lock:
            self._input, self._output, self._drops = _Rate(), _Rate(), _Rate()
            self._waiting_since, self._seen = time.monotonic(), False
            self._failure, self._rejection, self._last_failed = "", "", False

    def received(self) -> None:
        with self._lock:
            self._counts.received += 1
            self._input.tick()
            self._waiting_since, self._seen = time.monotonic(), True

    def dropped(self) -> None:
        with self._lock:
            self._counts.dropped += 1
            self._drops.tick()

    def rejected(self, error: InputError) -> None:
        reason = getattr(error, "reason", "unusable")
        cause = getattr(error, "cause", reason)
        with self._lock:
            self._counts.rejected[reason] += 1
            self._rejection = str(error)
            is_new = cause not in self._causes and len(self._causes) < _CAUSES_LOGGED
            self._causes |= {cause} if is_new else set()
        if is_new:
            self._warn(f"image rejected (logged once for this cause, counted in /diagnostics): {error}")

    def failed(self, reason: str, message: str) -> None:
        with self._lock:
            self._counts.failed[reason] += 1
            self._failure, self._last_failed = message, True
        self._error(f"no mask for a frame: {message}")

    def incomplete(self, message: str) -> None:
        """Note that a mask was published, but not all that goes with it."""
        with self._lock:
            self._counts.incomplete += 1
            self._missing = message
        self._error(f"the mask is published, but overlay, confidence or the like failed: {message}")

    def answered(self, seconds: Mapping[str, float]) -> None:
        with self._lock:
            self._counts.answered += 1
            self._output.tick()
            self._last_failed = False
            for name, value in seconds.items():
                self._milliseconds[name].append(1e3 * value)

    def aged(self, seconds: float) -> None:
        """Note how old an image was when its mask was published, by the clock that stamped it."""
        with self._lock:
            self._milliseconds["age"].append(1e3 * seconds)

    def health(self) -> tuple[bytes, str]:
        """Level and words for what happened since the last call; OK and nothing when all is well."""
        with self._lock:
            failure, rejection, missing = self._failure, self._rejection, self._missing
            self._rejection = self._missing = ""
            if not self._last_failed:
                self._failure = ""
            silent, seen = time.monotonic() - self._waiting_since, self._seen
            dropped, arrived = self._drops.hertz(), self._input.hertz()
            took = self._milliseconds["inference"]
            inference = float(np.median(np.fromiter(took, float))) if took else 0.0
        if failure:
            return DiagnosticStatus.ERROR, f"no mask for a frame: {failure}"
        if missing:
            return DiagnosticStatus.WARN, f"the mask is published, but not all that goes with it: {missing}"
        if rejection:
            return DiagnosticStatus.WARN, f"image rejected: {rejection}"
        if silent > STALE_AFTER:
            return DiagnosticStatus.WARN, f"no image for {silent:.0f} s" if seen else "no image yet"
        if dropped > _OVERLOAD * arrived:
            words = f"overload: {dropped:.1f} of {arrived:.1f} images a second are dropped; "
            return DiagnosticStatus.WARN, words + f"the network takes {inference:.0f} ms for one"
        return DiagnosticStatus.OK, ""

    def values(self) -> dict[str, str]:
        """Every figure, as words, in the order in which they are shown."""
        with self._lock:
            counts = self._counts
            values = {
                "input_hz": f"{self._input.hertz():.2f}",
                "output_hz": f"{self._output.hertz():.2f}",
                "received": str(counts.received),
                "answered": str(counts.answered),
                "dropped": str(counts.dropped),
                "dropped_hz": f"{self._drops.hertz():.2f}",
                "rejected": str(counts.rejected.total()),
                **{f"rejected.{reason}": str(count) for reason, count in sorted(counts.rejected.items())},
                "failed": str(counts.failed.total()),
                **{f"failed.{reason}": str(count) for reason, count in sorted(counts.failed.items())},
                "incomplete": str(counts.incomplete),
                "stale": str(time.monotonic() - self._waiting_since > STALE_AFTER).lower(),
            }
            for stage, samples in self._milliseconds.items():
                if samples:
                    percentiles = np.percentile(np.fromiter(samples, float), _PERCENTILES)
                    for share, value in zip(_PERCENTILES, percentiles, strict=True):
                        values[f"{stage}_ms.p{share}"] = f"{value:.2f}"
        return values


def memory_values(memory: DeviceMemory | None) -> dict[str, str]:
    """Figures of a GPU's memory in MB, as words; none where there is no GPU."""
    if memory is None:
        return {}
    sizes = {"used": memory.used, "left": memory.left, "total": memory.total}
    return {f"device_memory_mb.{name}": f"{size / 1e6:.0f}" for name, size in sizes.items()}


def memory_fault(memory: DeviceMemory | None, device: str) -> str:
    """Words for a GPU whose memory is nearly full; empty when it is not."""
    if memory is None or memory.left >= _LITTLE_MEMORY * memory.total:
        return ""
    left, total = (f"{size / 1e6:.0f}" for size in (memory.left, memory.total))
    return f"{device} has {left} of {total} MB left: a larger image or another network may find no room"


def status(
    name: str, level: bytes, message: str, hardware: str, values: Mapping[str, str]
) -> DiagnosticStatus:
    """A diagnostic status with its figures."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, hardware_id=hardware, values=pairs)
