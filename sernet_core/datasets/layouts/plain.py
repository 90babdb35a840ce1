"""The plain tree: a folder a split, with images and labels in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from sernet_core.datasets.classfile import decoder_of
from sernet_core.datasets.files import LabelDecoder, Pair
from sernet_core.datasets.layouts.base import Layout
from sernet_core.datasets.lists import read_list
from sernet_core.media import by_stem, is_image, list_images


class Plain(Layout):
    """`SPLIT/images/STEM.*` with `SPLIT/labels/STEM.png`; a split may be listed in `SPLIT.txt`."""

    name = "plain tree"
    picture = "SPLIT/images/STEM.(webp|png|jpg), SPLIT/labels/STEM.png, [SPLIT.txt], [classes.csv]"

    def splits(self) -> list[str]:
        found = [path for path in self.root.glob("*/images") if path.is_dir()]
        # A folder that holds another data set, such as BDD100K, may have DIR/images too.
        return sorted(path.parent.name for path in found if _has_images(path))

    def pairs(self, split: str) -> list[Pair]:
        folder, labels = self.root / split / "images", self.root / split / "labels"
        images = by_stem(list_images(folder))
        listed = self._listed(split, images)
        return [
            Pair(
                stem,
                images.get(stem, folder / f"{stem}.*"),
                labels / f"{stem}.png" if labels.is_dir() else None,
            )
            for stem in (sorted(images) if listed is None else listed)
        ]

    def stems(self, split: str, known: Collection[str] = ()) -> Sequence[str]:
        listed = self._listed(split, known)
        if listed is not None:
            return listed
        folder = self.root / split / "images"
        # A folder that waits for its images takes none from the other parts.
        return super().stems(split) if folder.is_dir() and any(folder.iterdir()) else []

    def decoder(self) -> LabelDecoder:
        return decoder_of(self.root)

    def _listed(self, split: str, known: Collection[str]) -> list[str] | None:
        """Stems of a split's list, which may be empty; None where there is no list."""
        path: Path = self.root / f"{split}.txt"
        return read_list(path, known) if path.is_file() else None


def _has_images(folder: Path) -> bool:
    """Whether there are images in a folder, or nothing at all."""
    return any(map(is_image, folder.iterdir())) or not any(folder.iterdir())
