"""A sheet of training crops with their labels: what a run will see, before it runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sernet_core.labels import CAMVID, overlay
from sernet_core.losses import OPEN
from sernet_core.report.sheet import legend
from sernet_core.storage import write_atomically
from sernet_core.train.stream import TrainingStream

_COLUMNS = 3  # of pairs
_TILE = 260  # pixels of a crop's width
_GAP = 4


def write_preview(path: Path, stream: TrainingStream, count: int = 24) -> None:
    """Write the first crops of a run, each beside its labels, as one picture.

    Args:
        path: PNG file.
        stream: The run's crops.
        count: How many; a run that has fewer shows all.

    Raises:
        InputError: It cannot be written.
    """
    classes = stream.dataset.classes if stream.dataset is not None else CAMVID
    pairs = []
    for number in range(min(count, len(stream))):
        image, label = (np.ascontiguousarray(part.numpy()) for part in stream[number])
        image = np.ascontiguousarray(image.transpose(1, 2, 0))
        tiles = [_tile(image), _tile(overlay(image, (label % OPEN).astype(np.uint8), classes, 0.65))]
        pairs.append(np.concatenate(tiles, axis=1))
    blank = np.full_like(pairs[0], 255)
    pairs += [blank] * (-len(pairs) % _COLUMNS)
    rows = [
        np.concatenate(pairs[start : start + _COLUMNS], axis=1) for start in range(0, len(pairs), _COLUMNS)
    ]
    sheet = np.concatenate([*rows, legend(classes, rows[0].shape[1])])
    _, code = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_atomically(path, lambda target: target.write_bytes(code.tobytes()))


def _tile(image: np.ndarray) -> np.ndarray:
    height = round(image.shape[0] * _TILE / image.shape[1])
    tile = cv2.resize(image, (_TILE, height), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(tile, 0, _GAP, 0, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
