"""The decoder: two attention-fusion networks (AfN) at a quarter of the input size, their fusion, the head."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sernet_core.blocks import BoostedConv, GateKind, conv_bn

Fusion = Literal["concat", "add", "gated"]
Lateral = Literal["none", "skip", "context"]
LATERAL_SCALE, LATERAL_SHIFT = "lateral.1.weight", "lateral.1.bias"
"""Ends of the names of a lateral input's size: its norm's weights. With both at 0 it gives 0."""


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize to (height, width), pixel centres aligned as in image resizing."""
    if x.shape[-2:] == size:
        return x
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)


class AttentionFusion(nn.Module):
    """Project to w channels, bring to H/4, and add what three boosted convolutions make of it.

    AfN1 (skip connection) keeps its resolution: strides (1, 1, 1). AfN2 (context) looks wide: strides
    (2, 2, 1), brought back to H/4.

    Args:
        inputs: Channels of the input.
        channels: w.
        gate: Kind of the boosted convolutions' gates.
        strides: Stride of each boosted convolution; empty: the projection alone, the network without it.
        lateral: Channels of a second input, added to the projection of the first; 0: there is none.
    """

    def __init__(
        self, inputs: int, channels: int, gate: GateKind, strides: tuple[int, ...], lateral: int = 0
    ) -> None:
        super().__init__()
        self.project = conv_bn(inputs, channels, 1)
        self.lateral = conv_bn(lateral, channels, 1) if lateral else None
        self.boost = nn.Sequential(*(BoostedConv(channels, gate, stride=stride) for stride in strides))

    def forward(self, x: Tensor, size: tuple[int, int], second: Tensor | None = None) -> Tensor:
        """(N, inputs, h, w), and (N, lateral, ...) where there is one, to (N, channels, *size)."""
        x = self.enter(x, size, second)
        return x + resize(self.boost(x), size) if len(self.boost) else x

    def enter(self, x: Tensor, size: tuple[int, int], second: Tensor | None = None) -> Tensor:
        """What the boosted convolutions start from; shapes as `forward`."""
        x = resize(functional.relu(self.project(x)), size)
        return x if self.lateral is None else x + resize(functional.relu(self.lateral(second)), size)


class FusionHead(nn.Module):
    """Fuse the two branches, convolve, classify.

    Args:
        channels: Channels of each branch.
        classes: Number of classes K.
        fusion: "concat"; "add"; "gated": `g * skip + (1 - g) * context` with g = sigmoid of a 1x1
            convolution of both.
    """

    def __init__(self, channels: int, classes: int, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion
        self.mix = nn.Conv2d(2 * channels, channels, 1) if fusion == "gated" else None
        self.conv = conv_bn(2 * channels if fusion == "concat" else channels, 2 * channels, 3)
        self.classify = nn.Conv2d(2 * channels, classes, 1)

    def forward(self, skip: Tensor, context: Tensor) -> Tensor:
        """Two (N, channels, h, w) to logits (N, K, h, w)."""
        x = skip + context if self.fusion == "add" else torch.cat([skip, context], 1)
        if self.mix is not None:
            share = torch.sigmoid(self.mix(x))
            x = share * skip + (1 - share) * context
        return self.classify(functional.relu(self.conv(x)))
