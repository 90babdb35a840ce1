"""Trained weights for encoders: ImageNet files, and slim encoders that take over a deeper one's blocks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sernet_core.encoder import DEPTHS, Encoder
from sernet_core.errors import CheckpointError

PRUNED_FROM = {29: 50}  # depths whose weights can be taken from a deeper network's


def kept_blocks(depth: int) -> dict[str, str]:
    """Name of each residual block of a pruned depth, and of the deeper network's block it starts as.

    Blocks of one width do the same kind of work, whichever stage they stand in: those of the deeper network
    are thinned out evenly, and the first, which changes the number of channels, and the last, which the
    next stage was trained on, are kept.

    Raises:
        KeyError: Not a pruned depth.
    """
    deep, slim = _blocks_by_width(PRUNED_FROM[depth]), _blocks_by_width(depth)
    found = {}
    for width, names in slim.items():
        positions = np.linspace(0, len(deep[width]) - 1, len(names)).round().astype(int)
        found.update({name: deep[width][position] for name, position in zip(names, positions, strict=True)})
    return found


def _blocks_by_width(depth: int) -> dict[int, list[str]]:
    """Names of the residual blocks (`layer3.2`), in order, by the width of their stage."""
    shape, found = DEPTHS[depth], dict[int, list[str]]()
    for stage, (width, count) in enumerate(zip(shape.widths, shape.counts, strict=True), 1):
        found.setdefault(width, []).extend(f"layer{stage}.{index}" for index in range(count))
    return found


def prune_encoder(weights: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Weights of an encoder's deeper kin under the names that they have in a pruned depth.

    Args:
        weights: State of the deeper encoder; names as in `Encoder`.
        depth: The pruned depth.

    Returns:
        Stem and kept blocks. A gate is there where the kept block had one.
    """
    found = {key: value for key, value in weights.items() if not key.startswith("layer")}
    for name, source in kept_blocks(depth).items():
        prefix = f"{source}."
        found |= {
            f"{name}.{key.removeprefix(prefix)}": value
            for key, value in weights.items()
            if key.startswith(prefix)
        }
    return found


def load_imagenet_encoder(encoder: Encoder, path: Path) -> None:
    """Load ImageNet weights of the plain residual network; gates keep their initial value.

    A pruned encoder takes the kept blocks of the deeper network's file.

    Args:
        encoder: Receives the weights, in float32.
        path: safetensors file with torchvision's key names, without the classifier.

    Raises:
        CheckpointError: The file cannot be read, or a weight is missing, unexpected or of another shape.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot read ImageNet weights: {error}") from error
    if encoder.depth in PRUNED_FROM:
        weights = prune_encoder(weights, encoder.depth)
    own = encoder.state_dict()
    wanted = {key for key in own if "gate" not in key and not key.endswith("num_batches_tracked")}
    missing, unexpected = sorted(wanted - weights.keys()), sorted(weights.keys() - wanted)
    if missing or unexpected:
        raise CheckpointError(
            f"{path}: does not fit this encoder: missing {missing[:3]} ({len(missing)} in all), "
            f"unexpected {unexpected[:3]} ({len(unexpected)} in all)"
        )
    for key, value in weights.items():
        if own[key].shape != value.shape:
            raise CheckpointError(
                f"{path}: '{key}' is {tuple(value.shape)}, the encoder needs {tuple(own[key].shape)}"
            )
    encoder.load_state_dict({key: value.to(torch.float32) for key, value in weights.items()}, strict=False)
