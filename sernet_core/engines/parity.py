"""Whether an engine computes what the reference computes, and how its time compares."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sernet_core.engines.base import Engine
from sernet_core.synthetic import random_frame

FRAMES = 3
FIRST_SEED = 1_000_000  # of scenes that no training run sees
AGREEMENT = 0.995
REDUCED_MIOU = 90.0
COMMON = 0.001


@dataclass(frozen=True)
class Parity:
    """An engine beside the reference, on the same frames.

    Attributes:
        agreement: Share of pixels with the same class.
        miou: Mean IoU in percent with the reference's masks as truth, over the classes that hold at least
            one pixel in a thousand of these: an IoU of a dozen pixels says nothing.
        seconds: Median time from frame to mask.
    """

    agreement: float
    miou: float
    seconds: float

    def fault(self, precision: str) -> str:
        """Why the engine is not to be trusted; empty when it is.

        float32 must give the reference's mask. Reduced precision moves borders between classes, so it is
        judged by class.
        """
        if precision == "fp32":
            agrees = self.agreement >= AGREEMENT
            return (
                ""
                if agrees
                else f"agrees with eager on {self.agreement:.2%} of the pixels, not {AGREEMENT:.1%}"
            )
        if self.miou >= REDUCED_MIOU:
            return ""
        return f"has mIoU {self.miou:.1f} against eager's masks, not {REDUCED_MIOU:g}"


def street_frames(height: int, width: int, count: int = FRAMES) -> list[np.ndarray]:
    """uint8 (height, width, 3) RGB pictures of synthetic streets, the same each time."""
    size = (max(width, 64), max(height, 64))
    images = (random_frame(FIRST_SEED + index, size).image for index in range(count))
    return [np.ascontiguousarray(image[:height, :width]) for image in images]


def compare(
    reference: Engine, engines: Mapping[str, Engine], frames: Sequence[np.ndarray]
) -> dict[str, Parity | Exception]:
    """Run engines side by side, in turns on each frame so that a busy moment meets all of them.

    Returns:
        Each engine's parity. One that fails on a frame, with whatever its library raises, has its error in
        its place, and runs no further.

    Raises:
        EngineError: The reference gives nothing that can be trusted.
    """
    truth = [reference.segment(frame).mask for frame in frames]
    times: dict[str, list[float]] = {name: [] for name in engines}
    masks: dict[str, list[np.ndarray]] = {name: [] for name in engines}
    errors: dict[str, Exception] = {}
    for turn, frame in enumerate([frames[0], *frames]):
        for name, engine in engines.items():
            if name in errors:
                continue
            start = time.perf_counter()
            try:
                mask = engine.segment(frame).mask
            except Exception as error:
                errors[name] = error
                continue
            if turn:  # the first run is slower, and does not count
                masks[name].append(mask)
                times[name].append(time.perf_counter() - start)
    return {
        name: errors.get(name)
        or Parity(*likeness(np.stack(truth), np.stack(masks[name])), float(np.median(times[name])))
        for name in engines
    }


def likeness(truth: np.ndarray, masks: np.ndarray) -> tuple[float, float]:
    """Agreement 0..1 and mIoU in percent of masks with a truth."""
    scores = []
    for index in np.unique(truth):
        wanted, found = truth == index, masks == index
        if wanted.mean() >= COMMON:
            scores.append((wanted & found).sum() / (wanted | found).sum())
    return float((truth == masks).mean()), 100 * float(np.mean(scores))
