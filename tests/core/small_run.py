"""A training run that takes seconds, and frames in memory to feed it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sernet_core.augment import AugmentConfig
from sernet_core.datasets import Sample
from sernet_core.labels import CAMVID, ClassSet
from sernet_core.network import NetworkConfig
from sernet_core.train import Recipe

SMALL = Recipe(
    steps=6,
    network=NetworkConfig(depth=18, dbn_rates=(1, 2, 3)),
    augment=AugmentConfig(crop=(96, 64)),
    input_size=(96, 64),
    synthetic_size=(96, 72),
    batch_size=2,
    synthetic_share=0.5,
    warmup_steps=2,
    validate_every=3,
    notice="test",
)


class Frames:
    """A data set in memory that remembers which of its frames were asked for, in order."""

    def __init__(self, samples: Sequence[Sample], name: str = "memory", classes: ClassSet = CAMVID) -> None:
        self.samples, self.name, self.classes = list(samples), name, classes
        self.stems = [sample.stem for sample in samples]
        self.asked: list[str] = []

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        self.asked.append(self.stems[index])
        return self.samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


def noise_frames(count: int, prefix: str = "n") -> list[Sample]:
    """Frames of 96x64 whose road is common and whose bicyclists are rare: class weights are far from one."""
    rng = np.random.default_rng(5)
    found = []
    for index in range(count):
        label = np.full((64, 96), 3, np.uint8)
        label[:8, :48], label[:2, 48:] = 0, 10
        image = rng.integers(0, 256, (64, 96, 3), np.uint8)
        found.append(Sample(f"{prefix}{index}", image, label))
    return found
