"""Ways of looking at a frame: once, mirrored too, at several scales; each is a row of the results.

Where a row has several views of a frame, the class probabilities of the views are averaged (each with the
checkpoint's temperature), mirrored back and at the frame's size. The first row, one view, is what the node
publishes: no averaging, the mask of the engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sernet_core.errors import ConfigError
from sernet_core.runtime import Segmenter

SMALLEST, LARGEST = 0.25, 4.0  # scales that make sense
View = tuple[float, bool]  # scale of the network's input, and whether the frame is mirrored


@dataclass(frozen=True)
class Row:
    """One way of looking at a frame.

    Attributes:
        label: Its name in the results.
        views: Each view is one pass through the network.
    """

    label: str
    views: tuple[View, ...] = ((1.0, False),)


SINGLE = Row("single scale")


@dataclass(frozen=True)
class Prediction:
    """What a row says of a frame.

    Attributes:
        mask: uint8 (H, W) class ids.
        confidence: uint8 (H, W), the largest probability times 255.
        unscaled: The same without the checkpoint's temperature; of the first row alone.
        engine: Name and precision of the engine that made the mask; of the first row alone.
    """

    mask: np.ndarray
    confidence: np.ndarray
    unscaled: np.ndarray | None = None
    engine: tuple[str, str] | None = None


def make_rows(*, flip: bool = False, scales: Sequence[float] = ()) -> list[Row]:
    """The rows asked for; the first one is always the single scale.

    Raises:
        ConfigError: A scale that makes no sense.
    """
    for scale in scales:
        if not (math.isfinite(scale) and SMALLEST <= scale <= LARGEST):
            raise ConfigError(f"--scales: each must be from {SMALLEST:g} to {LARGEST:g}, got {scale:g}")
    rows = [SINGLE]
    if flip:
        rows.append(Row("flip", ((1.0, False), (1.0, True))))
    several = tuple((scale, False) for scale in dict.fromkeys(scales))
    if several and several != SINGLE.views:
        label = f"scales {', '.join(f'{scale:g}' for scale, _ in several)}"
        rows.append(Row(label, several))
        if flip:
            rows.append(Row(f"{label} + flip", several + tuple((scale, True) for scale, _ in several)))
    return rows


def predict_rows(segmenter: Segmenter, image: np.ndarray, rows: Sequence[Row]) -> list[Prediction]:
    """What each row says of a frame, uint8 (H, W, 3) RGB; a view that several rows share is computed once."""
    with torch.inference_mode():
        temperature = segmenter.info.temperature
        first, whole = segmenter.examine(image)
        assert first.confidence is not None
        unscaled = _levels((whole.amax(0) - whole.logsumexp(0)).exp())
        engine = (segmenter.engine, segmenter.precision)
        found = [Prediction(first.mask, first.confidence, unscaled, engine)]
        sums: dict[Row, Tensor] = {}
        for view in dict.fromkeys(view for row in rows[1:] for view in row.views):
            logits = whole if view == SINGLE.views[0] else _view(segmenter, image, view)
            probabilities = (logits / temperature).softmax(0)
            for row in rows[1:]:
                if view in row.views:
                    # Not in place: the sums of two rows may start with the same view.
                    sums[row] = sums[row] + probabilities if row in sums else probabilities
        for row in rows[1:]:
            best = (sums[row] / len(row.views)).max(0)
            found.append(Prediction(best.indices.to(torch.uint8).cpu().numpy(), _levels(best.values)))
        return found


def _view(segmenter: Segmenter, image: np.ndarray, view: View) -> Tensor:
    scale, mirrored = view
    _, logits = segmenter.examine(np.ascontiguousarray(image[:, ::-1]) if mirrored else image, scale=scale)
    return logits.flip(-1) if mirrored else logits


def _levels(confidence: Tensor) -> np.ndarray:
    return (confidence * 255).round().to(torch.uint8).cpu().numpy()
