"""From logits at a fraction of the size, mostly a quarter, to a mask, without the full-size logits.

The reference takes the bilinear upsampling of the logits, crops the padding, resizes bilinearly to the
frame where that has another size, and takes the argmax. Each step is a weighted mean along rows and one
along columns, so each output pixel is a mean of 2x2 neighbouring cells of the logits (3x3 with a second
resize) with weights that are not negative and add up to 1. Where one class wins in all of these cells, it
wins in every such mean: `l[c] >= l[k]` in each cell gives the same of the sums. Only pixels between cells of
different classes, one in ten or so, are interpolated: in blocks of pixels that are means of the same cells,
for many blocks at once and one class after the other, so that NumPy's inner loops are long and the arrays
stay in a core's cache. The mask equals the reference's but for ties, which rounding may break either way.

The decision is NumPy's on one core: to hand pieces this small to several threads takes longer than the work,
and the engine's own threads have not gone to sleep yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sernet_core.decoder import resize
from sernet_core.engines.plan import Plan

PIXELS_AT_ONCE = 2**16
"""Pixels interpolated together: a quarter of a megabyte a class."""


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

    def grouped(self) -> _Groups:
        """Neighbouring outputs of the same cells, in groups of one size, as large as most of them are.

        At the borders more outputs have the same cells than inside; they become several groups.
        """
        counts = np.unique(self.first, return_counts=True)[1]  # `first` never falls
        size = math.ceil(np.median(counts))
        begins = np.concatenate([np.arange(0, count, size) for count in counts])
        begins += np.repeat(np.cumsum(counts) - counts, -(-counts // size))
        ends = np.append(begins[1:], len(self.first))
        outputs = np.minimum(begins + np.arange(size)[:, None], ends - 1)
        weights = self.weights[outputs].transpose(2, 0, 1)
        return _Groups(self.first[begins], outputs, np.ascontiguousarray(weights))


@dataclass(frozen=True)
class _Groups:
    """The outputs of an axis in groups (G) of one size (S).

    Attributes:
        first: First cell of a group's outputs, (G,).
        outputs: A group's outputs, (S, G); one with fewer repeats its last.
        weights: Of each cell for each output, (taps, S, G).
    """

    first: np.ndarray
    outputs: np.ndarray
    weights: np.ndarray


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
        self._row_groups, self._column_groups = self._rows.grouped(), self._columns.grouped()

    def mask(self, logits: Tensor) -> np.ndarray:
        """uint8 (H, W) class ids; on a GPU by full-size logits, which it writes faster than it decides."""
        if logits.device.type != "cpu":
            return self.full(logits).argmax(0).to(torch.uint8).cpu().numpy()
        values = logits.numpy()
        classes = _argmax(values)
        mask = _spread(classes[: self._last_row, : self._last_column], self._rows, self._columns)
        rows, columns = self._mixed(classes).nonzero()
        blocks = max(1, PIXELS_AT_ONCE // (len(self._row_groups.outputs) * len(self._column_groups.outputs)))
        for begin in range(0, len(rows), blocks):
            self._decide(mask, values, rows[begin : begin + blocks], columns[begin : begin + blocks])
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
        """Whether pixels of a group of rows and one of columns are means of cells of several classes."""
        height, width = self._last_row, self._last_column
        corner = classes[:height, :width]
        mixed = np.zeros((height, width), bool)
        for row in range(self._rows.taps):
            for column in range(self._columns.taps):
                mixed |= classes[row : row + height, column : column + width] != corner
        return mixed.take(self._row_groups.first, 0).take(self._column_groups.first, 1)

    def _decide(self, mask: np.ndarray, logits: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
        """Interpolate N blocks, each of a group of rows and one of columns, and write their classes.

        The last axis of all arrays is the blocks.
        """
        width = logits.shape[2]
        first = self._row_groups.first.take(rows) * width + self._column_groups.first.take(columns)
        window = np.arange(self._rows.taps)[:, None] * width + np.arange(self._columns.taps)
        cells = first + window[..., None]
        down, across = self._row_groups.weights.take(rows, 2), self._column_groups.weights.take(columns, 2)

        def interpolated(plane: np.ndarray) -> np.ndarray:
            lines = _weighted_sum(plane.take(cells)[:, None], down[:, :, None])  # (rows, taps, N)
            return _weighted_sum(lines.swapaxes(0, 1)[:, :, None], across[:, None])  # (rows, columns, N)

        lines = self._row_groups.outputs.take(rows, 1) * self._plan.frame[1]
        pixels = lines[:, None] + self._column_groups.outputs.take(columns, 1)
        mask.reshape(-1)[pixels] = _argmax(map(interpolated, logits.reshape(len(logits), -1)))


def _weighted_sum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of the products along the first axis, whose terms are few."""
    total = values[0] * weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        total += value * weight
    return total


def _argmax(planes: Iterable[np.ndarray]) -> np.ndarray:
    """uint8, the first largest class of float32 planes of equal shape, one for each class in turn."""
    planes = iter(planes)
    best = next(planes).copy()
    classes = np.zeros(best.shape, np.uint8)
    for number, plane in enumerate(planes, 1):
        larger = plane > best
        # By arithmetic: an assignment by mask would take several times as long.
        np.maximum(classes, larger.view(np.uint8) * np.uint8(number), out=classes)
        np.maximum(best, plane, out=best)
    return classes


def _spread(values: np.ndarray, rows: _Axis, columns: _Axis) -> np.ndarray:
    """A value of each cell, given to all pixels whose window begins there."""
    return values.take(rows.first, 0).take(columns.first, 1)
