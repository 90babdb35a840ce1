"""Validation of a run: the averaged weights scored as they would ship, and kept with their scores."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor
from tqdm import tqdm

from sernet_core.checkpoint import CheckpointInfo, read_info, save_checkpoint
from sernet_core.datasets import Dataset
from sernet_core.datasets.selection import whole
from sernet_core.datasets.synthetic import SyntheticSplit
from sernet_core.errors import InputError
from sernet_core.evaluate import check_split, evaluate
from sernet_core.labels import CAMVID, ClassSet
from sernet_core.network import SernetFormer
from sernet_core.report.sheet import Exhibit, contact_sheet
from sernet_core.runtime import Segmenter
from sernet_core.storage import write_atomically
from sernet_core.train.average import calibrated, with_still_norms
from sernet_core.train.recipe import Recipe
from sernet_core.train.step import Learner
from sernet_core.train.stream import TrainingStream, crop_batches

MODEL, BEST = "model.safetensors", "best.safetensors"
SAMPLES = "samples"
_CANDIDATE = ".candidate.safetensors"  # the model while it has no scores yet
_SHOWN = 4  # frames of each split on its sheet


def check_splits(
    splits: Sequence[Dataset], recipe: Recipe, classes: ClassSet, seen: Mapping[str, Mapping[str, Any]]
) -> None:
    """Find out whether splits can be scored on the way.

    Args:
        splits: To score on.
        recipe: Of the run.
        classes: Of the network.
        seen: All whose frames the run will have seen, see `trained_on`.

    Raises:
        InputError: One was trained on, has other classes or no ground truth.
    """
    for dataset in splits:
        for model, data in seen.items():
            check_split(dataset, CheckpointInfo(recipe.network, classes, recipe.input_size, data=data), model)
        if dataset[0].label is None:
            raise InputError(f"{dataset.name}: {dataset.stems[0]} has no ground truth to score against")


def check_frames(splits: Sequence[Dataset], stopped: threading.Event) -> None:
    """Read all frames to be scored on the way: a bad one would end the run at a validation, hours later.

    Args:
        splits: To score on; procedural scenes need no look.
        stopped: Ends the reading once it is set.

    Raises:
        InputError: A frame cannot be used, or has no ground truth.
    """
    for dataset in splits:
        if isinstance(whole(dataset), SyntheticSplit):
            continue
        for sample in tqdm(dataset, f"look at {dataset.name}", unit="frame", leave=False, disable=None):
            if sample.label is None:
                raise InputError(f"{dataset.name}: {sample.stem} has no ground truth to score against")
            if stopped.is_set():
                return


class Validator:
    """Scores and keeps the network of a run.

    Args:
        learner: Of the run.
        stream: Its crops.
        splits: To score on.
        folder: Of the run.
        origin: What the run is made from.
        notice: Terms of the model.
        workers: Processes that prepare crops.
    """

    def __init__(
        self,
        learner: Learner,
        stream: TrainingStream,
        splits: Sequence[Dataset],
        folder: Path,
        origin: dict[str, Any],
        notice: str,
        workers: int,
    ) -> None:
        self._learner, self._state = learner, learner.state
        self._stream, self._splits, self._folder, self._origin = stream, splits, folder, origin
        self._notice, self._workers = notice, workers

    def run(
        self, stopped: threading.Event, warn: Callable[[str], object]
    ) -> dict[str, dict[str, Any]] | None:
        """Score the averaged weights, write them with their scores, and draw some of their masks.

        Args:
            stopped: Ends the work after the present frame once it is set, and then nothing is kept.
            warn: Is told of a sheet that cannot be written.

        Returns:
            Scores by the name of the split; None when stopped.
        """
        info, network = self._info(), self._network()
        metrics: dict[str, dict[str, Any]] = {}
        with self._segmenter(network, info) as segmenter:
            how = {"precision": segmenter.precision, "input_size": list(segmenter.input_size)}
            for dataset in self._splits:
                matrix = evaluate(segmenter, dataset, quiet=True, stopped=stopped)
                if stopped.is_set():
                    return None
                metrics[dataset.name] = {**matrix.summary(), **how}
                self._draw(segmenter, dataset, f": {matrix.miou:.2f} % mIoU", warn)
            self._draw_trained_on(segmenter, warn)
        info = replace(info, metrics=metrics)
        save_checkpoint(self._folder / MODEL, network, info)
        if self._is_best(metrics):
            save_checkpoint(self._folder / BEST, network, info)
        return metrics

    def show(self, warn: Callable[[str], object]) -> None:
        """Draw some masks of the averaged weights without a score: a look at a run that has just begun.

        Args:
            warn: Is told of a sheet that cannot be written.
        """
        with self._segmenter(self._network(), self._info()) as segmenter:
            for dataset in self._splits:
                self._draw(segmenter, dataset, "", warn)
            self._draw_trained_on(segmenter, warn)

    def _draw_trained_on(self, segmenter: Segmenter, warn: Callable[[str], object]) -> None:
        """A look at a run of which nothing is scored, as of one on train and val."""
        dataset = self._stream.dataset if self._state.recipe.synthetic_share < 1 else None
        if dataset is not None and not self._splits:
            self._draw(segmenter, dataset, ", trained on", warn)

    @contextmanager
    def _segmenter(self, network: SernetFormer, info: CheckpointInfo) -> Iterator[Segmenter]:
        """What segments as the network would once it is shipped."""
        candidate = self._folder / _CANDIDATE
        try:
            save_checkpoint(candidate, network, info)
            yield Segmenter.load(
                candidate, device=str(self._state.device), precision=self._state.recipe.precision
            )
        finally:
            candidate.unlink(missing_ok=True)

    def _is_best(self, metrics: dict[str, dict[str, Any]]) -> bool:
        """Whether the first split has a score, and never had a better one in this run."""
        name = next(iter(metrics), "")
        score = metrics.get(name, {}).get("miou")  # None where nothing is labelled
        path = self._folder / BEST
        if score is None or not path.is_file():
            return score is not None
        kept = read_info(path)
        before = kept.metrics.get(name, {}).get("miou")
        return before is None or score > before or not self._is_earlier(kept)

    def _is_earlier(self, kept: CheckpointInfo) -> bool:
        """Whether a model is of an earlier step of this run, and not of one that was in the folder before."""
        recipe = {**kept.recipe, "network": asdict(kept.network), "notice": self._state.recipe.notice}
        return recipe.pop("step", 0) < self._state.step and self._state.is_of(recipe, kept.data)

    def _network(self) -> SernetFormer:
        """The averaged network, with norm statistics of its own where the recipe wants them."""
        recipe, state = self._state.recipe, self._state
        if not recipe.calibrate:
            return state.average
        with self._learner.autocast(), closing(self._images()) as images:
            return calibrated(state.average, images, with_still_norms(state.average, recipe))

    def _images(self) -> Generator[Tensor]:
        """The run's first crops, in whole batches: of a single crop some norms see a single value."""
        size = self._state.recipe.batch_size
        batches = math.ceil(self._state.recipe.calibrate / size)
        numbers = range(min(batches * size, len(self._stream)))
        for image, _ in crop_batches(self._stream, numbers, size, self._workers):
            yield self._learner.normalise(image)

    def _draw(
        self, segmenter: Segmenter, dataset: Dataset, score: str, warn: Callable[[str], object]
    ) -> None:
        """Write a sheet of frames, spread over a split, with their masks."""
        step = self._state.step
        rows = []
        for index in np.unique(np.linspace(0, len(dataset) - 1, _SHOWN).round().astype(int)):
            sample = dataset[int(index)]
            rows.append(
                Exhibit(sample.stem, sample.image, segmenter.segment(sample.image).mask, sample.label)
            )
        sheet = contact_sheet(rows, dataset.classes, f"{dataset.name}, step {step}{score}")
        path = self._folder / SAMPLES / f"{dataset.name.replace('/', '-')}-{step:06d}.png"
        _, code = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        try:
            write_atomically(path, lambda target: target.write_bytes(code.tobytes()))
        except InputError as error:  # not worth the run
            warn(f"warning: {error}")

    def _info(self) -> CheckpointInfo:
        dataset, recipe = self._stream.dataset, self._state.recipe
        settings = {key: value for key, value in asdict(recipe).items() if key not in ("network", "notice")}
        return CheckpointInfo(
            network=recipe.network,
            classes=dataset.classes if dataset is not None else CAMVID,
            input_size=recipe.input_size,
            notice=self._notice,
            recipe=settings | {"step": self._state.step},
            data=self._origin,
        )
