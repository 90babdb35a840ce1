"""Frames that lie in files: pairs of an image and its label, checked as they are opened and read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sernet_core.datasets.base import Sample
from sernet_core.errors import InputError
from sernet_core.input_size import check_aspect
from sernet_core.labels import IGNORE, ClassSet
from sernet_core.media import is_lossy, read_image, read_palette, read_unchanged

Color = tuple[int, int, int]
_OR_IDS = "; if labels hold ids, give the class file a column id"


@dataclass(frozen=True)
class Pair:
    """Where a frame must lie; `label` is None where the split has no ground truth at all."""

    stem: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class LabelDecoder:
    """How label images become class ids.

    Attributes:
        classes: Class set of the result.
        ids: Class id, or 255 for void, of each value that a label of one channel may hold.
        colors: The same for each colour, RGB, that a label of three channels may hold; empty where labels
            have one channel.
        greys: Those of the values in `ids` that are greys of the classes, 255 among them: a mask in black and
            white. Void has no value then.

    A label with a palette, as Pascal VOC's, holds its indices. Only where the palette gives one of them the
    colour of another class, or of void, it is a label of three channels that was stored in fewer bytes.
    """

    classes: ClassSet
    ids: Mapping[int, int]
    colors: Mapping[Color, int] = field(default_factory=dict)
    greys: frozenset[int] = frozenset()

    @classmethod
    def of(cls, classes: ClassSet) -> LabelDecoder:
        """Labels that hold the ids themselves."""
        return cls(classes, {**{number: number for number in range(len(classes))}, IGNORE: IGNORE})

    def read(self, path: Path) -> np.ndarray:
        """A label image as uint8 (H, W): ids of the class set, and 255.

        Raises:
            InputError: It cannot be read, holds something else, or was coded so that its values are no longer
                those that were stored; the message names the file.
        """
        if is_lossy(path):
            raise InputError(
                f"{path}: a label in a lossy format (JPEG or WebP), which changes the values of pixels; "
                "make it again as PNG from what it was made of"
            )
        palette = read_palette(path)
        if palette is not None:
            indices, colors = palette
            if self._contradicts(indices, colors):
                return self._from_colors(path, colors[indices])
            return self._from_ids(path, indices)
        label = read_unchanged(path)
        if label.dtype == np.uint8 and label.ndim == 2:
            return self._from_ids(path, label)
        if label.dtype == np.uint8 and label.ndim == 3 and label.shape[2] >= 3 and self.colors:
            return self._from_colors(path, label[..., 2::-1])  # OpenCV's order is BGR, or BGRA
        words = " or the colours of the classes" if self.colors else ""
        raise InputError(
            f"{path}: a label is one channel of 8 bits with class ids{words}, this is {label.shape} "
            f"{label.dtype}"
        )

    def _contradicts(self, indices: np.ndarray, colors: np.ndarray) -> bool:
        """Whether the colour of an index that is in use is that of another class than the index."""
        used = np.flatnonzero(np.bincount(indices.ravel(), minlength=len(colors))[: len(colors)])
        meant = {int(index): self.colors.get(tuple(colors[index].tolist())) for index in used}
        return any(number is not None and number != self.ids.get(index) for index, number in meant.items())

    def _from_ids(self, path: Path, label: np.ndarray) -> np.ndarray:
        found = np.flatnonzero(np.bincount(label.ravel(), minlength=256))
        if wrong := [int(value) for value in found if int(value) not in self.ids]:
            void = ", ".join(str(value) for value, number in self.ids.items() if number == IGNORE)
            raise InputError(
                f"{path}: ids {wrong} are no class of {self.classes.name} ({_ranges(list(self.ids))}"
                f"{f'; {void} = void' if void else ''}){_OR_IDS if self.greys else ''}"
            )
        if IGNORE in found and self.greys and not self.greys.issuperset(found.tolist()):
            raise InputError(
                f"{path}: as an id 255 is void, as a grey a class of {self.classes.name}{_OR_IDS}"
            )
        table = np.full(256, IGNORE, np.uint8)
        table[list(self.ids)] = list(self.ids.values())
        return np.take(table, label)

    def _from_colors(self, path: Path, label: np.ndarray) -> np.ndarray:
        packed = _packed(label)
        keys, numbers = _packed(np.array(list(self.colors))), np.array(list(self.colors.values()), np.uint8)
        order = np.argsort(keys)
        keys, numbers = keys[order], numbers[order]
        place = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
        wrong = packed[keys[place] != packed]
        if wrong.size:
            colors = [(int(key) >> 16, int(key) >> 8 & 255, int(key) & 255) for key in np.unique(wrong)[:3]]
            raise InputError(
                f"{path}: {wrong.size} pixel(s) have a colour of no class of {self.classes.name} (or of more "
                f"than one), e.g. RGB {', '.join(map(str, colors))}"
            )
        return numbers[place]


def read_label(path: Path, classes: ClassSet) -> np.ndarray:
    """A label image that holds ids of a class set and 255 alone, as uint8 (H, W).

    Raises:
        InputError: It cannot be read, or holds something else.
    """
    return LabelDecoder.of(classes).read(path)


class FileDataset:
    """One split of a data set in files.

    Args:
        name: What to call it.
        pairs: Its frames in order, see `faults`.
        decoder: Of its labels.

    Attributes:
        images: The images' files by stem.
    """

    def __init__(self, name: str, pairs: Sequence[Pair], decoder: LabelDecoder) -> None:
        self.name = name
        self.classes = decoder.classes
        self.stems = [pair.stem for pair in pairs]
        self.labelled = any(pair.label is not None for pair in pairs)
        self.images = {pair.stem: pair.image for pair in pairs}
        self._pairs, self._decoder = list(pairs), decoder

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read a frame.

        Raises:
            InputError: A file cannot be used, is a strip, or label and image differ in size.
        """
        pair = self._pairs[index]
        image = read_image(pair.image)
        try:
            check_aspect(*image.shape[:2])
        except InputError as error:
            raise InputError(f"{pair.image}: {error}", cause=error.cause) from None
        label = None if pair.label is None else self._decoder.read(pair.label)
        if label is not None and label.shape != image.shape[:2]:
            raise InputError(
                f"{pair.label}: {label.shape[1]}x{label.shape[0]} pixels, its image has "
                f"{image.shape[1]}x{image.shape[0]}"
            )
        return Sample(pair.stem, image, label)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def faults(pairs: Sequence[Pair]) -> list[str]:
    """What is wrong with a split as far as names tell: frames twice, files that are not there."""
    found = [f"{stem} is there twice" for stem, times in Counter(p.stem for p in pairs).items() if times > 1]
    found += [f"{pair.image}: no such image" for pair in pairs if not pair.image.is_file()]
    found += [f"{pair.label}: no such label" for pair in pairs if pair.label and not pair.label.is_file()]
    return found if pairs else ["there is no frame in it"]


def _packed(colors: np.ndarray) -> np.ndarray:
    """Colours (..., 3) RGB as one number each, int32 (...)."""
    return colors.astype(np.int32) @ np.array((1 << 16, 1 << 8, 1), np.int32)


def _ranges(values: list[int]) -> str:
    """Whole numbers in words: 0..10, 255."""
    words, values = [], sorted(values)
    start = 0
    for end in range(1, len(values) + 1):
        if end == len(values) or values[end] != values[end - 1] + 1:
            first, last = values[start], values[end - 1]
            words.append(str(first) if first == last else f"{first}..{last}")
            start = end
    return ", ".join(words)
