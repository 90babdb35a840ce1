"""What a run leaves for a person: a CSV of its figures and a picture of its curves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from sernet_core.storage import write_atomically


def write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write history.csv and curves.png from one row a validation."""
    write_atomically(folder / "history.csv", lambda path: _write_csv(path, history))
    write_atomically(folder / "curves.png", lambda path: _draw_curves(path, history))


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
