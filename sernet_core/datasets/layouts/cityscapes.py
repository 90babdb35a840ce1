"""Cityscapes as published: a folder a city, labels with 34 ids of which 19 are classes of the benchmark."""

from __future__ import annotations

from pathlib import Path

from sernet_core.datasets.files import LabelDecoder, Pair
from sernet_core.datasets.layouts.base import Layout, subfolders
from sernet_core.labels import CITYSCAPES, IGNORE

# Cordts et al., CVPR 2016: ids of the labels in the order of the benchmark's classes; the others are void.
_CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_LABEL_IDS = range(34)
_IMAGE = "_leftImg8bit"


class Cityscapes(Layout):
    """`leftImg8bit` beside `gtFine`, or `gtCoarse` for a split that `gtFine` lacks.

    A label file of train ids (`_labelTrainIds`), where one was made, is not needed and not read.
    """

    name = "Cityscapes"
    picture = (
        f"leftImg8bit/SPLIT/CITY/STEM{_IMAGE}.png, gtFine/SPLIT/CITY/STEM_gtFine_labelIds.png (ids 0..33, "
        "or gtCoarse)"
    )
    counts = {"train": 2975, "val": 500, "test": 1525}  # noqa: RUF012

    def splits(self) -> list[str]:
        return subfolders(self.root / "leftImg8bit")

    def pairs(self, split: str) -> list[Pair]:
        images = sorted((self.root / "leftImg8bit" / split).glob(f"*/*{_IMAGE}.*"))
        truth = next((kind for kind in ("gtFine", "gtCoarse") if (self.root / kind / split).is_dir()), None)
        return [self._pair(image, split, truth) for image in images]

    def _pair(self, image: Path, split: str, truth: str | None) -> Pair:
        stem, city = image.stem.removesuffix(_IMAGE), image.parent.name
        label = self.root / truth / split / city / f"{stem}_{truth}_labelIds.png" if truth else None
        return Pair(stem, image, label)

    def decoder(self) -> LabelDecoder:
        ids = {number: _CLASS_IDS.index(number) if number in _CLASS_IDS else IGNORE for number in _LABEL_IDS}
        return LabelDecoder(CITYSCAPES, ids)
