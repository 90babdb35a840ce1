"""Training augmentation of an image and its label: the settings, and the geometry, which both undergo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sernet_core.errors import ConfigError
from sernet_core.input_size import MIN_SIZE
from sernet_core.labels import IGNORE, resize_labels
from sernet_core.photometric import PhotometricConfig, photometric

_LEAST_SCALE = 0.05  # a crop is then cut from 400 times its own pixels


@dataclass(frozen=True)
class AugmentConfig(PhotometricConfig):
    """How far training frames are changed; ranges are (low, high), probabilities 0..1.

    Attributes:
        crop: Width and height of the training crop in pixels.
        scale: Range of the resize before the crop, drawn log-uniformly.
        flip: Probability of a mirror image.
        rare: Names of the classes that the next two settings are for.
        rare_crops: Probability that a crop is laid around a pixel of one of these classes.
        paste: Probability that objects of these classes, cut from other training frames, are pasted into a
            frame.
        paste_most: Most objects that a frame gets.
    """

    crop: tuple[int, int] = (384, 288)
    scale: tuple[float, float] = (0.6, 1.8)
    flip: float = 0.5
    rare: tuple[str, ...] = ()
    rare_crops: float = 0.0
    paste: float = 0.0
    paste_most: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.scale
        if not 0 < low <= high:
            raise ConfigError(f"scale: needs 0 < low <= high, got {self.scale}")
        if low < _LEAST_SCALE:
            raise ConfigError(f"scale: needs at least {_LEAST_SCALE:g}, got {low:g}")
        if min(self.crop) < high:
            raise ConfigError(f"scale: {high:g} times enlarged, a crop of {self.crop} holds no whole pixel")
        if min(self.crop) < MIN_SIZE:
            raise ConfigError(f"crop: needs at least {MIN_SIZE}x{MIN_SIZE} pixels, got {self.crop}")
        for name in ("flip", "rare_crops", "paste"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: must be from 0 to 1, got {getattr(self, name)}")
        if self.paste_most < 1:
            raise ConfigError(f"paste_most: needs at least 1, got {self.paste_most}")
        if (self.rare_crops or self.paste) and not self.rare:
            raise ConfigError(
                "rare_crops and paste: need to know for which classes; set rare, e.g. [Pole, Pedestrian]"
            )


def augment(
    image: np.ndarray,
    label: np.ndarray,
    config: AugmentConfig,
    rng: np.random.Generator,
    rare: Sequence[int] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """One random training crop.

    Args:
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W).
        config: Ranges and probabilities.
        rng: Source of every random choice: one state, one result.
        rare: Ids of the classes that `rare_crops` seeks.

    Returns:
        uint8 (h, w, 3) and uint8 (h, w) of the configured crop; where the crop reaches beyond the resized
        frame the image is grey and the label void.
    """
    image, label = _scale_and_crop(image, label, config, rng, rare)
    if rng.random() < config.flip:
        image, label = image[:, ::-1], label[:, ::-1]
    return photometric(np.ascontiguousarray(image), config, rng), np.ascontiguousarray(label)


def _scale_and_crop(
    image: np.ndarray,
    label: np.ndarray,
    config: AugmentConfig,
    rng: np.random.Generator,
    rare: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    width, height = config.crop
    factor = float(np.exp(rng.uniform(*np.log(config.scale))))
    # The crop is cut in the source first, so that only what is kept gets resized.
    source_w, source_h = round(width / factor), round(height / factor)
    y, x = _rare_pixel(label, config, rng, rare)
    left = _offset(image.shape[1], source_w, x, rng)
    top = _offset(image.shape[0], source_h, y, rng)
    box_image = np.full((source_h, source_w, 3), 124, np.uint8)
    box_label = np.full((source_h, source_w), IGNORE, np.uint8)
    y0, y1 = max(top, 0), min(top + source_h, image.shape[0])
    x0, x1 = max(left, 0), min(left + source_w, image.shape[1])
    box_image[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    box_label[y0 - top : y1 - top, x0 - left : x1 - left] = label[y0:y1, x0:x1]
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return (
        cv2.resize(box_image, (width, height), interpolation=kind),
        resize_labels(box_label, (height, width)),
    )


def _rare_pixel(
    label: np.ndarray, config: AugmentConfig, rng: np.random.Generator, rare: Sequence[int]
) -> tuple[int | None, int | None]:
    """Row and column of a pixel to lay the crop around, of a rare class chosen first; None for anywhere."""
    if not config.rare_crops or rng.random() >= config.rare_crops:
        return None, None
    present = [number for number in rare if (label == number).any()]
    if not present:
        return None, None
    places = np.flatnonzero(label == present[int(rng.integers(len(present)))])
    row, column = divmod(int(places[rng.integers(len(places))]), label.shape[1])
    return row, column


def _offset(have: int, want: int, around: int | None, rng: np.random.Generator) -> int:
    """First pixel of a window of `want` in `have`; negative when the window is the larger one.

    The window holds `around`, at any place of its own that the bounds allow.
    """
    low, high = sorted((0, have - want))
    if around is not None and want < have:
        low, high = max(low, around - want + 1), min(high, around)
    return int(rng.integers(low, high + 1))
