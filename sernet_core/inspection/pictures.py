"""Features as pictures: their energy as a heat map with its scale, and their main directions as colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

TILE = 300  # width of a picture on a sheet
_GAP, _BAR, _HEAD = 12, 12, 26
_INK, _FAINT = (28, 36, 48), (93, 104, 119)
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet.

    Attributes:
        caption: Words above it.
        image: uint8 (H, W, 3) RGB.
        scale: Values of the darkest and of the brightest colour of a heat map.
    """

    caption: str
    image: np.ndarray
    scale: tuple[float, float] | None = None


def energy(features: Tensor) -> np.ndarray:
    """Root mean square over the channels: (C, h, w) to float32 (h, w)."""
    return features.float().square().mean(0).sqrt().cpu().numpy()


def heat(caption: str, values: np.ndarray, top: float | None = None) -> Tile:
    """A map of values from 0 on as colours.

    Args:
        caption: Words above it.
        values: float (h, w), none below 0.
        top: Value of the brightest colour; None: one that a hundredth of the values exceeds.
    """
    top = top or float(np.percentile(values, 99)) or float(values.max()) or 1.0
    levels = (np.clip(values / top, 0, 1) * 255).astype(np.uint8)
    return Tile(caption, cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1], (0.0, top))


def directions(*features: Tensor) -> list[np.ndarray]:
    """Features of one kind as colours: their three main directions (PCA) as red, green and blue.

    Args:
        features: Each (C, h, w); all get the same directions and the same scale, so that equal colours mean
            equal features.

    Returns:
        uint8 (h, w, 3) RGB each.
    """
    rows = [one.float().flatten(1).T for one in features]
    together = torch.cat(rows)
    mean = together.mean(0)
    # The covariance of all pixels; its sign is free, and is taken so that the largest weight is positive.
    _, vectors = torch.linalg.eigh((together - mean).T @ (together - mean))
    axes = vectors[:, -3:].flip(1)
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    projected = (together - mean) @ axes
    low, high = (torch.quantile(projected[:: max(1, len(projected) // 50_000)], q, 0) for q in (0.02, 0.98))
    colors = ((projected - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    parts = (255 * colors).to(torch.uint8).cpu().split([len(one) for one in rows])
    return [part.reshape(*one.shape[1:], 3).numpy() for part, one in zip(parts, features, strict=True)]


def sheet(rows: Sequence[tuple[str, Sequence[Tile]]]) -> np.ndarray:
    """Rows of pictures, each with a title or "": uint8 (H, W, 3) RGB on white."""
    columns = max(len(tiles) for _, tiles in rows)
    width = _GAP + columns * (TILE + _GAP)
    return np.concatenate([_row(title, tiles, width) for title, tiles in rows])


def _row(title: str, tiles: Sequence[Tile], width: int) -> np.ndarray:
    images = [_fit(tile.image) for tile in tiles]
    tallest = max(image.shape[0] for image in images)
    head = _HEAD if title else 0
    foot = _BAR + 24 if any(tile.scale for tile in tiles) else 0
    row = np.full((head + 22 + tallest + foot + _GAP, width, 3), 255, np.uint8)
    _write(row, title, (_GAP, 19), 0.55, _INK)
    for column, (tile, image) in enumerate(zip(tiles, images, strict=True)):
        left, top = _GAP + column * (TILE + _GAP), head + 22
        _write(row, tile.caption, (left, top - 7), 0.42, _FAINT)
        row[top : top + image.shape[0], left : left + TILE] = image
        if tile.scale is not None:
            _bar(row, left, top + image.shape[0] + 5, tile.scale)
    return row


def _bar(row: np.ndarray, left: int, top: int, scale: tuple[float, float]) -> None:
    ramp = np.linspace(0, 255, TILE).astype(np.uint8)[None].repeat(_BAR, 0)
    row[top : top + _BAR, left : left + TILE] = cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    last = f"{scale[1]:.3g} and above"
    at = left + TILE - cv2.getTextSize(last, _FONT, 0.38, 1)[0][0]
    _write(row, f"{scale[0]:g}", (left, top + _BAR + 14), 0.38, _FAINT)
    _write(row, last, (at, top + _BAR + 14), 0.38, _FAINT)


def _fit(image: np.ndarray) -> np.ndarray:
    height = max(1, round(image.shape[0] * TILE / image.shape[1]))
    kind = cv2.INTER_AREA if image.shape[1] > TILE else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(image), (TILE, height), interpolation=kind)


def _write(
    image: np.ndarray, text: str, at: tuple[int, int], size: float, color: tuple[int, int, int]
) -> None:
    cv2.putText(image, text, at, _FONT, size, color, 1, cv2.LINE_AA)
