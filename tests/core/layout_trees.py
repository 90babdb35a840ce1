"""Small data sets on disk, one in each layout that people have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIZE = (48, 32)  # width, height
RNG = np.random.default_rng(3)


def write_image(path: Path, size: tuple[int, int] = SIZE) -> None:
    """An image of noise."""
    _write(path, RNG.integers(0, 256, (size[1], size[0], 3), np.uint8))


def write_label(
    path: Path, values: Sequence[int] | Sequence[tuple[int, int, int]], size: tuple[int, int] = SIZE
) -> None:
    """A label whose columns go through some ids, or through some colours (RGB), one after the other."""
    stripes = np.array(values, np.uint8)[np.arange(size[0]) % len(values)]
    image = np.broadcast_to(stripes, (size[1], *stripes.shape))
    _write(path, image if image.ndim == 2 else image[..., ::-1])


def write_indexed(path: Path, values: Sequence[int], colors: Sequence[tuple[int, int, int]]) -> None:
    """A label with a palette, whose columns go through some indices, one after the other."""
    stripes = np.array(values, np.uint8)[np.arange(SIZE[0]) % len(values)]
    image = Image.fromarray(np.repeat(stripes[None], SIZE[1], 0), "P")
    image.putpalette(bytes(np.array(colors, np.uint8)))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(image))


def segnet(root: Path) -> Path:
    """SegNet's CamVid; the lists name another root, as the published ones do."""
    for split, stems in {"train": ("0001TP_1", "0016E5_2"), "val": ("0016E5_3",)}.items():
        for stem in stems:
            write_image(root / f"{split}/{stem}.png")
            write_label(root / f"{split}annot/{stem}.png", [0, 3, 10, 11])
        lines = [f"/SegNet/CamVid/{split}/{s}.png /SegNet/CamVid/{split}annot/{s}.png" for s in stems]
        (root / f"{split}.txt").write_text("\n".join(reversed(lines)))
    return root


def camvid(root: Path, colors: Sequence[tuple[int, int, int]], *, lists: bool = True) -> Path:
    """The original CamVid with labels of some colours."""
    stems = ("0001TP_006690", "0006R0_f00930", "Seq05VD_f00000")
    for stem in stems:
        write_image(root / f"701_StillsRaw_full/{stem}.png")
        write_label(root / f"LabeledApproved_full/{stem}_L.png", colors)
    if lists:
        (root / "train.txt").write_text(f"{stems[0]}\n701_StillsRaw_full/{stems[1]}.png\n")
        (root / "test.txt").write_text(
            f"701_StillsRaw_full/{stems[2]}.png LabeledApproved_full/{stems[2]}_L.png\n"
        )
    return root


def cityscapes(root: Path, ids: Sequence[int] = (0, 7, 26, 33)) -> Path:
    """Cityscapes with two cities; its test part has images alone."""
    cities = (("train", "aachen"), ("train", "bochum"), ("val", "lindau"), ("test", "berlin"))
    for split, city in cities:
        for number in range(2):
            stem = f"{city}_{number:06d}_000019"
            write_image(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png")
            if split != "test":
                label = root / f"gtFine/{split}/{city}/{stem}_gtFine"
                write_label(label.with_name(f"{label.name}_labelIds.png"), ids)
                label.with_name(f"{label.name}_polygons.json").write_text("{}")
    return root


def bdd100k(root: Path) -> Path:
    """BDD100K; its test part has images alone."""
    for split, stem in (("train", "0004a4c0-d4dff0ad"), ("val", "7d06fefd-f7be05a6"), ("test", "cabc30fc")):
        write_image(root / f"images/10k/{split}/{stem}.jpg")
        if split != "test":
            write_label(root / f"labels/sem_seg/masks/{split}/{stem}.png", [0, 13, 18, 255])
    return root


CLASSES = "name,r,g,b\nground,10,20,30\nvoid,0,0,0\nthing,200,100,50\n"


def folders(root: Path, images: str, labels: str, values: Sequence, ending: str = "") -> Path:
    """A folder data set: patterns of the folders by split, what the masks hold, how their names end."""
    root.mkdir(exist_ok=True)
    (root / "class_dict.csv").write_text(CLASSES)
    for split in ("train", "val"):
        write_image(root / images.format(split=split) / f"{split}0.jpg")
        write_label(root / labels.format(split=split) / f"{split}0{ending}.png", values)
    return root
