"""The stream of training crops: sample n is a pure function of (seed, n), so a run resumes exactly."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from sernet_core import synthetic
from sernet_core.augment import augment
from sernet_core.datasets import Dataset, Sample
from sernet_core.datasets.selection import sequence_of, sequences
from sernet_core.errors import ConfigError, InputError, SernetError
from sernet_core.labels import CAMVID, IGNORE
from sernet_core.losses import OPEN
from sernet_core.paste import ObjectBank
from sernet_core.train.recipe import Recipe


class TrainingStream(TorchDataset[tuple[Tensor, Tensor]]):
    """Crops of a data set, mixed with procedural scenes and a second data set by the recipe's shares.

    Each pass over a data set, or over a sequence where the recipe draws from all equally, has its own order.

    Args:
        recipe: Crop, augmentation, shares and seed.
        dataset: Frames with ground truth; None when every crop is synthetic.
        extra: The second data set, needed where the recipe gives it a share.
        unlabelled: Ids of the classes that the second data set does not label, which its labels leave open.

    Raises:
        InputError: There is nothing to train on.
        ConfigError: What is to be mixed is labelled with other classes, or the recipe names a class that does
            not exist.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset | None,
        extra: Dataset | None = None,
        unlabelled: Sequence[int] = (),
    ) -> None:
        self.recipe = recipe
        self.dataset = dataset
        self.extra = extra
        self._open = OPEN if unlabelled else 0
        self._sequences = _sequences(dataset, recipe) if dataset is not None else []
        if dataset is None and recipe.synthetic_share < 1:
            raise InputError("no training data: give a data set, or synthetic_share: 1.0 in the recipe")
        difference = dataset.classes.difference(CAMVID) if dataset is not None else ""
        if difference and recipe.synthetic_share > 0:
            raise ConfigError(
                f"procedural scenes have CamVid's classes, the data set has others: {difference}; "
                "set synthetic_share: 0 in the recipe"
            )

        check_extra(recipe, dataset, extra)
        classes = dataset.classes if dataset is not None else CAMVID
        self._rare = tuple(classes.id_of(name) for name in recipe.augment.rare)
        self._objects: ObjectBank | None = None
        if recipe.augment.paste:
            if dataset is None:
                raise ConfigError("paste: takes objects from the data set's frames, and there is no data set")
            self._objects = ObjectBank(dataset, self._rare)

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.batch_size

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Crop `number` of the run: image uint8 (3, h, w) RGB, label int64 (h, w) as `losses` reads it."""
        # OpenCV's own threads would fight the network's for the cores.
        cv2.setNumThreads(0)
        rng = np.random.default_rng([self.recipe.seed, number])
        image, label, added = self._frame(number, rng)
        image, label = augment(image, label, self.recipe.augment, rng, self._rare)
        target = np.where(label == IGNORE, IGNORE, label + np.int64(added))
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(target)

    def _frame(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        """Image and label that crop `number` is cut from, and what is to be added to its ids."""
        recipe = self.recipe
        drawn = rng.random() if self.dataset is not None else 0.0
        if self.dataset is None or drawn < recipe.synthetic_share:
            frame = synthetic.random_frame(int(rng.integers(1_000_000)), recipe.synthetic_size)
            return frame.image, frame.label, 0
        if self.extra is not None and drawn < recipe.synthetic_share + recipe.extra_share:
            return *self._sample(self.extra, [np.arange(len(self.extra))], number), self._open
        image, label = self._sample(self.dataset, self._sequences, number)
        if self._objects is not None and rng.random() < recipe.augment.paste:
            image, label = self._objects.paste(image, label, recipe.augment.paste_most, rng)
        return image, label, 0

    def _sample(
        self, dataset: Dataset, sequences: Sequence[np.ndarray], number: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image and label of a frame; in each round every sequence, given by its frames, has one turn."""
        turn, place = divmod(number, len(sequences))
        frames = sequences[self._order(turn, len(sequences))[place]]
        epoch, position = divmod(turn, len(frames))
        sample = dataset[int(frames[self._order(epoch, len(frames))[position]])]
        return sample.image, truth(dataset, sample)

    def _order(self, round_: int, count: int) -> np.ndarray:
        """The order of some things in one of the rounds in which each comes once."""
        return np.random.default_rng([self.recipe.seed, round_, count]).permutation(count)


def _sequences(dataset: Dataset, recipe: Recipe) -> list[np.ndarray]:
    """Indices of the frames that are drawn equally often together, int64."""
    if recipe.sequences == "by_length":
        return [np.arange(len(dataset))]
    names = np.array([sequence_of(stem) for stem in dataset.stems])
    return [np.flatnonzero(names == name) for name in sequences(dataset.stems)]


