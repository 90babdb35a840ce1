"""The training loop: resumable at any moment, validated with the weights that would ship."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sernet_core.checkpoint import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Checkpoint,
    CheckpointInfo,
    save_checkpoint,
)
from sernet_core.datasets import Dataset
from sernet_core.errors import ConfigError, InputError
from sernet_core.evaluate import check_split, evaluate
from sernet_core.labels import CAMVID
from sernet_core.losses import class_weights, segmentation_loss
from sernet_core.pretrained import load_imagenet_encoder
from sernet_core.runtime import Segmenter
from sernet_core.storage import make_folder
from sernet_core.train.distil import Teacher, check_teacher, distillation_loss
from sernet_core.train.log import write_history
from sernet_core.train.origin import describe_origin
from sernet_core.train.recipe import Recipe
from sernet_core.train.start import check_start, load_start
from sernet_core.train.state import TrainingState
from sernet_core.train.stream import TrainingStream, count_classes, training_batches

STATE = "state.safetensors"
MODEL = "model.safetensors"
CANDIDATE = ".candidate.safetensors"  # the model while it has no scores yet
HISTORY_EVERY = 25  # steps between two points of the loss curve
ATTEMPTS = 3  # at a batch whose loss or gradient is not finite


def train(
    recipe: Recipe,
    dataset: Dataset | None,
    validation: Sequence[Dataset],
    folder: Path,
    *,
    encoder: Path | None = None,
    start: Checkpoint | None = None,
    teacher: Checkpoint | None = None,
    device: str = "cpu",
    workers: int = 1,
    save_every: int = 200,
) -> bool:
    """Train, or go on with the run that the folder holds.

    The folder gets `state.safetensors` (to resume), `model.safetensors` (averaged weights, as they would
    ship), `history.csv` and `curves.png`. A first SIGINT or SIGTERM saves and stops.

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
        device: "cpu" or "cuda:N".
        workers: Processes that prepare crops.
        save_every: Steps between saved states.

    Returns:
        Whether the run is complete (False: it was interrupted, and can be resumed).

    Raises:
        ConfigError: Recipe, data and the model to start from do not fit.
        InputError: A frame cannot be used, or a split to score was trained on or has other classes.
        CheckpointError: Weights or a saved state do not fit, or cannot be written.
    """
    classes = dataset.classes if dataset is not None else CAMVID
    if len(classes) != recipe.network.classes:
        raise ConfigError(
            f"the recipe has {recipe.network.classes} classes, {classes.name} has {len(classes)}"
        )
    if start is not None:
        check_start(start, recipe.network)
    if teacher is not None:
        check_teacher(teacher, classes)
    with _stop_on_signal() as stopped:
        stream = TrainingStream(recipe, dataset)
        origin = describe_origin(recipe, dataset, encoder, start, teacher)
        state = TrainingState(recipe, origin, device)
        progress: dict[str, Any] = {"history": [], "losses": []}
        make_folder(folder)
        if (folder / STATE).is_file():
            progress = state.restore(folder / STATE)
        else:
            if encoder is not None:
                load_imagenet_encoder(state.model.network.encoder, encoder)
            if start is not None and (transfer := load_start(state.model.network, start, classes)):
                tqdm.write(str(transfer))
            state.reset_average()
        run = _Run(state, stream, list(validation), folder, origin, progress, teacher)
        run.check_validation()
        return run.go(workers, save_every, stopped)


class _Run:
    """One run in progress."""

    def __init__(
        self,
        state: TrainingState,
        stream: TrainingStream,
        validation: list[Dataset],
        folder: Path,
        origin: dict[str, Any],
        progress: dict[str, Any],
        teacher: Checkpoint | None,
    ) -> None:
        self.state, self.stream, self.validation = state, stream, validation
        self.folder, self.origin = folder, origin
        self.history: list[dict[str, Any]] = progress["history"]
        self.losses: list[float] = progress["losses"]  # since the last row of the history
        self.recipe, self.device = state.recipe, state.device
        mixed = self.recipe.precision == "bf16"
        self.teacher = Teacher(teacher, self.device, mixed=mixed) if teacher is not None else None
        dataset = stream.dataset
        counts = count_classes(dataset) if dataset is not None else None
        size = self.recipe.network.classes
        weights = class_weights(*counts, self.recipe.balance) if counts else torch.ones(size)
        self.weights = weights.to(self.device)
        self.mean = (torch.tensor(IMAGENET_MEAN) * 255).view(1, 3, 1, 1).to(self.device)
        self.std = (torch.tensor(IMAGENET_STD) * 255).view(1, 3, 1, 1).to(self.device)

    def check_validation(self) -> None:
        """Find out before the first step whether the splits can be scored.

        Raises:
            InputError: One cannot.
        """
        for dataset in self.validation:
            check_split(dataset, self._info(), "the model to be trained")
            if dataset[0].label is None:
                raise InputError(f"{dataset.name}: {dataset.stems[0]} has no ground truth to score against")

    def go(self, workers: int, save_every: int, stopped: threading.Event) -> bool:
        """Train to the end, or until stopped; whether the run is complete."""
        state = self.state
        batches = training_batches(self.stream, state.step, workers, pinned=self.device.type == "cuda")
        with tqdm(
            total=self.recipe.steps,
            initial=state.step,
            desc="train",
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 60,  # a log file gets a line a minute
        ) as bar:
            self._validate(bar, stopped)  # what an interruption may have left undone
            for image, label in batches:
                self.losses.append(self._step(image, label, bar))
                bar.update()
                bar.set_postfix(loss=f"{_mean(self.losses[-20:]):.3f}", refresh=False)
                owed = self._owes_validation()
                if not owed and state.step % HISTORY_EVERY == 0:
                    self._note({}, bar)
                # Before a validation too: whatever happens in it, no step is lost.
                if owed or stopped.is_set() or state.step % save_every == 0:
                    self._save()
                self._validate(bar, stopped)
                if stopped.is_set():
                    break
        return state.step == self.recipe.steps and not self._owes_validation()

    def _save(self) -> None:
        self.state.save(self.folder / STATE, {"history": self.history, "losses": self.losses})

    def _owes_validation(self) -> bool:
        """Whether the present step is one to validate at, and has not been."""
        step = self.state.step
        due = step == self.recipe.steps or (step > 0 and step % self.recipe.validate_every == 0)
        return due and not (self.history and self.history[-1]["step"] == step)

    def _step(self, image: Tensor, label: Tensor, bar: Any) -> float:
        """Learn from a batch and return its loss.

        A loss or gradient that is not finite changes nothing, and the batch is tried again: reduced precision
        on a CPU has been seen to give one now and then for a batch that was fine the next time.

        Raises:
            InputError: It is never finite.
        """
        image = image.to(self.device, non_blocking=True)
        label = label.to(self.device, non_blocking=True)
        self.state.model.train()
        self.state.set_rates()
        for attempt in range(ATTEMPTS):
            if attempt:
                bar.write(f"step {self.state.step}: not finite, trying the batch again")
            norms = self.state.norm_statistics()
            loss, finite = self._backward(image, label)
            if finite:
                self.state.advance()
                return loss
            self.state.set_norm_statistics(norms)
        raise InputError(
            f"step {self.state.step}: loss {loss} or its gradient is not finite, {ATTEMPTS} times in a row: "
            "start a new run with a lower learning rate, or with precision: fp32"
        )

    def _backward(self, image: Tensor, label: Tensor) -> tuple[float, bool]:
        """Gradients of a batch's loss: the loss, and whether it and they are finite."""
        state, recipe = self.state, self.recipe
        batch = ((image.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits, auxiliary = state.model(batch)
        loss = segmentation_loss(logits, label, self.weights)
        if auxiliary is not None:
            loss = loss + recipe.auxiliary_weight * segmentation_loss(auxiliary, label, self.weights)
        if self.teacher is not None:
            taught = self.teacher.logits(image)
            loss = loss + recipe.distil_weight * distillation_loss(logits, taught, recipe.distil_temperature)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        gradients = [parameter.grad for parameter in state.model.parameters() if parameter.grad is not None]
        finite = torch.isfinite(loss.detach()) & torch.isfinite(torch.nn.utils.get_total_norm(gradients))
        return float(loss.detach()), bool(finite)

    def _note(self, scores: dict[str, float], bar: Any) -> None:
        """Add a row to the history and to what the user sees."""
        row: dict[str, Any] = {"step": self.state.step, "loss": round(_mean(self.losses), 4), **scores}
        self.losses = []
        self.history.append(row)
        try:
            write_history(self.folder, self.history)
        except InputError as error:  # not worth the run; the state holds the history too
            bar.write(f"warning: {error}")
        if scores:
            bar.write("  ".join(f"{key} {value}" for key, value in row.items()))

    def _validate(self, bar: Any, stopped: threading.Event) -> None:
        """Where a validation is owed: score the averaged weights as they would ship, and write both."""
        if stopped.is_set() or not self._owes_validation():
            return
        info, candidate = self._info(), self.folder / CANDIDATE
        metrics: dict[str, dict[str, Any]] = {}
        try:
            save_checkpoint(candidate, self.state.average, info)
            segmenter = Segmenter.load(candidate, device=str(self.device), precision=self.recipe.precision)
            how = {"precision": segmenter.precision, "input_size": list(segmenter.input_size)}
            for dataset in self.validation:
                matrix = evaluate(segmenter, dataset, quiet=True, stopped=stopped)
                if stopped.is_set():
                    return
                metrics[dataset.name] = {**matrix.summary(), **how}
        finally:
            candidate.unlink(missing_ok=True)
        save_checkpoint(self.folder / MODEL, self.state.average, replace(info, metrics=metrics))
        self._note({f"miou {name}": scores["miou"] for name, scores in metrics.items()}, bar)
        if self.state.step == self.recipe.steps:
            self._save()

    def _info(self) -> CheckpointInfo:
        dataset, recipe = self.stream.dataset, self.recipe
        settings = {key: value for key, value in asdict(recipe).items() if key not in ("network", "notice")}
        return CheckpointInfo(
            network=recipe.network,
            classes=dataset.classes if dataset is not None else CAMVID,
            input_size=recipe.input_size,
            notice=recipe.notice,
            recipe=settings | {"step": self.state.step},
            data=self.origin,
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one acts as usual."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def stop(kind: int, _frame: object) -> None:
        stopped.set()
        signal.signal(kind, before[signal.Signals(kind)])

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield stopped
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
