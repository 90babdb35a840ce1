"""What a layout of a data set on disk must tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from sernet_core.datasets.files import LabelDecoder, Pair
from sernet_core.errors import NoImagesError


class Layout(ABC):
    """A folder, seen as a data set of one layout.

    Args:
        root: The folder.

    Attributes:
        name: What to call the layout.
        picture: What such a folder holds, in a line.
        counts: Frames of each part as published, where the layout belongs to one data set.
    """

    name: ClassVar[str]
    picture: ClassVar[str]
    counts: ClassVar[Mapping[str, int]] = {}

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def splits(self) -> list[str]:
        """Splits that have images; empty where the folder has another layout."""

    @abstractmethod
    def pairs(self, split: str) -> list[Pair]:
        """Where the frames of a split must lie, in order; the files need not be there.

        Raises:
            InputError: A list cannot be used.
        """

    @abstractmethod
    def decoder(self) -> LabelDecoder:
        """How to read the labels.

        Raises:
            InputError: The tree says it in a way that is not understood.
        """

    def stems(self, split: str, known: Collection[str] = ()) -> Sequence[str]:
        """Frames that the tree counts among a split, be their files there or not.

        Args:
            split: Its name; without such a split there are none.
            known: Stems that exist elsewhere in the tree.

        Raises:
            InputError: A list cannot be used.
        """
        try:
            return [pair.stem for pair in self.pairs(split)] if split in self.splits() else []
        except NoImagesError:  # a part that waits for them takes none from the others
            return []


def subfolders(folder: Path) -> list[str]:
    """Names of the visible folders in a folder; none where it is not there."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
