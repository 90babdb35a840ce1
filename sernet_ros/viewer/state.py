"""What the page shows: the newest pictures as JPEG, and the figures. Knows neither ROS nor HTTP."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sernet_core.labels import IGNORE, ClassSet

CAMERA, OVERLAY = "camera", "overlay"
_QUALITY = 80
_MAX_WIDTH = 960
_SAMPLES = 50  # of the latency
_WINDOW = 20.0  # seconds over which masks are counted
_STALE = 3.0  # seconds without a mask
_GREY = (136, 136, 136)


@dataclass(frozen=True)
class _Frame:
    number: int
    jpeg: bytes


class ViewState:
    """Takes what arrives, from any thread, and gives it to any number of browsers.

    A picture is encoded when somebody looks and not before, and once for all who look.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pictures: dict[str, tuple[int, np.ndarray]] = {}
        self._frames: dict[str, _Frame] = {}
        self._encoding = threading.Lock()
        self._labels: dict[int, tuple[str, tuple[int, int, int]]] = {}
        self._share = np.zeros(256)
        self._arrivals: dict[int, float] = {}
        self._latencies: deque[float] = deque(maxlen=_SAMPLES)
        self._masks: deque[float] = deque(maxlen=_SAMPLES)
        self._status: dict[str, str] = {}
        self._message = ""
        self._closed = False

    def take_picture(self, kind: str, image: np.ndarray, stamp_ns: int) -> None:
        """Take a picture, uint8 (H, W, 3) RGB, of CAMERA or OVERLAY."""
        with self._changed:
            number = self._pictures[kind][0] + 1 if kind in self._pictures else 1
            self._pictures[kind] = number, image
            if kind == CAMERA:
                self._arrivals[stamp_ns] = time.monotonic()
                while len(self._arrivals) > 4 * _SAMPLES:
                    self._arrivals.pop(next(iter(self._arrivals)))
            self._changed.notify_all()

    def take_mask(self, mask: np.ndarray, stamp_ns: int) -> None:
        """Take a mask, uint8 (H, W)."""
        now = time.monotonic()
        share = np.bincount(mask.ravel(), minlength=256) / mask.size
        with self._changed:
            self._share = share
            self._masks.append(now)
            arrived = self._arrivals.pop(stamp_ns, None)
            if arrived is not None:
                self._latencies.append(1e3 * (now - arrived))

    def take_classes(self, classes: ClassSet, ids: Sequence[int] | None = None) -> None:
        """Take the names and colours of the classes, and their ids where they do not count from 0."""
        labels = zip(classes.names, classes.palette, strict=True)
        with self._changed:
            self._labels = dict(zip(range(len(classes.names)) if ids is None else ids, labels, strict=True))

    def take_status(self, message: str, values: Mapping[str, str]) -> None:
        """Take the node's diagnostics."""
        with self._changed:
            self._message, self._status = message, dict(values)

    def next_jpeg(self, kind: str, seen: int, timeout: float) -> tuple[int, bytes] | None:
        """The newest picture of a kind, once it is newer than number `seen`.

        Args:
            kind: CAMERA or OVERLAY.
            seen: Number of the picture that was given last; 0 at first.
            timeout: Seconds to wait.

        Returns:
            Its number and its JPEG; None when there was none in time, or the view is closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._pictures.get(kind, (0, None))[0] > seen, timeout
            )
            number, image = self._pictures.get(kind, (0, None))
            if self._closed or image is None or number <= seen:
                return None
        with self._encoding:
            frame = self._frames.get(kind)
            if frame is None or frame.number < number:
                frame = _Frame(number, _encode(image))
                self._frames[kind] = frame
        return frame.number, frame.jpeg

    def figures(self) -> dict[str, Any]:
        """Everything on the page but the pictures, JSON-ready; shares in percent, latency in ms."""
        with self._changed:
            now = time.monotonic()
            recent = [moment for moment in self._masks if now - moment < _WINDOW]
            span = recent[-1] - recent[0] if len(recent) > 1 else 0.0
            latencies = sorted(self._latencies)
            return {
                "message": self._message,
                "classes": self._shares(),
                "rate_hz": round((len(recent) - 1) / span, 2) if span else None,
                "latency_ms": round(latencies[len(latencies) // 2], 1) if latencies else None,
                "stale": not self._masks or now - self._masks[-1] > _STALE,
                "node": {
                    key: self._status[key]
                    for key in ("model", "engine", "device", "precision", "input_hz", "dropped", "rejected")
                    if key in self._status
                },
            }

    def _shares(self) -> list[dict[str, Any]]:
        labels = {**self._labels, IGNORE: ("unlabeled", (0, 0, 0))} if self._labels else {}
        shown = sorted({*self._labels, *map(int, np.flatnonzero(self._share))})
        named = {index: labels.get(index, (f"id {index}", _GREY)) for index in shown}
        return [
            _entry(name, "#{:02x}{:02x}{:02x}".format(*color), self._share[index])
            for index, (name, color) in named.items()
        ]

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _entry(name: str, color: str, share: float) -> dict[str, Any]:
    return {"name": name, "color": color, "share": round(100.0 * float(share), 2)}


def _encode(image: np.ndarray) -> bytes:
    if image.shape[1] > _MAX_WIDTH:
        height = max(1, round(image.shape[0] * _MAX_WIDTH / image.shape[1]))
        image = cv2.resize(image, (_MAX_WIDTH, height), interpolation=cv2.INTER_AREA)
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
