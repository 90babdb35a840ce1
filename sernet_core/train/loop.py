"""The training loop: resumable at any moment, validated with the weights that would ship."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sernet_core.checkpoint import Checkpoint
from sernet_core.datasets import Dataset
from sernet_core.errors import CheckpointError, ConfigError, InputError, SernetError
from sernet_core.labels import CAMVID, ClassSet
from sernet_core.losses import class_weights
from sernet_core.network import NetworkConfig
from sernet_core.pretrained import load_imagenet_encoder
from sernet_core.storage import claim
from sernet_core.train.distil import Teacher, check_teacher
from sernet_core.train.extra import Extra
from sernet_core.train.log import RunLog
from sernet_core.train.origin import describe_origin, terms, trained_on
from sernet_core.train.processes import Processes
from sernet_core.train.recipe import Recipe
from sernet_core.train.start import check_frozen, check_kept, check_start, load_start
from sernet_core.train.state import TrainingState
from sernet_core.train.step import Learner
from sernet_core.train.stop import stop_on_signal
from sernet_core.train.stream import (
    TrainingStream,
    check_extra,
    check_labelled,
    count_classes,
    missing_classes,
    training_batches,
)
from sernet_core.train.validate import MODEL, Validator, check_frames, check_splits

STATE = "state.safetensors"
HISTORY_EVERY = 25  # steps between two points of the loss curve
EARLY = 100  # steps after which some masks are drawn, to see in time that a run learns what it should


def train(
    recipe: Recipe,
    dataset: Dataset | None,
    validation: Sequence[Dataset],
    folder: Path,
    *,
    encoder: Path | None = None,
    start: Checkpoint | None = None,
    teacher: Checkpoint | None = None,
    extra: Extra | None = None,
    first_weights_as: NetworkConfig | None = None,
    device: str = "cpu",
    processes: Processes | None = None,
    workers: int = 1,
    save_every: int = 200,
) -> bool:
    """Train, or go on with the run that the folder holds.

    The folder gets `state.safetensors` (to resume), `model.safetensors` (averaged weights, as they would
    ship), `history.csv`, `curves.png` and `samples/`. A first SIGINT or SIGTERM saves and stops.

    Args:
        recipe: Settings of the run.
        dataset: Frames to train on; None trains on procedural scenes alone.
        validation: Splits to score on the way, never trained on.
        folder: Run folder; a run in it is resumed.
        encoder: ImageNet weights for the encoder.
        start: Model to start from instead, the same network or the one that the recipe's is pruned from; the
            trained model remembers its recipe and training list. Where the data have other classes, what
            fits is kept, and what was dropped is printed.
        teacher: Larger model to distil, by the recipe's `distil_weight`; remembered likewise.
        extra: Second data set to train on.
        first_weights_as: Another network whose random first weights, of the same seed, are taken wherever
            name and shape agree, so that two networks to compare start as alike as can be.
        device: "cpu" or "cuda:N", for a run in one process.
        processes: Those that share the run, each with its device; None for this one alone.
        workers: Processes that prepare crops, for each process that trains.
        save_every: Steps between saved states.

    Returns:
        Whether the run is complete (False: it was interrupted, and can be resumed).

    Raises:
        ConfigError: Recipe, data, processes and the model to start from do not fit.
        InputError: A frame cannot be used, a split to score was trained on or has other classes, or another
            process trains in the folder.
        CheckpointError: Weights or a saved state do not fit, or cannot be written.
    """
    processes = processes or Processes(device=device)
    check_run(recipe, dataset, validation, encoder=encoder, start=start, teacher=teacher, extra=extra)
    classes = _classes(dataset)
    with stop_on_signal() as stopped, contextlib.ExitStack() as held:
        resumed = processes.first_says((folder / STATE).is_file())
        if resumed:
            held.enter_context(_alone_in(folder, processes))
        counts = count_classes(dataset) if dataset is not None else None
        missing = missing_classes(counts[0]) if counts is not None else []
        if teacher is None and dataset is not None:
            check_labelled(dataset, missing)
        check_frames(validation, stopped)
        if processes.any(stopped.is_set()):
            return False
        origin = describe_origin(recipe, dataset, encoder, start, teacher, extra, counts)
        state = TrainingState(recipe, origin, str(processes.device))
        progress: dict[str, Any] = {"history": [], "losses": []}
        if (folder / STATE).is_file():
            progress = state.restore(folder / STATE)
            if not _is_progress(progress):
                raise CheckpointError(f"{folder / STATE}: cannot be resumed from: its history is damaged")
        else:
            if first_weights_as is not None:
                state.borrow(TrainingState(replace(recipe, network=first_weights_as), origin))
            if encoder is not None:
                load_imagenet_encoder(state.model.network.encoder, encoder)
            if start is not None:
                transfer = load_start(state.model.network, start, classes)
                if transfer:
                    check_kept(recipe, transfer)
                    if processes.first:
                        tqdm.write(str(transfer))
            state.reset_average()
        if not processes.agree(state.step):
            raise ConfigError(
                f"{folder}: not all processes find the same state in the run folder; it must be one that all "
                "of them share"
            )
        if not resumed:  # no folder for weights to start from that do not fit
            held.enter_context(_alone_in(folder, processes))
        if extra is not None and processes.first:
            tqdm.write(extra.summary())
        if teacher is None and extra is not None:
            check_labelled(extra.dataset, extra.missing)
        second = extra.prepare(folder, processes, stopped) if extra is not None else None
        if extra is not None and second is None:
            return False
        unlabelled = extra.missing if extra is not None else []
        stream = TrainingStream(recipe, dataset, second, unlabelled)
        guide = Teacher(teacher, processes.device, mixed=recipe.precision == "bf16") if teacher else None
        weights = class_weights(*counts, recipe.balance) if counts else torch.ones(len(classes))
        learner = Learner(state, weights, processes, guide, unlabelled)
        notice = terms(recipe, start, teacher, extra.masking if extra is not None else None)
        validator = Validator(learner, stream, validation, folder, origin, notice, workers)
        if dataset is not None and missing and processes.first:
            names = ", ".join(classes.names[number] for number in missing)
            tqdm.write(f"warning: {dataset.name} has no pixel of {names}: not to be learned from it")
        with contextlib.closing(RunLog(folder if processes.first else None, state.step)) as log:
            run = _Run(learner, validator, log, folder, progress)
            return run.go(stream, workers, save_every, stopped)


@contextlib.contextmanager
def _alone_in(folder: Path, processes: Processes) -> Iterator[None]:
    """Keep other runs out of a run folder: two of them would write over each other's state."""
    with claim(folder) if processes.first else contextlib.nullcontext(False) as mine:
        if not processes.first_says(mine):
            raise InputError(
                f"{folder}: another process is training in this run folder; wait for it, stop it, or name "
                "another folder (--run)"
            )
        yield


