"""Video that browsers play: VP8 in WebM, which needs no codec that is not in OpenCV's own build."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from sernet_core.errors import InputError


class OverlayVideo:
    """Writes frames one by one; the first one decides the size.

    Larger frames than `max_width` are scaled down: the video is for looking at, and encoding takes the time
    of the processor that the network runs on.
    """

    def __init__(self, path: Path, rate: float, max_width: int = 960) -> None:
        self.path = path
        self.frames = 0
        self._rate = rate
        self._max_width = max_width
        self._size: tuple[int, int] | None = None
        self._writer: cv2.VideoWriter | None = None

    def write(self, image: np.ndarray) -> None:
        """Append a frame, uint8 (H, W, 3) RGB.

        Raises:
            InputError: The file cannot be written, or this OpenCV has no VP8 encoder.
        """
        if self._writer is None or self._size is None:
            self._size = self._fit(image.shape[1], image.shape[0])
            self._writer = self._open(self._size)
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def __enter__(self) -> OverlayVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fit(self, width: int, height: int) -> tuple[int, int]:
        scale = min(1.0, self._max_width / width)
        # Colour is stored at half the resolution: both sides must be even.
        return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        with _quiet_stderr():
            writer = cv2.VideoWriter(
                str(self.path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), self._rate, size
            )
        if not writer.isOpened():
            raise InputError(
                f"{self.path}: the video cannot be written: is the folder writable, and OpenCV built with "
                "FFmpeg (opencv-python-headless is)?"
            )
        return writer


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep OpenCV from printing that WebM has no four-letter tags; it writes to the descriptor itself."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
