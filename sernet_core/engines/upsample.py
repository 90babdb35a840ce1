"""From logits at a fraction of the size, mostly a quarter, to a mask, without the full-size logits.

The reference takes the bilinear upsampling of the logits, crops the padding, resizes bilinearly to the
frame where that has another size, and takes the argmax. Each step is a weighted mean along rows and one
along columns, so each output pixel is a mean of 2x2 neighbouring cells of the logits (3x3 with a second
resize) with weights that are not negative and add up to 1. Where one class wins in all of these cells, it
wins in every such mean: `l[c] >= l[k]` in each cell gives the same of the sums. Only pixels between cells of
different classes, one in ten or so, are interpolated. The mask equals the reference's but for ties, which
rounding may break either way.

The decision is NumPy's on one core: to hand pieces this small to several threads takes longer than the work,
and the engine's own threads have not gone to sleep yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sernet_core.decoder import resize
from sernet_core.engines.plan import Plan


@dataclass(frozen=True)
class _Axis:
    """Interpolation along one axis: output i is `sum_t weights[i, t] * cells[first[i] + t]`."""

    first: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, cells: int, scale: int, network: int, frame: int) -> _Axis:
        """Axis from cells to scale * cells, cropped to the network's size, resized to the frame's.

        The weights are read off the interpolation of the unit vectors, so they are torch's own.
        """
        unit = torch.eye(cells, dtype=torch.float64)[None]
        spread = functional.interpolate(unit, scale_factor=scale, mode="linear", align_corners=False)[
            ..., :network
        ]
        if network != frame:
            spread = functional.interpolate(spread, frame, mode="linear", align_corners=False)
        matrix = spread[0].T.numpy()
        used = matrix > 0
        taps = int((cells - used[:, ::-1].argmax(1) - used.argmax(1)).max())
        first = np.minimum(used.argmax(1), cells - taps)
        weights = np.take_along_axis(matrix, first[:, None] + np.arange(taps), 1)
        return cls(first, weights.astype(np.float32))

    @property
    def taps(self) -> int:
        return self.weights.shape[1]


class Upsampler:
    """Masks and confidences of a plan from logits float32 (K, h/s, w/s) of the padded input, s = `scale`.

    Args:
        plan: The sizes.
        temperature: Divides the logits for the confidence; the mask does not depend on it.
    """

    def __init__(self, plan: Plan, temperature: float = 1.0) -> None:
        self._plan = plan
        self._temperature = temperature
        self._cells = (plan.padded[0] // plan.scale, plan.padded[1] // plan.scale)
        self._rows = _Axis.of(self._cells[0], plan.scale, plan.network[0], plan.frame[0])
        self._columns = _Axis.of(self._cells[1], plan.scale, plan.network[1], plan.frame[1])

    def mask(self, logits: Tensor) -> np.ndarray:
        """uint8 (H, W) class ids; on a GPU by full-size logits, which it writes faster than it decides."""
        if logits.device.type != "cpu":
            return self.full(logits).argmax(0).to(torch.uint8).cpu().numpy()
        values = logits.numpy()
        classes = _argmax(values)
        mask = _spread(classes[: self._last_row, : self._last_column], self._rows, self._columns)
        open_ = np.flatnonzero(_spread(self._mixed(classes), self._rows, self._columns))
        if open_.size:
            mask.reshape(-1)[open_] = self._interpolated(values, open_).argmax(1)
        return mask

    def confidence(self, logits: Tensor) -> np.ndarray:
        """uint8 (H, W), the largest softmax probability times 255."""
        full = self.full(logits) / self._temperature
        best = (full.amax(0) - full.logsumexp(0)).exp()
        return (best * 255).round().to(torch.uint8).cpu().numpy()

    def full(self, logits: Tensor) -> Tensor:
        """The reference: logits (K, H, W) at the frame's size."""
        return self.full_batch(logits[None])[0]

    def full_batch(self, logits: Tensor) -> Tensor:
        """The reference for several frames: (N, K, h/s, w/s) to (N, K, H, W)."""
        height, width = self._plan.network
        full = resize(logits, self._plan.padded)[..., :height, :width]
        return resize(full, self._plan.frame)

    @property
    def _last_row(self) -> int:
        """One behind the last cell that a window of cells can begin in."""
        return self._cells[0] - self._rows.taps + 1

    @property
    def _last_column(self) -> int:
        return self._cells[1] - self._columns.taps + 1

    def _mixed(self, classes: np.ndarray) -> np.ndarray:
        """Whether the window of cells that begins in a cell holds more than one class."""
        height, width = self._last_row, self._last_column
        corner = classes[:height, :width]
        mixed = np.zeros((height, width), bool)
        for row in range(self._rows.taps):
            for column in range(self._columns.taps):
                mixed |= classes[row : row + height, column : column + width] != corner
        return mixed

    def _interpolated(self, logits: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Logits (N, K) of the frame's pixels with these flat indices."""
        count, _, width = logits.shape
        cells = np.ascontiguousarray(logits.transpose(1, 2, 0)).reshape(-1, count)
        rows, columns = np.divmod(pixels, self._plan.frame[1])
        corner = self._rows.first[rows] * width + self._columns.first[columns]
        down, across = self._rows.weights[rows], self._columns.weights[columns]
        total = np.zeros((len(pixels), count), np.float32)
        for row in range(self._rows.taps):
            for column in range(self._columns.taps):
                part = cells.take(corner + (row * width + column), 0)
                part *= (down[:, row] * across[:, column])[:, None]
                total += part
        return total


def _argmax(logits: np.ndarray) -> np.ndarray:
    """uint8 (h, w), the first largest class of float32 (K, h, w): plane by plane, as they lie in memory."""
    best, classes = logits[0].copy(), np.zeros(logits.shape[1:], np.uint8)
    for number, plane in enumerate(logits[1:], 1):
        classes[plane > best] = number
        np.maximum(best, plane, out=best)
    return classes


def _spread(values: np.ndarray, rows: _Axis, columns: _Axis) -> np.ndarray:
    """A value of each cell, given to all pixels whose window begins there."""
    return values.take(rows.first, 0).take(columns.first, 1)
