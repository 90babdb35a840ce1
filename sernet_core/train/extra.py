"""A second data set to train on, which may leave classes unlabelled that the first one has.

A set without a class shows its objects all the same, labelled as what stands behind them. Its labels are
therefore open (`sernet_core.losses`): a pixel labelled as a building may be of a pole, too. Where a model is
given and sees such a class, the label is void besides.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from sernet_core.checkpoint import CheckpointInfo, read_info
from sernet_core.datasets import Dataset, Sample, read_label
from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import IGNORE
from sernet_core.runtime import Segmenter
from sernet_core.storage import write_atomically
from sernet_core.train.origin import labels_sha256, weights_sha256
from sernet_core.train.processes import Processes
from sernet_core.train.stream import count_classes, missing_classes, truth

MARGIN = 2  # pixels about what a model sees that become void too: its outlines are not exact


@dataclass(frozen=True)
class Extra:
    """The second data set of a run.

    Attributes:
        dataset: Its frames.
        model: File of a model that sees the classes which it does not label; None: no label becomes void.
    """

    dataset: Dataset
    model: Path | None = None

    def prepare(
        self, folder: Path, processes: Processes, stopped: threading.Event | None = None
    ) -> Dataset | None:
        """The data set as it is trained on; with a model, its masked labels lie in the run folder.

        Labels that are there already are not made again.

        Args:
            folder: Run folder.
            processes: Those that share the run, and this work.
            stopped: Set from elsewhere to give up, which gives None.

        Raises:
            ConfigError: The model has other classes, or the data set labels all of them.
            CheckpointError: The model cannot be loaded.
        """
        if self.model is None:
            return self.dataset
        if not self.missing:
            raise ConfigError(
                f"{self.dataset.name} labels every class: there is none for a model to look for"
            )
        segmenter = Segmenter.load(self.model, device=str(processes.device))
        if difference := segmenter.info.classes.difference(self.dataset.classes):
            raise ConfigError(f"{self.model} has other classes than {self.dataset.name}: {difference}")
        labels = folder / f"extra-{self._key(self.model)}"
        shared = range(processes.index, len(self.dataset), processes.count)
        todo = [index for index in shared if not _path(labels, self.dataset.stems[index]).is_file()]
        for index in tqdm(todo, "mask the second data set", unit="frame", disable=None):
            if stopped is not None and stopped.is_set():
                break
            sample = self.dataset[index]
            seen = np.isin(segmenter.segment(sample.image).mask, self.missing).astype(np.uint8)
            near = cv2.dilate(seen, np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8))
            _write(_path(labels, sample.stem), np.where(near, np.uint8(IGNORE), truth(self.dataset, sample)))
        if processes.any(stopped is not None and stopped.is_set()):  # waits for all of them
            return None
        return _Relabelled(self.dataset, labels)

    def _key(self, model: Path) -> str:
        """Twelve digits for all that the masked labels depend on, but for the pictures themselves."""
        frames = [self.dataset.name, self.dataset.stems, labels_sha256(self.counts)]
        parts = [weights_sha256(model), *frames, self.missing, MARGIN]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    @functools.cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """What its labels hold, see `count_classes`."""
        return count_classes(self.dataset)

    @functools.cached_property
    def missing(self) -> list[int]:
        """Ids of the classes that no frame labels."""
        return missing_classes(self.counts[0])

    @property
    def masking(self) -> CheckpointInfo | None:
        """Description of the model that makes labels void, where there is one."""
        return read_info(self.model) if self.model is not None else None

    def summary(self) -> str:
        """Which classes its labels leave open, in a line."""
        return f"labels of {self.dataset.name} leave open: {', '.join(self._names) or 'no class'}"

    @property
    def _names(self) -> list[str]:
        return [self.dataset.classes.names[number] for number in self.missing]

    def describe(self, share: float) -> dict[str, Any]:
        """What a model remembers of it, as JSON-ready values."""
        names = self._names
        described: dict[str, Any] = {"train": self.dataset.name, "share": share, "unlabelled": names}
        if self.model is not None:
            seen = read_info(self.model).data
            described["masked"] = {
                "file": self.model.name,
                "sha256": weights_sha256(self.model),
                "classes": names,
                "data": {key: value for key, value in seen.items() if key != "stems"},
            }
        return described


class _Relabelled:
    """A data set with labels of its own in a folder."""

    def __init__(self, dataset: Dataset, labels: Path) -> None:
        self._dataset, self._labels = dataset, labels
        self.name, self.classes, self.stems = dataset.name, dataset.classes, dataset.stems

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        path = _path(self._labels, sample.stem)
        label = read_label(path, self.classes)
        if label.shape != sample.image.shape[:2]:
            own, wanted = (f"{width}x{height}" for height, width in (label.shape, sample.image.shape[:2]))
            raise InputError(
                f"{path}: a label of {own} for a frame of {wanted}: the data set has changed; "
                f"remove {self._labels}"
            )
        return replace(sample, label=label)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def _path(labels: Path, stem: str) -> Path:
    return labels / f"{stem}.png"


def _write(path: Path, label: np.ndarray) -> None:
    _, code = cv2.imencode(".png", label)
    write_atomically(path, lambda target: target.write_bytes(code.tobytes()))
