"""Contact sheet: some frames of a run side by side with their ground truth, prediction and overlay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from sernet_core.errors import InputError
from sernet_core.labels import ClassSet, overlay

TILE_WIDTH = 320
_GAP = 10
_INK = (33, 37, 41)
_FAINT = (108, 117, 125)
_PAPER = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True)
class Exhibit:
    """One row of the sheet.

    Attributes:
        caption: Line above the row.
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W) class ids, as published.
        truth: uint8 (H, W) class ids, 255 = void, or None.
        overlay: uint8 (H, W, 3) RGB as published, or another picture for the last column; None: blended here.
    """

    caption: str
    image: np.ndarray
    mask: np.ndarray
    truth: np.ndarray | None = None
    overlay: np.ndarray | None = None


class Exhibits:
    """Keeps a few exhibits spread evenly over a run whose length nobody knows yet.

    Whenever twice the wanted number is there, every second goes and from then on only every second comes.
    """

    def __init__(self, wanted: int = 6) -> None:
        self._wanted = wanted
        self._stride = 1
        self._seen = 0
        self._kept: list[Exhibit] = []

    def offer(self, exhibit: Exhibit) -> None:
        """Take the next exhibit of the run, or leave it."""
        if self._seen % self._stride == 0:
            self._kept.append(shrink(exhibit))
            if len(self._kept) > 2 * self._wanted:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1

    def merge(self, other: Exhibits) -> None:
        """Take in what was kept of the next part of the run."""
        self._kept += other.chosen()

    def chosen(self) -> list[Exhibit]:
        """At most the wanted number, evenly spread, in order."""
        if len(self._kept) <= self._wanted:
            return list(self._kept)
        positions = np.linspace(0, len(self._kept) - 1, self._wanted).round().astype(int)
        return [self._kept[position] for position in positions]


def contact_sheet(
    exhibits: Sequence[Exhibit],
    classes: ClassSet,
    title: str,
    *,
    mask: str = "prediction",
    last: str = "overlay",
) -> np.ndarray:
    """Draw the sheet.

    Args:
        exhibits: The rows; the column of the ground truth is there when one of them has any.
        classes: Class set of the masks, for colours and the legend.
        title: Line at the top.
        mask: What the masks are.
        last: Name of the last column, which shows the exhibits' overlays.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        InputError: There is no exhibit.
    """
    if not exhibits:
        raise InputError("a contact sheet needs at least one frame")
    with_truth = any(exhibit.truth is not None for exhibit in exhibits)
    columns = ["frame", *(["ground truth"] if with_truth else []), mask, last]
    width = len(columns) * (TILE_WIDTH + _GAP) + _GAP
    rows = [_row(shrink(exhibit), classes, with_truth, width) for exhibit in exhibits]
    return np.concatenate([_header(title, columns, width), *rows, legend(classes, width)])


def thumbnail(image: np.ndarray) -> np.ndarray:
    """An image, uint8 (H, W, 3) RGB or (H, W) class ids, at the size that a sheet shows it in."""
    height = max(1, round(image.shape[0] * TILE_WIDTH / image.shape[1]))
    interpolation = cv2.INTER_AREA if image.ndim == 3 else cv2.INTER_NEAREST
    return cv2.resize(image, (TILE_WIDTH, height), interpolation=interpolation)


def shrink(exhibit: Exhibit) -> Exhibit:
    """Scale an exhibit to the width of a tile."""
    height = max(1, round(exhibit.image.shape[0] * TILE_WIDTH / exhibit.image.shape[1]))
    size = (TILE_WIDTH, height)

    def fit(image: np.ndarray, interpolation: int) -> np.ndarray:
        if image.shape[1::-1] == size:
            return image
        return cv2.resize(image, size, interpolation=interpolation)

    return replace(
        exhibit,
        image=fit(exhibit.image, cv2.INTER_AREA),
        mask=fit(exhibit.mask, cv2.INTER_NEAREST),
        truth=None if exhibit.truth is None else fit(exhibit.truth, cv2.INTER_NEAREST),
        overlay=None if exhibit.overlay is None else fit(exhibit.overlay, cv2.INTER_AREA),
    )


def _row(exhibit: Exhibit, classes: ClassSet, with_truth: bool, width: int) -> np.ndarray:
    tiles = [exhibit.image]
    if with_truth:
        empty = np.full_like(exhibit.image, 240)
        tiles.append(empty if exhibit.truth is None else classes.colorize(exhibit.truth))
    tiles.append(classes.colorize(exhibit.mask))
    blended = exhibit.overlay
    tiles.append(overlay(exhibit.image, exhibit.mask, classes) if blended is None else blended)
    caption_height = 22
    row = _paper(exhibit.image.shape[0] + caption_height + _GAP, width)
    _write(row, exhibit.caption, (_GAP, 15), 0.4, _FAINT)
    for column, tile in enumerate(tiles):
        left = _GAP + column * (TILE_WIDTH + _GAP)
        row[caption_height : caption_height + tile.shape[0], left : left + TILE_WIDTH] = tile
    return row


def _header(title: str, columns: Sequence[str], width: int) -> np.ndarray:
    header = _paper(78, width)
    _write(header, title, (_GAP, 34), 0.72, _INK)
    for column, name in enumerate(columns):
        _write(header, name, (_GAP + column * (TILE_WIDTH + _GAP), 70), 0.5, _INK)
    return header


def legend(classes: ClassSet, width: int) -> np.ndarray:
    """The classes' colours and names on a strip of a width, uint8 (H, width, 3) RGB."""
    entries = [*zip(classes.names, classes.palette, strict=True), ("void / unlabeled", (0, 0, 0))]
    line, swatch, height = 28, 16, 24
    places: list[tuple[int, int]] = []
    left, top = _GAP, _GAP
    for name, _ in entries:
        needed = swatch + 8 + cv2.getTextSize(name, _FONT, 0.45, 1)[0][0] + 18
        if left + needed > width and left > _GAP:
            left, top = _GAP, top + line
        places.append((left, top))
        left += needed
    strip = _paper(top + height + _GAP, width)
    for (name, color), (x, y) in zip(entries, places, strict=True):
        cv2.rectangle(strip, (x, y), (x + swatch, y + swatch), color, -1)
        cv2.rectangle(strip, (x, y), (x + swatch, y + swatch), _FAINT, 1)
        _write(strip, name, (x + swatch + 8, y + 13), 0.45, _INK)
    return strip


def _paper(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _write(
    image: np.ndarray, text: str, at: tuple[int, int], size: float, color: tuple[int, int, int]
) -> None:
    cv2.putText(image, text, at, _FONT, size, color, 1, cv2.LINE_AA)
