"""A contact sheet: every town in every condition, each picture beside its labels."""

from __future__ import annotations

import cv2
import numpy as np

from sernet_core.labels import CAMVID
from sernet_core.synthetic.light import CONDITIONS
from sernet_core.synthetic.sequence import Sequence
from sernet_core.synthetic.towns import TOWNS

_MARGIN, _HEADER = 6, 22


def contact_sheet(seed: int = 0, tile: tuple[int, int] = (280, 210)) -> np.ndarray:
    """Draw the sheet.

    Args:
        seed: Seed of the sequences.
        tile: Width and height of a picture in pixels.

    Returns:
        uint8 (H, W, 3) RGB: one row a town, one pair of columns a condition.
    """
    width, height = tile
    step_x, step_y = 2 * width + _MARGIN, height + _HEADER
    shape = (step_y * len(TOWNS) + _MARGIN, step_x * len(CONDITIONS) + _MARGIN, 3)
    page = np.full(shape, 255, np.uint8)
    for row, town in enumerate(TOWNS):
        for column, condition in enumerate(CONDITIONS):
            # Drawn at twice the size and made smaller: the sheet is looked at, not learned from.
            frame = Sequence(town, condition, seed, (2 * width, 2 * height))[20 * column]
            x, y = _MARGIN + column * step_x, _HEADER + row * step_y
            page[y : y + height, x : x + width] = cv2.resize(frame.image, tile, interpolation=cv2.INTER_AREA)
            label = cv2.resize(frame.label, tile, interpolation=cv2.INTER_NEAREST)
            page[y : y + height, x + width : x + 2 * width] = CAMVID.colorize(label)
            place = (x + 2, y - 7)
            cv2.putText(
                page,
                f"{town}, {condition}",
                place,
                cv2.FONT_HERSHEY_SIMPLEX,
                0.45,
                (40, 40, 40),
                1,
                cv2.LINE_AA,
            )
    return page