def check_extra(recipe: Recipe, dataset: Dataset | None, extra: Dataset | None) -> None:
    """Find out whether a second data set (or none) is what a recipe asks for beside the first one.

    Raises:
        ConfigError: It is not, or it has other classes.
    """
    if extra is None:
        if recipe.extra_share:
            raise ConfigError(
                f"the recipe takes {recipe.extra_share:g} of its crops from a second data set (extra_share), "
                "and there is none; give it with --extra DIR:SPLIT"
            )
        return
    if dataset is None or not recipe.extra_share:
        raise ConfigError(
            f"{extra.name}: nothing is taken from this second data set; set extra_share in the recipe, and "
            "give a first data set"
        )
    if difference := extra.classes.difference(dataset.classes):
        raise ConfigError(f"{extra.name} has other classes than {dataset.name}: {difference}")


def training_batches(
    stream: TrainingStream,
    first_step: int,
    workers: int,
    *,
    pinned: bool = False,
    part: tuple[int, int] = (0, 1),
) -> Iterable[tuple[Tensor, Tensor]]:
    """Batches from a step to the end of the run, in order, prepared by worker processes.

    Args:
        stream: The run's crops.
        first_step: Step to start at.
        workers: Processes that prepare; 0 prepares in this one.
        pinned: Into page-locked memory, from which a GPU copies while it computes.
        part: Which of how many equal parts of each batch.

    Raises:
        SernetError: While they come: what a frame gave that cannot be used.
    """
    size = stream.recipe.batch_size
    index, parts = part
    own = size // parts
    numbers = (
        step * size + index * own + place
        for step in range(first_step, stream.recipe.steps)
        for place in range(own)
    )
    return crop_batches(stream, numbers, own, workers, pinned=pinned)


def crop_batches(
    stream: TrainingStream, numbers: Iterable[int], size: int, workers: int, *, pinned: bool = False
) -> Iterable[tuple[Tensor, Tensor]]:
    """The crops of some numbers, in batches of a size; arguments and errors as `training_batches`."""
    loader: DataLoader[Any] = DataLoader(
        _Excusing(stream),
        batch_size=size,
        collate_fn=_batch,
        sampler=list(numbers),
        num_workers=workers,
        pin_memory=pinned,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_signals_to_the_run,
    )
    return _Batches(loader)


class _Batches:
    """What a loader gives, but for errors, which are raised.

    Not a generator, which whoever names it would keep alive after a fault, and the workers with it.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self._loader:
            if isinstance(batch, SernetError):
                raise batch
            yield batch


class _Excusing(TorchDataset[Any]):
    """A stream that gives its errors: raised in a worker process they would come as a traceback."""

    def __init__(self, stream: TrainingStream) -> None:
        self._stream = stream

    def __len__(self) -> int:
        return len(self._stream)

    def __getitem__(self, number: int) -> Any:
        try:
            return self._stream[number]
        except SernetError as error:
            return error


def _batch(crops: list[Any]) -> Any:
    """A batch of crops, or the first error among them."""
    return next((crop for crop in crops if isinstance(crop, SernetError)), None) or default_collate(crops)


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
    for sample in tqdm(dataset, f"look at {dataset.name}", unit="frame", leave=False, disable=None):
        label = truth(dataset, sample)
        counts = np.bincount(label[label != IGNORE], minlength=size)[:size]
        pixels += counts
        images += np.where(counts > 0, counts.sum(), 0)
    return pixels, images


def missing_classes(pixels: np.ndarray) -> list[int]:
    """Ids of the classes without a pixel, by what `count_classes` counted."""
    return np.flatnonzero(pixels == 0).tolist()


def check_labelled(dataset: Dataset, missing: Sequence[int]) -> None:
    """Find out whether there is anything to learn from a data set without a teacher.

    Args:
        dataset: To train on.
        missing: Its `missing_classes`.

    Raises:
        InputError: No pixel is labelled.
    """
    if len(missing) == len(dataset.classes):
        raise InputError(
            f"{dataset.name}: no pixel is labelled, so without a teacher nothing can be learned from it"
        )


def truth(dataset: Dataset, sample: Sample) -> np.ndarray:
    """Ground truth of a sample, uint8 (H, W).

    Raises:
        InputError: It has none.
    """
    if sample.label is None:
        raise InputError(f"{dataset.name}: {sample.stem} has no ground truth to train on")
    return sample.label
