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
from sernet_core.storage import move_into_place, temporary_beside


class OverlayVideo:
    """Writes frames one by one; the first one decides the size.

    Larger frames than `max_width` are scaled down: the video is for looking at, and encoding takes the time
    of the processor that the network runs on. The file is in its place once it is whole: after `close`.
    """

    def __init__(self, path: Path, rate: float, max_width: int = 960) -> None:
        self.path = path
        self.frames = 0
        self._rate = rate
        self._max_width = max_width
        self._size: tuple[int, int] | None = None
        self._writer: cv2.VideoWriter | None = None
        self._temporary: Path | None = None

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
        """Finish the file and put it in its place.

        Raises:
            InputError: Not all of it could be written, e.g. on a full disk.
        """
        temporary = self._finish()
        if temporary is None:
            return
        try:
            if not _is_whole(temporary):
                raise InputError(f"{self.path}: the video could not be written to its end: is the disk full?")
            move_into_place(temporary, self.path)
        except OSError as error:
            raise InputError(f"{self.path}: the video cannot be written: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def discard(self) -> None:
        """Give up what was written."""
        if temporary := self._finish():
            temporary.unlink(missing_ok=True)

    def _finish(self) -> Path | None:
        if self._writer is not None:
            self._writer.release()
        temporary, self._writer, self._temporary = self._temporary, None, None
        return temporary

    def __enter__(self) -> OverlayVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def _fit(self, width: int, height: int) -> tuple[int, int]:
        scale = min(1.0, self._max_width / width)
        # Colour is stored at half the resolution: both sides must be even.
        return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        try:
            self._temporary = temporary_beside(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: the video cannot be written: {error.strerror}") from error
        with _quiet_stderr():
            writer = cv2.VideoWriter(
                str(self._temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), self._rate, size
            )
        if not writer.isOpened():
            self.discard()
            raise InputError(
                f"{self.path}: the video cannot be written: is the folder writable, and OpenCV built with "
                "FFmpeg (opencv-python-headless is)?"
            )
        return writer


def _is_whole(path: Path) -> bool:
    """Whether a WebM file is as long as it says: OpenCV does not tell when a frame could not be written.

    The one segment of the file has the id 0x18538067 and a size of eight bytes, the first being 1 (RFC 8794).
    """
    with path.open("rb") as file:
        head = file.read(128)
    before, segment, after = head.partition(b"\x18\x53\x80\x67\x01")
    size = int.from_bytes(after[:7], "big")
    return bool(segment) and path.stat().st_size == len(before) + len(segment) + 7 + size


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
