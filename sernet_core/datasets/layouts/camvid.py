"""CamVid as its authors published it: 960x720, 32 classes by colour."""

from __future__ import annotations

from sernet_core.datasets.base import PARTS
from sernet_core.datasets.camvid32 import CAMVID32
from sernet_core.datasets.files import LabelDecoder, Pair
from sernet_core.datasets.layouts.base import Layout
from sernet_core.datasets.layouts.segnet import STANDARD
from sernet_core.datasets.lists import read_list
from sernet_core.labels import CAMVID
from sernet_core.media import by_stem, list_images

ALL = "all"
_IMAGES, _LABELS = "701_StillsRaw_full", "LabeledApproved_full"


class CamVidOriginal(Layout):
    """Stills and colour labels in two folders; the lists say which still is in which split."""

    name = "CamVid, original"
    picture = (
        f"{_IMAGES}/STEM.png, {_LABELS}/STEM_L.png (32 colours), train.txt val.txt test.txt (a stem or path "
        f"a line; without them the one split '{ALL}')"
    )
    counts = STANDARD

    def splits(self) -> list[str]:
        if not (self.root / _IMAGES).is_dir():
            return []
        return [*(part for part in PARTS if (self.root / f"{part}.txt").is_file()), ALL]

    def pairs(self, split: str) -> list[Pair]:
        folder, labels = self.root / _IMAGES, self.root / _LABELS
        images = by_stem(list_images(folder))
        stems = sorted(images) if split == ALL else read_list(self.root / f"{split}.txt", images)
        return [
            Pair(
                stem,
                images.get(stem, folder / f"{stem}.png"),
                labels / f"{stem}_L.png" if labels.is_dir() else None,
            )
            for stem in stems
        ]

    def decoder(self) -> LabelDecoder:
        return LabelDecoder(CAMVID, LabelDecoder.of(CAMVID).ids, CAMVID32)
