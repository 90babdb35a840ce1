"""The whole evaluation: one pass over a split, every row on every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from sernet_core.datasets import Dataset
from sernet_core.errors import ConfigError, InputError
from sernet_core.evaluate.boundary import BAND
from sernet_core.evaluate.rows import SINGLE, Row, predict_rows
from sernet_core.evaluate.split import check_split
from sernet_core.evaluate.tally import Tally
from sernet_core.evaluate.temporal import neighbours
from sernet_core.report import Exhibit, RankedExhibits
from sernet_core.runtime import Segmenter

WORST = 8
WIDEST_BAND = 0.1
_RIGHT, _WRONG, _VOID = 0.45, (214, 40, 40), (70, 80, 110)


@dataclass(frozen=True)
class Evaluation:
    """Results of a split.

    Attributes:
        tallies: One a row, the single scale first.
        step: Between the numbers of neighbouring frames' names; 0 where no frames are neighbours.
        worst: Frames with the lowest mIoU of the first row, the lowest first.
        sizes: Width and height of what the network saw at scale 1, and of the labels; no pair twice.
        engines: Name and precision of what made the masks of the single scale: one, but where frames differ
            in size and the engine is chosen for each.
    """

    tallies: list[Tally]
    step: float
    worst: list[Exhibit]
    sizes: list[tuple[tuple[int, int], tuple[int, int]]]
    engines: list[tuple[str, str]]


def evaluate_rows(
    segmenter: Segmenter,
    dataset: Dataset,
    rows: Sequence[Row] = (SINGLE,),
    *,
    band: float = BAND,
    worst: int = WORST,
    quiet: bool = False,
) -> Evaluation:
    """Evaluate a split.

    Args:
        segmenter: Its masks are those of the live node.
        dataset: Frames with ground truth.
        rows: Ways of looking at a frame, the single scale first.
        band: Width of the band of the boundary IoU as a share of the image's diagonal.
        worst: How many of the worst frames are kept as pictures.
        quiet: No progress bar.

    Raises:
        InputError: The class sets differ, a frame has no ground truth, or the split was trained on.
        ConfigError: A band that makes no sense.
    """
    if not 0 < band <= WIDEST_BAND:
        raise ConfigError(
            f"--band: must be above 0 and at most {WIDEST_BAND:g} of the diagonal, got {band:g}"
        )
    check_split(dataset, segmenter.info, segmenter.model)
    step, follows = neighbours(dataset.stems)
    tallies = [Tally(row, dataset.classes, band) for row in rows]
    ranked = RankedExhibits(worst)
    sizes: dict[tuple[tuple[int, int], tuple[int, int]], None] = {}
    engines: dict[tuple[str, str], None] = {}
    bar = tqdm(
        dataset, f"evaluate {dataset.name}", len(dataset), unit="frame", leave=False, disable=quiet or None
    )
    for sample, after in zip(bar, follows, strict=True):
        if sample.label is None:
            raise InputError(
                f"{dataset.name}: {sample.stem} has no ground truth; `sernet predict` needs none"
            )
        height, width = sample.label.shape
        sizes[segmenter.network_size(height, width)[::-1], (width, height)] = None
        for tally, prediction in zip(tallies, predict_rows(segmenter, sample.image, rows), strict=True):
            line = tally.update(sample.stem, sample.label, prediction, after)
            if prediction.engine:
                engines[prediction.engine] = None
            if tally is tallies[0] and worst and line.miou is not None:
                caption = (
                    f"{sample.stem}: mIoU {line.miou:.1f} %, {line.pixel_accuracy:.1f} % of the pixels right"
                )
                errors = error_picture(sample.image, sample.label, prediction.mask, len(dataset.classes))
                ranked.offer(Exhibit(caption, sample.image, prediction.mask, sample.label, errors), line.miou)
        bar.set_postfix_str(f"mIoU {tallies[0].matrix.miou:.2f} %", refresh=False)
    return Evaluation(tallies, step, ranked.worst(), list(sizes), list(engines))


def error_picture(image: np.ndarray, truth: np.ndarray, mask: np.ndarray, classes: int) -> np.ndarray:
    """Where a mask is wrong: red on the darkened grey image; void, where nobody can tell, is blue.

    Args:
        image: uint8 (H, W, 3) RGB.
        truth: uint8 (H, W), void at and above `classes`.
        mask: uint8 (H, W).
        classes: Number of classes.
    """
    grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) * _RIGHT).astype(np.uint8)
    picture = np.repeat(grey[..., None], 3, 2)
    picture[truth >= classes] = _VOID
    picture[(truth < classes) & (mask != truth)] = _WRONG
    return picture
