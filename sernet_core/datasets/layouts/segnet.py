"""CamVid as SegNet's tutorial has it: 480x360, eleven classes, lists of pairs."""

from __future__ import annotations

from sernet_core.datasets.files import LabelDecoder, Pair
from sernet_core.datasets.layouts.base import Layout, subfolders
from sernet_core.datasets.lists import read_list
from sernet_core.labels import CAMVID, IGNORE
from sernet_core.media import by_stem, list_images

STANDARD = {"train": 367, "val": 101, "test": 233}
_VOID = 11  # what these labels have for pixels without a class


class SegNet(Layout):
    """`SPLIT/STEM.png` with `SPLITannot/STEM.png`; the paths in the lists may begin with another root."""

    name = "CamVid, SegNet's"
    picture = "SPLIT/STEM.png, SPLITannot/STEM.png (ids 0..10, 11 = void), [SPLIT.txt: 'IMAGE LABEL' lines]"
    counts = STANDARD

    def splits(self) -> list[str]:
        annotated = {name.removesuffix("annot") for name in subfolders(self.root) if name.endswith("annot")}
        return [name for name in subfolders(self.root) if name in annotated]

    def pairs(self, split: str) -> list[Pair]:
        folder, listed = self.root / split, self.root / f"{split}.txt"
        images = by_stem(list_images(folder))
        return [
            Pair(stem, images.get(stem, folder / f"{stem}.png"), self.root / f"{split}annot/{stem}.png")
            for stem in (read_list(listed, images) if listed.is_file() else sorted(images))
        ]

    def decoder(self) -> LabelDecoder:
        identity = LabelDecoder.of(CAMVID)
        return LabelDecoder(CAMVID, {**identity.ids, _VOID: IGNORE})
