"""Data sets: frames with their ground truth, checked before they are used.

The layout on disk is the plain tree `{split}/images/STEM.(webp|png|jpg)`, `{split}/labels/STEM.png` with an
optional list `{split}.txt` of stems and an optional `classes.csv`. The root "synthetic" stands for the
procedural scenes of `sernet_core.synthetic`.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sernet_core import synthetic
from sernet_core.errors import ConfigError, InputError, unknown_name
from sernet_core.labels import CAMVID, CITYSCAPES, IGNORE, ClassSet
from sernet_core.media import by_stem, is_image, list_images, read_image, read_unchanged

PARTS = ("train", "val", "test")  # of one whole: no frame may be in two of them


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
        if split in PARTS:
            _check_apart(root, split, self.stems)
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
    """Class set of a tree: CamVid's eleven where there is no file; columns id, name, r, g, b.

    A set with the names of a known one is that one, in the colours of the file.
    """
    if not path.is_file():
        return CAMVID
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["id"]) != IGNORE]
        rows.sort(key=lambda row: int(row["id"]))
        if [int(row["id"]) for row in rows] != list(range(len(rows))):
            raise InputError(f"{path}: ids must run from 0 without a gap (255 = void)")
        names = tuple(row["name"] for row in rows)
        palette = tuple((int(row["r"]), int(row["g"]), int(row["b"])) for row in rows)
        known = next((known for known in (CAMVID, CITYSCAPES) if known.names == names), None)
        if known and known.palette == palette:
            return known
        return ClassSet(known.name if known else path.absolute().parent.name, names, palette)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: needs the columns id,name,r,g,b with whole numbers: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ConfigError as error:
        raise InputError(f"{path}: {error}") from error


def _listed_stems(path: Path, images: dict[str, Path]) -> list[str]:
    if not path.is_file():
        stems = list(images)
    else:
        stems = _read_list(path, images)
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


def _read_list(path: Path, known: Collection[str] = ()) -> list[str]:
    """Stems of a list, one a line; a line may also be the path of an image.

    Args:
        path: The list.
        known: Stems that exist: these are taken as they stand, whatever they look like.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: a list of frames is text in UTF-8: {error}") from error
    names = [Path(line.strip()) for line in lines if line.strip()]
    # 1403636579.763 is a stem: only what is known to be an image's ending is one.
    return [name.name if name.name in known or not is_image(name) else name.stem for name in names]


def _check_apart(root: Path, split: str, stems: list[str]) -> None:
    """Refuse a part that shares frames with another part of the tree, as far as there are lists."""
    own = set(stems)
    for other in PARTS:
        path = root / f"{other}.txt"
        if other == split or not path.is_file():
            continue
        if shared := [stem for stem in _read_list(path, own) if stem in own]:
            raise InputError(
                f"{path}: lists {len(shared)} frame(s) of {split}, the first is {shared[0]}: a frame belongs "
                "to one of train, val and test; where they are different pictures, rename them"
            )


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
