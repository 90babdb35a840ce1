"""Parts of a split by the names of its frames, such as one recorded sequence of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sernet_core.datasets.base import Dataset, Sample
from sernet_core.errors import ConfigError

_SHOWN = 12  # names in a message


class Selection:
    """Some frames of a data set, in its order.

    Args:
        whole: The data set.
        name: What to call the part.
        indices: Its frames.
    """

    def __init__(self, whole: Dataset, name: str, indices: Sequence[int]) -> None:
        self.whole, self.name, self.classes = whole, name, whole.classes
        self.stems = [whole.stems[index] for index in indices]
        self._indices = list(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self.whole[self._indices[index]]

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def only(dataset: Dataset, prefixes: Sequence[str]) -> Dataset:
    """The frames whose names begin with one of some prefixes; the whole where there is no prefix.

    Raises:
        ConfigError: A prefix fits no frame.
    """
    if not prefixes:
        return dataset
    name = f"{dataset.name} only {' '.join(prefixes)}"
    return Selection(dataset, name, sorted(_matching(dataset, prefixes)))


def without(dataset: Dataset, prefixes: Sequence[str]) -> Dataset:
    """The other frames than those of `only`; the whole where there is no prefix.

    Raises:
        ConfigError: A prefix fits no frame, or they leave none.
    """
    if not prefixes:
        return dataset
    left = sorted(set(range(len(dataset))) - _matching(dataset, prefixes))
    if not left:
        raise ConfigError(f"{dataset.name}: without {' '.join(prefixes)} no frame is left")
    return Selection(dataset, f"{dataset.name} without {' '.join(prefixes)}", left)


def whole(dataset: Dataset) -> Dataset:
    """The data set that a selection, or a selection of one, was made from."""
    while isinstance(dataset, Selection):
        dataset = dataset.whole
    return dataset


def sequence_of(stem: str) -> str:
    """Beginning of a name up to the first underscore: in CamVid the sequence, in Cityscapes the city."""
    return stem.partition("_")[0]


def sequences(stems: Sequence[str]) -> list[str]:
    """All that `sequence_of` gives for some names, in their order."""
    return list(dict.fromkeys(map(sequence_of, stems)))


def _matching(dataset: Dataset, prefixes: Sequence[str]) -> set[int]:
    found: set[int] = set()
    for prefix in prefixes:
        fitting = [index for index, stem in enumerate(dataset.stems) if stem.startswith(prefix)]
        if not fitting:
            names = sequences(dataset.stems)
            more = ", ..." if len(names) > _SHOWN else ""
            raise ConfigError(
                f"{dataset.name}: no frame's name begins with '{prefix}'; they begin with "
                f"{', '.join(names[:_SHOWN])}{more}"
            )
        found.update(fitting)
    return found
