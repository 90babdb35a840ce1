"""The stream of training crops: sample n is a pure function of (seed, n), so a run resumes exactly."""

from __future__ import annotations

import signal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from sernet_core import synthetic
from sernet_core.augment import augment
from sernet_core.datasets import Dataset, Sample
from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID, IGNORE
from sernet_core.train.recipe import Recipe


class TrainingStream(TorchDataset[tuple[Tensor, Tensor]]):
    """Crops of a data set, mixed with procedural scenes by the recipe's share.

    Each pass over the data set has an order of its own.

    Args:
        recipe: Crop, augmentation, share and seed.
        dataset: Frames with ground truth; None when every crop is synthetic.

    Raises:
        InputError: There is nothing to train on.
        ConfigError: Procedural scenes are to be mixed with frames that are labelled with other classes.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset | None) -> None:
        self.recipe = recipe
        self.dataset = dataset
        if dataset is None and recipe.synthetic_share < 1:
            raise InputError("no training data: give a data set, or synthetic_share: 1.0 in the recipe")
        difference = dataset.classes.difference(CAMVID) if dataset is not None else ""
        if difference and recipe.synthetic_share > 0:
            raise ConfigError(
                f"procedural scenes have CamVid's classes, the data set has others: {difference}; "
                "set synthetic_share: 0 in the recipe"
            )

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.batch_size

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Crop `number` of the run: image uint8 (3, h, w) RGB and label int64 (h, w)."""
        # OpenCV's own threads would fight the network's for the cores.
        cv2.setNumThreads(0)
        rng = np.random.default_rng([self.recipe.seed, number])
        if self.dataset is None or rng.random() < self.recipe.synthetic_share:
            frame = synthetic.random_frame(int(rng.integers(1_000_000)), self.recipe.synthetic_size)
            image, label = frame.image, frame.label
        else:
            epoch, position = divmod(number, len(self.dataset))
            order = np.random.default_rng([self.recipe.seed, epoch, len(self.dataset)]).permutation(
                len(self.dataset)
            )
            sample = self.dataset[int(order[position])]
            image, label = sample.image, _truth(self.dataset, sample)
        image, label = augment(image, label, self.recipe.augment, rng)
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(label.astype(np.int64))


def training_batches(
    stream: TrainingStream, first_step: int, workers: int, *, pinned: bool = False
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches from a step to the end of the run, in order, prepared by worker processes.

    Args:
        stream: The run's crops.
        first_step: Step to start at.
        workers: Processes; 0 prepares in this one.
        pinned: Into page-locked memory, from which a GPU copies while it computes.
    """
    size = stream.recipe.batch_size
    return DataLoader(
        stream,
        batch_size=size,
        sampler=range(first_step * size, len(stream)),
        num_workers=workers,
        pin_memory=pinned,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_signals_to_the_run,
    )


def _leave_signals_to_the_run(_worker: int) -> None:
    # Ctrl-C and `timeout` reach the whole process group; the run needs its workers until it has saved.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def count_classes(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each class, and labelled pixels of the images in which it occurs: two int64 (K,).

    Raises:
        InputError: A frame cannot be used, or has no ground truth.
    """
    size = len(dataset.classes)
    pixels, images = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for sample in dataset:
        label = _truth(dataset, sample)
        counts = np.bincount(label[label != IGNORE], minlength=size)[:size]
        pixels += counts
        images += np.where(counts > 0, counts.sum(), 0)
    return pixels, images


def _truth(dataset: Dataset, sample: Sample) -> np.ndarray:
    if sample.label is None:
        raise InputError(f"{dataset.name}: {sample.stem} has no ground truth to train on")
    return sample.label
