"""The confusion matrix of a split, and which splits say nothing of a model."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tqdm import tqdm

from sernet_core.checkpoint import CheckpointInfo
from sernet_core.datasets import Dataset
from sernet_core.datasets.selection import whole
from sernet_core.errors import InputError
from sernet_core.metrics import ConfusionMatrix
from sernet_core.provenance import saw_scenes
from sernet_core.runtime import Segmenter


def evaluate(
    segmenter: Segmenter, dataset: Dataset, *, quiet: bool = False, stopped: threading.Event | None = None
) -> ConfusionMatrix:
    """One confusion matrix over a whole split, at the labels' resolution.

    Args:
        segmenter: Its masks are those of the live node.
        dataset: Frames with ground truth.
        quiet: No progress bar.
        stopped: Ends the work after the present frame once it is set; the matrix is then of no use.

    Raises:
        InputError: The class sets differ, a frame has no ground truth, or the split was trained on.
    """
    check_split(dataset, segmenter.info, segmenter.model)
    matrix = ConfusionMatrix(dataset.classes)
    for sample in tqdm(dataset, f"evaluate {dataset.name}", unit="frame", leave=False, disable=quiet or None):
        if sample.label is None:
            raise InputError(
                f"{dataset.name}: {sample.stem} has no ground truth; `sernet predict` needs none"
            )
        matrix.update(sample.label, segmenter.segment(sample.image).mask)
        if stopped is not None and stopped.is_set():
            break
    return matrix


def check_split(dataset: Dataset, info: CheckpointInfo, model: str) -> None:
    """Refuse a split on which a model's figures would be none.

    Args:
        dataset: The split.
        info: What the model says of itself.
        model: What to call it.

    Raises:
        InputError: The class sets differ, or the split was trained on.
    """
    if difference := info.classes.difference(dataset.classes):
        raise InputError(
            f"{model} knows the classes of {info.classes.name}, {dataset.name} is labelled "
            f"with those of {dataset.classes.name}: {difference}"
        )
    if whole(dataset).name == "synthetic/train" and saw_scenes(info.data):
        raise InputError(f"{dataset.name}: {model} was trained on such scenes; evaluate on synthetic:val")
    if seen := trained_frames(info, dataset.stems):
        raise InputError(
            f"{dataset.name}: {len(seen)} of {len(dataset)} frames are in the training list of "
            f"{model}, {seen[0]} for one; evaluate on frames that it has not seen (frames are known by their "
            "names: where these are different pictures, rename them)"
        )


def trained_frames(info: CheckpointInfo, stems: Sequence[str]) -> list[str]:
    """Those of some frames that are in a model's training list: a figure on them is no figure."""
    trained = set(info.data.get("stems", ()))
    return [stem for stem in stems if stem in trained]