def check_run(
    recipe: Recipe,
    dataset: Dataset | None,
    validation: Sequence[Dataset],
    *,
    encoder: Path | None = None,
    start: Checkpoint | None = None,
    teacher: Checkpoint | None = None,
    extra: Extra | None = None,
) -> None:
    """Find out whether `train` would take these arguments, for all that can be told before a step is made.

    Raises:
        ConfigError: Recipe, data and the model to start from do not fit.
        InputError: A split to score was trained on or has other classes.
        CheckpointError: The file of a model cannot be read.
    """
    classes = _classes(dataset)
    if len(classes) != recipe.network.classes:
        raise ConfigError(
            f"the recipe has {recipe.network.classes} classes, {classes.name} has {len(classes)}"
        )
    for name in recipe.augment.rare:
        classes.id_of(name)
    if start is not None:
        check_start(start, recipe.network)
    check_frozen(recipe, encoder=encoder is not None, start=start is not None)
    if teacher is not None:
        check_teacher(teacher, classes)
    check_extra(recipe, dataset, extra.dataset if extra is not None else None)
    check_splits(validation, recipe, classes, trained_on(recipe, dataset, start, teacher, extra))


def _classes(dataset: Dataset | None) -> ClassSet:
    return dataset.classes if dataset is not None else CAMVID


