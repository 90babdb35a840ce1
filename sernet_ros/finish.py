"""From the network's answer to what is published: region, threshold, ignored parts, ids and scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import IGNORE, resize_labels
from sernet_core.media import read_unchanged
from sernet_core.relabel import Labeling


@dataclass(frozen=True)
class Region:
    """The part of the image that is segmented; a width or height of 0 reaches to the edge."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0

    def of(self, image: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns of the region in an image (H, W, ...), cut off at its edges.

        Raises:
            InputError: The image has nothing there.
        """
        height, width = image.shape[:2]
        if self.x >= width or self.y >= height:
            words = f"roi: begins at ({self.x}, {self.y}), outside of the image of {width}x{height}"
            raise InputError(words, cause="roi")
        bottom = min(self.y + self.height, height) if self.height else height
        right = min(self.x + self.width, width) if self.width else width
        return slice(self.y, bottom), slice(self.x, right)


class IgnoreMask:
    """Pixels that never get a class, such as the own bonnet: where a picture is not black.

    Args:
        path: Image file with the same view as the camera, of any size.

    Raises:
        ConfigError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            picture = read_unchanged(path)
        except InputError as error:
            raise ConfigError(f"ignore_mask: {error}") from error
        flat = picture if picture.ndim == 2 else picture[..., :3].max(2)
        self._given = self._fitted = (flat > 0).astype(np.uint8)

    def at(self, height: int, width: int) -> np.ndarray:
        """The mask at an image's size, uint8 (H, W), 1 = ignored."""
        if self._fitted.shape != (height, width):
            # Kept, for the next image has most likely the same size.
            self._fitted = resize_labels(self._given, (height, width))
        return self._fitted


@dataclass(frozen=True)
class Finish:
    """Rules by which a camera's masks are finished.

    Attributes:
        labeling: Published ids, names and colours.
        region: Part of the image that is segmented.
        ignore: Pixels that never get a class.
        threshold: Confidence, 0..1, below which a pixel is unlabeled.
        scale: Size of the published mask over that of the image, above 0 and up to 1.
    """

    labeling: Labeling
    region: Region = field(default_factory=Region)
    ignore: IgnoreMask | None = None
    threshold: float = 0.0
    scale: float = 1.0

    def mask(
        self, answer: np.ndarray, confidence: np.ndarray | None, image: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Mask and confidence at the image's size.

        Args:
            answer: uint8 class ids of the region, as the network gave them.
            confidence: uint8 confidence of the region times 255; None where nobody asked.
            image: uint8 (H, W, 3), the whole image.

        Returns:
            uint8 (H, W) published ids, and uint8 (H, W) confidence or None; what is ignored or outside the
            region is unlabeled, with confidence 0.
        """
        if self.threshold > 0 and confidence is not None:
            answer = np.where(confidence < 255 * self.threshold, np.uint8(IGNORE), answer)
        window, size = self.region.of(image), image.shape[:2]
        answer = _placed(answer, window, size, IGNORE)
        if confidence is not None:
            confidence = _placed(confidence, window, size, 0)
        if self.ignore is not None:
            ignored = self.ignore.at(*size)
            answer = np.where(ignored, np.uint8(IGNORE), answer)
            confidence = None if confidence is None else np.where(ignored, np.uint8(0), confidence)
        return self.labeling.relabel(answer), confidence

    def scaled(self, picture: np.ndarray) -> np.ndarray:
        """A mask or confidence, uint8 (H, W), at the published size: each pixel that of the nearest."""
        size = scaled_size(picture.shape, self.scale)
        return picture if picture.shape == size else resize_labels(picture, size)


def scaled_size(shape: Sequence[int], scale: float) -> tuple[int, int]:
    """Height and width of a mask for an image of a shape (H, W, ...)."""
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _placed(part: np.ndarray, window: tuple[slice, slice], size: tuple[int, int], rest: int) -> np.ndarray:
    if part.shape == size:
        return part
    whole = np.full(size, rest, np.uint8)
    whole[window] = part
    return whole
