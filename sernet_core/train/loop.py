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
from sernet_core.encoder import load_imagenet_encoder
from sernet_core.errors import ConfigError, InputError
from sernet_core.evaluate import evaluate
from sernet_core.labels import CAMVID
from sernet_core.losses import class_weights, segmentation_loss
from sernet_core.runtime import Segmenter
from sernet_core.train.log import write_history
from sernet_core.train.recipe import Recipe
from sernet_core.train.state import TrainingState
from sernet_core.train.stream import TrainingStream, count_classes, training_batches

STATE = "state.safetensors"
MODEL = "model.safetensors"


def train(
    recipe: Recipe,
    dataset: Dataset | None,
    validation: Sequence[Dataset],
    folder: Path,
    *,
    encoder: Path | None = None,
    start: Checkpoint | None = None,
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
        start: Model to start from instead; the trained model remembers its recipe and training list.
        workers: Processes that prepare crops.
        save_every: Steps between saved states.

    Returns:
        Whether the run is complete (False: it was interrupted, and can be resumed).

    Raises:
        ConfigError: Recipe and data do not fit.
        InputError: A frame cannot be used.
        CheckpointError: Weights or a saved state do not fit.
    """
    classes = dataset.classes if dataset is not None else CAMVID
    if len(classes) != recipe.network.classes:
        raise ConfigError(
            f"the recipe has {recipe.network.classes} classes, {classes.name} has {len(classes)}"
        )
    if start is not None and start.info.network != recipe.network:
        raise ConfigError(
            f"the model to start from is another network than the recipe's: {start.info.network}"
        )
    stream = TrainingStream(recipe, dataset)
    state = TrainingState(recipe)
    history: list[dict[str, Any]] = []
    if (folder / STATE).is_file():
        history = state.restore(folder / STATE)
    else:
        if encoder is not None:
            load_imagenet_encoder(state.model.network.encoder, encoder)
        if start is not None:
            state.model.network.load_state_dict(start.network.state_dict())
        state.reset_average()
    run = _Run(state, stream, list(validation), folder, history, start.info if start else None)
    with _stop_on_signal() as stopped:
        return run.go(workers, save_every, stopped)


class _Run:
    """One run in progress."""

    def __init__(
        self,
        state: TrainingState,
        stream: TrainingStream,
        validation: list[Dataset],
        folder: Path,
        history: list[dict[str, Any]],
        start: CheckpointInfo | None,
    ) -> None:
        self.state, self.stream, self.validation = state, stream, validation
        self.folder, self.history, self.start = folder, history, start
        self.recipe = state.recipe
        dataset = stream.dataset
        counts = count_classes(dataset) if dataset is not None else None
        size = self.recipe.network.classes
        self.weights = class_weights(*counts, self.recipe.balance) if counts else torch.ones(size)
        self.mean = (torch.tensor(IMAGENET_MEAN) * 255).view(1, 3, 1, 1)
        self.std = (torch.tensor(IMAGENET_STD) * 255).view(1, 3, 1, 1)

    def go(self, workers: int, save_every: int, stopped: threading.Event) -> bool:
        state, losses = self.state, []
        batches = training_batches(self.stream, state.step, workers)
        with tqdm(
            total=self.recipe.steps,
            initial=state.step,
            desc="train",
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 60,  # a log file gets a line a minute
        ) as bar:
            for image, label in batches:
                losses.append(self._step(image, label))
                state.step += 1
                bar.update()
                bar.set_postfix(loss=f"{sum(losses[-20:]) / len(losses[-20:]):.3f}", refresh=False)
                complete = state.step == self.recipe.steps
                if complete or state.step % self.recipe.validate_every == 0:
                    self._validate(sum(losses) / len(losses), bar)
                    losses = []
                if complete or stopped.is_set() or state.step % save_every == 0:
                    state.save(self.folder / STATE, self.history)
                if stopped.is_set():
                    break
        return state.step == self.recipe.steps

    def _step(self, image: Tensor, label: Tensor) -> float:
        state, recipe = self.state, self.recipe
        state.model.train()
        state.set_rates()
        batch = ((image.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits, auxiliary = state.model(batch)
        loss = segmentation_loss(logits, label, self.weights)
        if auxiliary is not None:
            loss = loss + recipe.auxiliary_weight * segmentation_loss(auxiliary, label, self.weights)
        if not torch.isfinite(loss):
            raise InputError(
                f"step {state.step}: the loss is {loss.item()}; the last saved state is whole: "
                "resume with a lower learning rate in a new run"
            )
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        state.update_average()
        return float(loss.detach())

    def _validate(self, loss: float, bar: Any) -> None:
        """Score the averaged weights as they would ship, and write them with their scores."""
        row: dict[str, Any] = {"step": self.state.step, "loss": round(loss, 4)}
        path = self.folder / MODEL
        info = self._info()
        save_checkpoint(path, self.state.average, info)
        segmenter = Segmenter.load(path, precision=self.recipe.precision)
        scores: dict[str, Any] = {}
        for dataset in self.validation:
            scores[dataset.name] = evaluate(segmenter, dataset, quiet=True).summary()
            row[f"miou {dataset.name}"] = scores[dataset.name]["miou"]
        save_checkpoint(path, self.state.average, replace(info, metrics=scores))
        self.history.append(row)
        write_history(self.folder, self.history)
        bar.write("  ".join(f"{key} {value}" for key, value in row.items()))

    def _info(self) -> CheckpointInfo:
        dataset, recipe = self.stream.dataset, self.recipe
        share = recipe.synthetic_share
        stems = set(dataset.stems) if dataset is not None and share < 1 else set()
        data: dict[str, Any] = {
            "train": dataset.name if dataset is not None else None,
            "synthetic_share": share,
        }
        if self.start is not None:
            stems |= set(self.start.data.get("stems", ()))
            before = {key: value for key, value in self.start.data.items() if key != "stems"}
            data["started_from"] = {"recipe": self.start.recipe, "data": before}
        data["stems"] = sorted(stems)
        return CheckpointInfo(
            network=recipe.network,
            classes=dataset.classes if dataset is not None else CAMVID,
            input_size=recipe.input_size,
            notice=recipe.notice,
            recipe={key: value for key, value in asdict(recipe).items() if key not in ("network", "notice")}
            | {"step": self.state.step},
            data=data,
        )


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