class _Run:
    """One run in progress."""

    def __init__(
        self, learner: Learner, validator: Validator, log: RunLog, folder: Path, progress: dict[str, Any]
    ) -> None:
        self.learner, self.state, self.recipe = learner, learner.state, learner.recipe
        self.processes, self.validator, self.log, self.folder = learner.processes, validator, log, folder
        self.history: list[dict[str, Any]] = progress["history"]
        self.losses: list[float] = progress["losses"]  # since the last row of the history

    def go(self, stream: TrainingStream, workers: int, save_every: int, stopped: threading.Event) -> bool:
        """Train to the end, or until stopped; whether the run is complete."""
        state, processes = self.state, self.processes
        batches = training_batches(
            stream,
            state.step,
            workers,
            pinned=state.device.type == "cuda",
            part=(processes.index, processes.count),
        )
        with tqdm(
            total=self.recipe.steps,
            initial=state.step,
            desc="train",
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 60,  # a log file gets a line a minute
            disable=not processes.first,
        ) as bar:
            if state.step == self.recipe.steps and not processes.first_says((self.folder / MODEL).is_file()):
                self._forget_last_validation()
            going = self._validate(bar, stopped)  # what an interruption may have left undone
            for image, label in batches if going else ():
                self.losses.append(self.learner.learn(image, label, lambda words: self._tell(bar, words)))
                bar.update()
                bar.set_postfix(loss=f"{_mean(self.losses[-20:]):.3f}", refresh=False)
                owed = self._owes_validation()
                if state.step == EARLY and not owed and processes.first:
                    self._show(bar)
                if not owed and state.step % HISTORY_EVERY == 0:
                    self._note({}, bar)
                halt = processes.any(stopped.is_set())
                # Before a validation too: whatever happens in it, no step is lost.
                if owed or halt or state.step % save_every == 0:
                    self._save()
                if halt or not self._validate(bar, stopped):
                    break
        return state.step == self.recipe.steps and not self._owes_validation()

    def _show(self, bar: Any) -> None:
        """Draw some early masks, which are not worth the run where a frame or the disk is at fault."""
        try:
            self.validator.show(lambda words: self._tell(bar, words))
        except SernetError as error:
            self._tell(bar, f"warning: no early masks: {error}")

    def _save(self) -> None:
        if self.processes.first:
            self.state.save(self.folder / STATE, {"history": self.history, "losses": self.losses})

    def _owes_validation(self) -> bool:
        """Whether the present step is one to validate at, and has not been."""
        step = self.state.step
        due = step == self.recipe.steps or (step > 0 and step % self.recipe.validate_every == 0)
        return due and not (self.history and self.history[-1]["step"] == step)

    def _forget_last_validation(self) -> None:
        """Owe it again: the model that it wrote is gone."""
        if self.history and self.history[-1]["step"] == self.state.step:
            self.losses = [self.history.pop()["loss"]]

    def _note(self, scores: dict[str, float], bar: Any) -> None:
        """Add a row to the history and to what the user sees."""
        row: dict[str, Any] = {"step": self.state.step, "loss": round(_mean(self.losses), 4), **scores}
        self.losses = []
        self.history.append(row)
        self.log.write(self.history, self.recipe, lambda words: self._tell(bar, words))
        if scores:
            self._tell(bar, "  ".join(f"{key} {value}" for key, value in row.items()))

    def _validate(self, bar: Any, stopped: threading.Event) -> bool:
        """Where a validation is owed: have it done by the first process; whether the run goes on."""
        if not self._owes_validation():
            return True
        scores = None
        if self.processes.first and not stopped.is_set():
            scores = self.validator.run(stopped, lambda words: self._tell(bar, words))
        if not self.processes.first_says(scores is not None):
            return False
        self._note({f"miou {name}": value["miou"] for name, value in (scores or {}).items()}, bar)
        if self.state.step == self.recipe.steps:
            self._save()
        return True

    def _tell(self, bar: Any, words: str) -> None:
        if self.processes.first:
            bar.write(words)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _is_progress(values: object) -> bool:
    """Whether these are the history and the losses of a run, see `_Run._save`."""
    match values:
        case {"history": list(rows), "losses": list(losses)}:
            whole = all(isinstance(row, dict) and {"step", "loss"} <= row.keys() for row in rows)
            return whole and all(isinstance(loss, float | int) for loss in losses)
    return False
