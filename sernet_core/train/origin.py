"""What a run is made from besides its recipe: kept in the model, and compared when the run is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sernet_core.checkpoint import Checkpoint, CheckpointInfo, read_info
from sernet_core.datasets import Dataset
from sernet_core.digests import file_sha256
from sernet_core.errors import CheckpointError
from sernet_core.provenance import join_notices
from sernet_core.train.parts import parts_of
from sernet_core.train.recipe import Recipe

if TYPE_CHECKING:
    from sernet_core.train.extra import Extra

Counts = tuple[np.ndarray, np.ndarray]


def describe_origin(
    recipe: Recipe,
    dataset: Dataset | None,
    encoder: Path | None,
    start: Checkpoint | None,
    teacher: Checkpoint | None = None,
    extra: Extra | None = None,
    counts: Counts | None = None,
) -> dict[str, Any]:
    """Data sets, training list, initial weights and teacher of a run, as JSON-ready values.

    A run on several parts of a data set names them (`parts`): with val among them nothing was held back.

    The training list (`stems`) is that of all that `trained_on` gives. `counts` are those of `count_classes`:
    frames of the same names with other labels, or of another size, are other data.

    Raises:
        CheckpointError: The encoder's or the model's file cannot be read.
    """
    shown = dataset if recipe.synthetic_share < 1 else None  # whose frames the network gets to see
    origin: dict[str, Any] = {
        "train": shown.name if shown is not None else None,
        "synthetic_share": recipe.synthetic_share,
    }
    if dataset is not None and shown is None:
        origin["class_weights"] = dataset.name  # all that the run takes from it
    if shown is not None and (parts := parts_of(shown)):
        origin["parts"] = parts
    if extra is not None:
        origin["extra"] = extra.describe(recipe.extra_share)
    if encoder is not None:
        origin["encoder"] = {"file": encoder.name, "sha256": weights_sha256(encoder)}
    for role, model in (("started_from", start), ("teacher", teacher)):
        if model is not None:
            origin[role] = describe_model(model)
    counted = [one for one in (counts, extra.counts if extra is not None else None) if one is not None]
    if counted:
        origin["labels_sha256"] = labels_sha256(*counted)
    seen = trained_on(recipe, dataset, start, teacher, extra)
    origin["stems"] = sorted({stem for data in seen.values() for stem in data.get("stems", ())})
    return origin


def labels_sha256(*counts: Counts) -> str:
    """Digest of what `count_classes` counted in data sets."""
    return hashlib.sha256(
        json.dumps([[part.tolist() for part in one] for one in counts]).encode()
    ).hexdigest()


def terms(recipe: Recipe, *models: Checkpoint | CheckpointInfo | None) -> str:
    """The notice of a model to be trained: its recipe's, and those of all models that it is made from."""
    infos = [model.info if isinstance(model, Checkpoint) else model for model in models]
    return join_notices([recipe.notice, *(info.notice for info in infos if info is not None)])


def describe_model(model: Checkpoint) -> dict[str, Any]:
    """What a model keeps of another that it was made from; of its training list it makes one with its own.

    Raises:
        CheckpointError: Its file cannot be read.
    """
    return {
        "file": model.path.name,
        "sha256": weights_sha256(model.path),
        "recipe": dict(model.info.recipe),
        "data": {key: value for key, value in model.info.data.items() if key != "stems"},
    }


def trained_on(
    recipe: Recipe,
    dataset: Dataset | None,
    start: Checkpoint | None,
    teacher: Checkpoint | None,
    extra: Extra | None,
) -> dict[str, Mapping[str, Any]]:
    """All whose frames a run has seen in the end: itself, its start, its teacher and what masks its labels.

    Returns:
        What is known of its data, with the training list as `stems`, by what to call it.

    Raises:
        CheckpointError: The file of the masking model cannot be read.
    """
    stems = dataset.stems if dataset is not None and recipe.synthetic_share < 1 else []
    seen: dict[str, Mapping[str, Any]] = {
        "the model to be trained": {"stems": stems, "synthetic_share": recipe.synthetic_share}
    }
    if extra is not None:
        seen[f"the model to be trained (by --extra {extra.dataset.name})"] = {"stems": extra.dataset.stems}
        if extra.model is not None:
            masking = f"the model that masks {extra.dataset.name} (--extra-model {extra.model.name})"
            seen[masking] = read_info(extra.model).data
    if start is not None:
        seen[f"the model to start from (--from {start.path.name})"] = start.info.data
    if teacher is not None:
        seen[f"the teacher (--teacher {teacher.path.name})"] = teacher.info.data
    return seen


def weights_sha256(path: Path) -> str:
    """SHA-256 of a file of weights, in hexadecimal.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read the weights: {error.strerror}") from error
