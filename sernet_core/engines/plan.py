"""The sizes that one engine is built for: of the frame, of the network's input, of its padded input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_NEAR = 1.1  # times the pixels, or a part of them: rounding, and what "as many pixels" leaves open


def same_scale(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two sizes of a network's input have about as many pixels, whatever their aspects."""
    return 1 / _NEAR <= one[0] * one[1] / (other[0] * other[1]) <= _NEAR


@dataclass(frozen=True)
class Plan:
    """All sizes are (height, width).

    Attributes:
        frame: Of the frame, and of its mask.
        network: At which the network sees the frame.
        stride: Of the network; its input is padded to multiples of it.
        scale: Size of that input over the size of the network's logits.
        batch: Frames that go through the network at once.
    """

    frame: tuple[int, int]
    network: tuple[int, int]
    stride: int
    scale: int = 4
    batch: int = 1

    @property
    def padded(self) -> tuple[int, int]:
        """Size of what `prepare` gives, hence of the engine's input."""
        height, width = self.network
        return height + -height % self.stride, width + -width % self.stride

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """A uint8 (H, W, 3) frame at the engine's input size, contiguous.

        Padding repeats the last row and column, as the network itself does: of bytes or of normalised
        values, it is the same.
        """
        height, width = self.network
        if image.shape[:2] != self.network:
            shrinks = height * width < image.shape[0] * image.shape[1]
            kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = cv2.resize(image, (width, height), interpolation=kind)
        bottom, right = self.padded[0] - height, self.padded[1] - width
        if bottom or right:
            image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(image)
