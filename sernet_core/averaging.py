"""The average of several models' weights as one model, which costs what one of them does.

Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time", ICML 2022: the uniform soup, of models that were fine-tuned from the same
one. The batch norms' statistics are averaged too: they are those of augmented crops, which frames as they are
cannot replace (docs/training.md has the figure).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from sernet_core.checkpoint import Checkpoint, CheckpointInfo
from sernet_core.decoder import LATERAL_SCALE, LATERAL_SHIFT
from sernet_core.errors import CheckpointError
from sernet_core.network import build_network
from sernet_core.provenance import ancestors, join_notices
from sernet_core.segmentation_network import SegmentationNetwork
from sernet_core.train.origin import describe_model, weights_sha256


def average_models(models: Sequence[Checkpoint]) -> tuple[SegmentationNetwork, CheckpointInfo]:
    """The mean of every weight and of every batch norm's running statistics, all models counting alike.

    Args:
        models: At least two, of one network, one class set, one input size and one normalisation. One without
            the lateral input that another has counts as one where that gives 0.

    Returns:
        The network, in eval mode, and what it says of itself: what any of the models has seen counts as
        seen; nothing was measured of it yet, and the temperature of its confidence is 1.

    Raises:
        CheckpointError: With what does not fit.
    """
    if len(models) < 2:
        raise CheckpointError("an average needs at least two models")
    first = next((model for model in models if model.info.network.lateral != "none"), models[0])
    for other in models:
        if difference := _difference(first.info, other.info):
            raise CheckpointError(f"{first.path} and {other.path} cannot be averaged: {difference}")
    network = build_network(first.info.network)
    states = [model.network.state_dict() for model in models]
    network.load_state_dict(
        {key: _mean(key, states).to(value.dtype) for key, value in network.state_dict().items()}
    )
    info = replace(
        first.info,
        temperature=1.0,
        notice=join_notices(model.info.notice for model in models),
        recipe={},
        metrics={},
        data=_describe(models),
    )
    return network.eval(), info


def share_a_start(models: Sequence[Checkpoint]) -> bool:
    """Whether all models go on from one and the same, or from one among them, as far as that was recorded."""
    return bool(
        set.intersection(*({weights_sha256(model.path), *ancestors(model.info.data)} for model in models))
    )


def _mean(key: str, states: Sequence[dict[str, Tensor]]) -> Tensor:
    """Mean of a weight, or of a statistic, of all models; see `average_models` for those that lack it."""
    values = [state[key].double() for state in states if key in state]
    # A lateral input that is lacking has scale and shift 0; its other weights are then free.
    count = len(states) if key.endswith((LATERAL_SCALE, LATERAL_SHIFT)) else len(values)
    return torch.stack(values).sum(0) / count


def _difference(one: CheckpointInfo, other: CheckpointInfo) -> str:
    """What keeps two models from being averaged, or nothing; the first has a lateral input if any has."""
    ours, theirs = asdict(one.network), asdict(other.network)
    if theirs["lateral"] == "none":
        ours["lateral"] = "none"
    if ours != theirs:
        pairs = {key: (ours.get(key), theirs.get(key)) for key in ours | theirs}
        words = (f"{key} {value} and {its}" for key, (value, its) in pairs.items() if value != its)
        return f"the networks differ: {', '.join(words)}"
    if difference := one.classes.difference(other.classes):
        return f"the classes differ: {difference}"
    if one.input_size != other.input_size:
        return f"the inputs differ: {one.input_size} and {other.input_size}"
    if (one.mean, one.std) != (other.mean, other.std):
        return "the normalisations (mean and std) differ"
    return ""


def _describe(models: Sequence[Checkpoint]) -> dict[str, Any]:
    data = [model.info.data for model in models]
    trained = dict.fromkeys(one["train"] for one in data if one.get("train"))
    return {
        "train": " and ".join(trained) or None,
        "synthetic_share": max(one.get("synthetic_share", 0.0) for one in data),
        "averaged": [describe_model(model) for model in models],
        "stems": sorted({stem for one in data for stem in one.get("stems", ())}),
    }
