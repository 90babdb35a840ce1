"""Data sets: frames with their ground truth, checked before they are used.

The layout on disk is the plain tree `{split}/images/STEM.(webp|png|jpg)`, `{split}/labels/STEM.png` with an
optional list `{split}.txt` of stems and an optional `classes.csv`. The root "synthetic" stands for the
procedural scenes of `sernet_core.synthetic`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sernet_core import synthetic
from sernet_core.errors import ConfigError, InputError, unknown_name
from sernet_core.labels import CAMVID, IGNORE, ClassSet
from sernet_core.media import by_stem, list_images, read_image, read_unchanged


@dataclass(frozen=True)
class Sample:
    """One frame: image uint8 (H, W, 3) RGB and ground truth uint8 (H, W), 255 = void, or None."""

    stem: str
    image: np.ndarray
    label: np.ndarray | None


class Dataset(Protocol):
    """Frames of one split, in order."""

    name: str
    classes: ClassSet
    stems: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]: ...


def open_dataset(root: str | Path, split: str) -> Dataset:
    """Open one split of a data set.

    Args:
        root: Folder of a plain tree, or "synthetic".
        split: Name of the part, e.g. "train" or "val".

    Raises:
        ConfigError: There is no such split.
        InputError: The tree is not what its layout promises; the message names the file.
    """
    if str(root) == "synthetic":
        return SyntheticSplit(split)
    return TreeDataset(Path(root), split)


def read_label(path: Path, classes: ClassSet) -> np.ndarray:
    """Read a label image as uint8 (H, W) and check that it holds ids of the class set and 255 alone."""
    label = read_unchanged(path)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise InputError(
            f"{path}: a label is one channel of 8 bits with class ids, this is {label.shape} {label.dtype}"
        )
    found = np.flatnonzero(np.bincount(label.ravel(), minlength=256))
    wrong = [int(value) for value in found if len(classes) <= value != IGNORE]
    if wrong:
        raise InputError(
            f"{path}: ids {wrong} are no class of {classes.name} (0..{len(classes) - 1}, 255 = void)"
        )
    return label


class TreeDataset:
    """One split of a plain tree; labels may be absent as a whole, but not for single frames."""

    def __init__(self, root: Path, split: str) -> None:
        if not root.is_dir():
            raise InputError(
                f"{root}: no such folder; give the folder that holds {split}/images and {split}/labels"
            )
        folder = root / split / "images"
        if not folder.is_dir():
            splits = sorted(path.parent.name for path in root.glob("*/images"))
            words = (
                f"{unknown_name('split', split, splits)}; a split is a folder SPLIT/images with SPLIT/labels"
            )
            raise ConfigError(f"{root}: {words}")
        self.name = f"{root.name}/{split}"
        self.classes = _read_classes(root / "classes.csv")
        images = by_stem(sorted(list_images(folder)))
        self.stems = _listed_stems(root / f"{split}.txt", images)
        self._images = images
        labels = root / split / "labels"
        self._labels = {stem: labels / f"{stem}.png" for stem in self.stems} if labels.is_dir() else {}
        missing = [stem for stem, path in self._labels.items() if not path.is_file()]
        if missing:
            raise InputError(f"{labels}: no label for {len(missing)} frame(s), the first is {missing[0]}.png")

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> Sample:
        stem = self.stems[index]
        image = read_image(self._images[stem])
        label = read_label(self._labels[stem], self.classes) if self._labels else None
        if label is not None and label.shape != image.shape[:2]:
            raise InputError(
                f"{self._labels[stem]}: {label.shape[1]}x{label.shape[0]} pixels, its image has "
                f"{image.shape[1]}x{image.shape[0]}"
            )
        return Sample(stem, image, label)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def _read_classes(path: Path) -> ClassSet:
    """Class set of a tree: CamVid's eleven where there is no file; column order id, name, r, g, b."""
    if not path.is_file():
        return CAMVID
    try:
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["id"]) != IGNORE]
        rows.sort(key=lambda row: int(row["id"]))
        if [int(row["id"]) for row in rows] != list(range(len(rows))):
            raise InputError(f"{path}: ids must run from 0 without a gap (255 = void)")
        names = tuple(row["name"] for row in rows)
        palette = tuple((int(row["r"]), int(row["g"]), int(row["b"])) for row in rows)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: needs the columns id,name,r,g,b with whole numbers: {error}") from error
    return CAMVID if names == CAMVID.names else ClassSet(path.parent.name, names, palette)


def _listed_stems(path: Path, images: dict[str, Path]) -> list[str]:
    if not path.is_file():
        stems = list(images)
    else:
        stems = [Path(line.strip()).stem for line in path.read_text().splitlines() if line.strip()]
        missing = [stem for stem in stems if stem not in images]
        if missing:
            raise InputError(
                f"{path}: lists {len(missing)} frame(s) without an image, the first is {missing[0]}"
            )
        if len(set(stems)) != len(stems):
            twice = next(stem for stem in stems if stems.count(stem) > 1)
            raise InputError(f"{path}: lists {twice} twice")
    if not stems:
        raise InputError(f"{path}: lists no frame")
    return stems


class SyntheticSplit:
    """Procedural scenes as a data set.

    "train": single varied frames of the training towns. "val": the held-out town in every condition, 25
    frames a condition, half a second apart, with seeds that training never uses. "demo": the first ten
    seconds of the demo's drive, the held-out town by day as a camera at 15 Hz sees it.
    """

    TRAIN_FRAMES = 400
    _HELD_OUT_SEED = 1_000_000

    def __init__(self, split: str) -> None:
        self.name = f"synthetic/{split}"
        self.classes = CAMVID
        self._sequences: list[synthetic.Sequence] = []
        if split == "val":
            self._sequences = [
                synthetic.Sequence(
                    synthetic.HELD_OUT_TOWN, condition, self._HELD_OUT_SEED + seed, rate=2.0, frames=25
                )
                for seed, condition in enumerate(synthetic.CONDITIONS)
            ]
        elif split == "demo":
            self._sequences = [synthetic.Sequence(synthetic.HELD_OUT_TOWN, "day", self._HELD_OUT_SEED)]
        elif split != "train":
            raise ConfigError(unknown_name("synthetic split", split, ("train", "val", "demo")))
        self._index = [(sequence, frame) for sequence in self._sequences for frame in range(len(sequence))]
        count = len(self._index) or self.TRAIN_FRAMES
        self.stems = [f"{split}_{index:06d}" for index in range(count)]

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> Sample:
        if self._index:
            sequence, position = self._index[index]
            frame = sequence[position]
        else:
            frame = synthetic.random_frame(index)
        return Sample(self.stems[index], frame.image, frame.label)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))
