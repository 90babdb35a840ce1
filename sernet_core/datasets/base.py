"""What a data set is to those who use one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sernet_core.labels import ClassSet

PARTS = ("train", "val", "test")  # of one whole: no frame may be in two of them
_ALSO_CALLED = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}


def part_of(split: str) -> str | None:
    """Which of `PARTS` a split is by the name that people gave it; None where it is none of them."""
    name = split.lower()
    return name if name in PARTS else _ALSO_CALLED.get(name)


@dataclass(frozen=True)
class Sample:
    """One frame: image uint8 (H, W, 3) RGB and ground truth uint8 (H, W), 255 = void, or None."""

    stem: str
    image: np.ndarray
    label: np.ndarray | None


class Dataset(Protocol):
    """Frames of one split, in order.

    Attributes:
        name: What to call it, e.g. "camvid/val".
        classes: Class set of the labels.
        stems: Names of the frames; what a model was trained on is known by them.
    """

    name: str
    classes: ClassSet
    stems: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]: ...


class Split(Dataset, Protocol):
    """A whole split, as it was opened.

    Attributes:
        labelled: Whether there is ground truth.
    """

    labelled: bool
