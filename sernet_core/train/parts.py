"""Several parts of one data set to train on, as for a final run on train and val."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sernet_core.datasets import Dataset, Sample, open_dataset
from sernet_core.datasets.selection import whole
from sernet_core.errors import ConfigError

JOIN = "+"


class JoinedParts:
    """Parts of a data set, one behind the other.

    Args:
        root: Name of the data set.
        parts: Its parts, by name.

    Raises:
        ConfigError: Two parts share a frame, or have different classes.
    """

    def __init__(self, root: str, parts: dict[str, Dataset]) -> None:
        first, *others = parts.values()
        self._datasets: Sequence[Dataset] = (first, *others)
        self.name = f"{root}/{JOIN.join(parts)}"
        self.classes = first.classes
        self.parts = list(parts)
        self.stems: list[str] = []
        for dataset in self._datasets:
            if difference := first.classes.difference(dataset.classes):
                raise ConfigError(f"{dataset.name} has other classes than {first.name}: {difference}")
            if twice := set(self.stems) & set(dataset.stems):
                raise ConfigError(
                    f"{dataset.name}: {min(twice)} is a frame of another part of {self.name} too"
                )
            self.stems += dataset.stems

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> Sample:
        for dataset in self._datasets:
            if index < len(dataset):
                return dataset[index]
            index -= len(dataset)
        raise IndexError(index)

    def __iter__(self) -> Iterator[Sample]:
        return (sample for dataset in self._datasets for sample in dataset)


def open_parts(root: str, split: str) -> Dataset:
    """Open a split to train on: one part, or several as "train+val".

    Raises:
        ConfigError: There is no such part, a part is named twice, or parts do not fit.
        InputError: The data set is not what its layout promises.
    """
    names = split.split(JOIN)
    if len(names) == 1:
        return open_dataset(root, split)
    if len(set(names)) < len(names):
        raise ConfigError(f"--split {split}: names a part twice")
    return JoinedParts(
        Path(root).expanduser().absolute().name, {name: open_dataset(root, name) for name in names}
    )


def parts_of(dataset: Dataset) -> list[str]:
    """Names of the parts that a data set, or the one it was selected from, was joined from; none for one."""
    dataset = whole(dataset)
    return dataset.parts if isinstance(dataset, JoinedParts) else []
