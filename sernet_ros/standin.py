"""A network that only takes its time, for a node: see `timed_node`.

What the road to the mask costs beside a network that leaves the processor alone, as one on a GPU does.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from sernet_core.errors import ConfigError
from sernet_core.labels import CAMVID


class StandIn:
    """In the place of a `Segmenter`: sleeps, and gives every pixel the first class.

    Args:
        model: Milliseconds that a frame takes, e.g. "20 ms".

    Raises:
        ConfigError: It is no such time.
    """

    engine = "sleep"
    device = precision = "none"
    classes = CAMVID
    input_size = (480, 360)
    building = engine_fault = cache_fault = ""
    device_memory = None

    def __init__(self, model: str, **_: Any) -> None:
        number, _space, unit = model.partition(" ")
        if unit != "ms" or not number.isdecimal():
            raise ConfigError(f"model: a stand-in is a time such as '20 ms', not '{model}'")
        self.model = model
        self._seconds = int(number) / 1000

    def warm_up(self, height: int, width: int, *, guess: bool = False) -> None:
        """Nothing is to be warmed up."""

    def prepare(self, height: int, width: int) -> None:
        """Nothing is to be built."""

    def close(self) -> None:
        """Nothing is to be let go of."""

    def run_network(self) -> None:
        """Take the time."""
        time.sleep(self._seconds)

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        """Mask and perhaps confidence, uint8 (H, W), of an image (H, W, 3)."""
        self.run_network()
        mask = np.zeros(image.shape[:2], np.uint8)
        return SimpleNamespace(mask=mask, confidence=mask if confidence else None)

    def segment_many(self, images: list[np.ndarray], *, confidence: bool = False) -> list[SimpleNamespace]:
        """One after the other."""
        return [self.segment(image, confidence=confidence) for image in images]
