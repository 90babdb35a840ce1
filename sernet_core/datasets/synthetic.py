"""Procedural scenes as a data set."""

from __future__ import annotations

from collections.abc import Iterator

from sernet_core import synthetic
from sernet_core.datasets.base import Sample
from sernet_core.errors import ConfigError, unknown_name
from sernet_core.labels import CAMVID

SPLITS = ("train", "val", "demo", *synthetic.EVALUATION_CONDITIONS)


class SyntheticSplit:
    """Procedural scenes as a data set.

    "train": single varied frames of the training towns. "val": the held-out town in every condition that
    training draws from, 25 frames a condition, half a second apart, with seeds that training never uses.
    "day", "dusk", "rain", "night": the 25 frames of one of them. "fog": the same in a condition that no
    training frame has. "demo": the first ten seconds of the demo's drive, the held-out town by day as a
    camera at 15 Hz sees it.

    A frame of the held-out town is named by its condition and the drive's time in milliseconds: one that two
    of these splits share has one name in both.

    Args:
        split: One of these names.

    Raises:
        ConfigError: Another name.
    """

    TRAIN_FRAMES = 400
    _HELD_OUT_SEED = 1_000_000

    def __init__(self, split: str) -> None:
        self.name = f"synthetic/{split}"
        self.classes = CAMVID
        self.labelled = True
        self._sequences: list[synthetic.Sequence] = []
        if split == "val":
            self._sequences = [self._held_out(condition) for condition in synthetic.CONDITIONS]
        elif split in synthetic.EVALUATION_CONDITIONS:
            self._sequences = [self._held_out(split)]
        elif split == "demo":
            self._sequences = [synthetic.Sequence(synthetic.HELD_OUT_TOWN, "day", self._HELD_OUT_SEED)]
        elif split != "train":
            raise ConfigError(unknown_name("synthetic split", split, SPLITS))
        self._index = [(sequence, frame) for sequence in self._sequences for frame in range(len(sequence))]
        moments = [f"{drive.condition}_{round(1000 * at / drive.rate):06d}" for drive, at in self._index]
        self.stems = moments or [f"train_{number:06d}" for number in range(self.TRAIN_FRAMES)]

    def _held_out(self, condition: str) -> synthetic.Sequence:
        seed = self._HELD_OUT_SEED + synthetic.EVALUATION_CONDITIONS.index(condition)
        return synthetic.Sequence(synthetic.HELD_OUT_TOWN, condition, seed, rate=2.0, frames=25)

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
