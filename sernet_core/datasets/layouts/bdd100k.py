"""BDD100K's 10,000 frames for semantic segmentation, with the 19 classes of Cityscapes."""

from __future__ import annotations

from sernet_core.datasets.files import LabelDecoder, Pair
from sernet_core.datasets.layouts.base import Layout, subfolders
from sernet_core.labels import CITYSCAPES
from sernet_core.media import by_stem, list_images

_IMAGES, _LABELS = "images/10k", "labels/sem_seg/masks"


class BDD100K(Layout):
    """Images and masks in trees of their own; its test part has no published labels."""

    name = "BDD100K"
    picture = f"{_IMAGES}/SPLIT/STEM.jpg, {_LABELS}/SPLIT/STEM.png (train ids 0..18, 255 = void)"
    counts = {"train": 7000, "val": 1000, "test": 2000}  # noqa: RUF012

    def splits(self) -> list[str]:
        return subfolders(self.root / _IMAGES)

    def pairs(self, split: str) -> list[Pair]:
        labels = self.root / _LABELS / split
        images = by_stem(list_images(self.root / _IMAGES / split))
        return [
            Pair(stem, image, labels / f"{stem}.png" if labels.is_dir() else None)
            for stem, image in sorted(images.items())
        ]

    def decoder(self) -> LabelDecoder:
        return LabelDecoder.of(CITYSCAPES)
