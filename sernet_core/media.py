"""Images and videos on disk, as RGB arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from sernet_core.errors import InputError, NoImagesError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


def is_image(path: Path) -> bool:
    """Whether a file has the name of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def read_image(path: Path) -> np.ndarray:
    """Read an image file as uint8 (H, W, 3) RGB.

    Raises:
        InputError: Unreadable, or not an image.
    """
    return cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_unchanged(path: Path) -> np.ndarray:
    """Read an image file with the channels and depth that it has (colours in the order BGR).

    Raises:
        InputError: Unreadable, or not an image.
    """
    return _decode(path, cv2.IMREAD_UNCHANGED)


def is_lossy(path: Path) -> bool:
    """Whether an image file holds other values than were stored in it: JPEG, or WebP that is not lossless.

    False where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError:
        return False
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return start[:3] == b"\xff\xd8\xff" or (webp and start[12:16] == b"VP8 ")


def read_palette(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Indices, uint8 (H, W), and colours, uint8 (N, 3) RGB, of an image with a palette; None without one.

    One of a single bit has black and white as its palette. OpenCV knows such images by their colours alone.

    Raises:
        InputError: It has one, but cannot be decoded.
    """
    try:
        image = Image.open(path)
    except OSError:
        return None
    with image:
        if image.mode not in ("P", "1"):
            return None
        try:
            if image.mode == "1":  # one bit: OpenCV makes 255 of 1
                return np.array(image, np.uint8), np.array([(0, 0, 0), (255, 255, 255)], np.uint8)
            return np.array(image), np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        except (OSError, SyntaxError) as error:
            raise InputError(f"{path}: not an image that can be decoded (is the file whole?)") from error


def _decode(path: Path, flags: int) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not data.size:
        raise InputError(f"{path}: the file is empty")
    image = cv2.imdecode(data, flags)
    if image is None:
        raise InputError(f"{path}: not an image that can be decoded (is the file whole?)")
    return image


def list_images(folder: Path) -> list[Path]:
    """Images of a folder in the order in which people count: frame2 before frame10.

    Raises:
        NoImagesError: There are none.
    """
    paths = [path for path in folder.iterdir() if path.is_file() and is_image(path)]
    if not paths:
        raise NoImagesError(
            f"{folder}: no images in this folder ({', '.join(IMAGE_SUFFIXES)}), nor is it the root of a data "
            "set in a layout that `sernet data` knows"
        )
    return sorted(paths, key=_natural)


def by_stem(paths: list[Path]) -> dict[str, Path]:
    """Files by their name without its ending.

    Raises:
        InputError: Two of them share it.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise InputError(
                f"{path}: {found[path.stem].name} beside it has the same name but for the ending"
            )
        found[path.stem] = path
    return found


def _natural(path: Path) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name.lower())
    ]


class Video:
    """A video file.

    Attributes:
        path: The file.
        rate: Frames a second; None where the file does not say, or not believably.
        length: Number of frames as the file has it; None where it does not say.

    Raises:
        InputError: Not one frame can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        capture = cv2.VideoCapture(str(path))
        try:
            rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            if not (capture.isOpened() and capture.grab()):
                raise InputError(
                    f"{path}: not a video that can be decoded, nor an image ({', '.join(IMAGE_SUFFIXES)})"
                )
        finally:
            capture.release()
        self.rate = rate if 0.1 <= rate <= 1000.0 else None
        self.length = count if count > 0 else None

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames from the first one on, uint8 (H, W, 3) RGB."""
        capture = cv2.VideoCapture(str(self.path))
        try:
            while (step := capture.read())[0]:
                yield cv2.cvtColor(step[1], cv2.COLOR_BGR2RGB)
        finally:
            capture.release()
