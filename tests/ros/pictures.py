"""Pictures on disk for the tests of the replayer and of its sources."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

RNG = np.random.default_rng(7)


def write_png(path: Path, image: np.ndarray) -> np.ndarray:
    """Write RGB or grey pixels losslessly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return image


def noise(width: int, height: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), np.uint8)
