"""Any folder of images and masks that a class file explains, in the usual arrangements."""

from __future__ import annotations

from pathlib import Path

from sernet_core.datasets.base import PARTS
from sernet_core.datasets.classfile import NAMES, class_file, decoder_of
from sernet_core.datasets.files import LabelDecoder, Pair
from sernet_core.datasets.layouts.base import Layout, subfolders
from sernet_core.datasets.lists import read_list
from sernet_core.media import by_stem, list_images

ALL = "all"
_LABELS = ("labels", "masks", "annotations")
_ENDINGS = ("", "_L", "_mask", "_label", "_labels")  # of a mask's name after its image's


class Folders(Layout):
    """Images and masks by split in whichever of three arrangements is found; masks hold ids or colours."""

    name = "folders"
    picture = (
        f"{' or '.join(NAMES)} (name,r,g,b[,id]) beside one of: images/SPLIT + labels/SPLIT; SPLIT + "
        f"SPLIT_labels; images + labels with SPLIT.txt (without lists the one split '{ALL}'); 'masks' and "
        "'annotations' are fine for 'labels', masks are ids or colours, named as the image or with "
        f"{', '.join(_ENDINGS[1:])} behind"
    )

    def splits(self) -> list[str]:
        return sorted(self._found())

    def pairs(self, split: str) -> list[Pair]:
        images, labels, listed = self._found()[split]
        found, masks = by_stem(list_images(images)), by_stem(list_images(labels))
        stems = sorted(found) if listed is None else read_list(listed, found)
        return [
            Pair(
                stem,
                found.get(stem, images / f"{stem}.*"),
                next((masks[stem + end] for end in _ENDINGS if stem + end in masks), labels / f"{stem}.png"),
            )
            for stem in stems
        ]

    def decoder(self) -> LabelDecoder:
        return decoder_of(self.root)

    def _found(self) -> dict[str, tuple[Path, Path, Path | None]]:
        """Folder of images, folder of masks and list of each split."""
        root = self.root
        if class_file(root) is None:
            return {}
        for kind in _LABELS:
            images, labels = root / "images", root / kind
            if both := [name for name in subfolders(images) if (labels / name).is_dir()]:
                return {name: (images / name, labels / name, None) for name in both}
            if both := [name for name in subfolders(root) if (root / f"{name}_{kind}").is_dir()]:
                return {name: (root / name, root / f"{name}_{kind}", None) for name in both}
            if images.is_dir() and labels.is_dir():
                lists = {part: root / f"{part}.txt" for part in PARTS if (root / f"{part}.txt").is_file()}
                return {ALL: (images, labels, None)} | {
                    part: (images, labels, path) for part, path in lists.items()
                }
        return {}
