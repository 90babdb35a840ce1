"""What a run leaves for a person: a CSV of its figures, its curves, and events for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sernet_core.errors import InputError
from sernet_core.storage import write_atomically
from sernet_core.train.recipe import Recipe

EVENTS = "events"


class RunLog:
    """Writes the history of a run.

    Args:
        folder: Of the run; None writes nothing.
        step: Steps already taken; what TensorBoard was told of later ones is void.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        self._folder = folder
        self._events = _event_writer(folder / EVENTS, step) if folder is not None else None

    def write(self, history: list[dict[str, Any]], recipe: Recipe, warn: Callable[[str], object]) -> None:
        """Write history.csv and curves.png from one row a point, and events of the newest row.

        A log that cannot be written is not worth the run: the state holds the history too.

        Args:
            history: Rows with step, loss and, at validations, "miou NAME" for each split.
            recipe: Of the run.
            warn: Is told what cannot be written.
        """
        if self._folder is None:
            return
        try:
            write_atomically(self._folder / "history.csv", lambda path: _write_csv(path, history))
            write_atomically(self._folder / "curves.png", lambda path: _draw_curves(path, history))
            if self._events is not None:
                _write_events(self._events, history[-1], recipe)
        except (InputError, OSError) as error:
            warn(f"warning: {error}")

    def close(self) -> None:
        """Finish the events."""
        if self._events is not None:
            self._events.close()


def _event_writer(folder: Path, step: int) -> Any:
    """TensorBoard's writer, or None where the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def _write_events(writer: Any, row: dict[str, Any], recipe: Recipe) -> None:
    step = row["step"]
    writer.add_scalar("loss", row["loss"], step)
    writer.add_scalar("rate", recipe.rate * recipe.rate_factor(step - 1), step)
    for key, value in row.items():
        if key.startswith("miou ") and value is not None:
            writer.add_scalar(f"miou/{key.removeprefix('miou ')}", value, step)
    writer.flush()


def _write_csv(path: Path, history: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in history for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def _draw_curves(path: Path, history: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    steps = [row["step"] for row in history]
    loss.plot(steps, [row["loss"] for row in history], marker="o", markersize=3)
    loss.set(xlabel="step", ylabel="training loss")
    for key in dict.fromkeys(key for row in history for key in row if key.startswith("miou ")):
        rows = [row for row in history if key in row]
        accuracy.plot([row["step"] for row in rows], [row[key] for row in rows], marker="o", markersize=3,
                      label=key.removeprefix("miou "))  # fmt: skip
    accuracy.set(xlabel="step", ylabel="mIoU (%)", ylim=(0, 100))
    if accuracy.lines:
        accuracy.legend()
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
