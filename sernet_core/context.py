"""DbN: the dilation-based network between encoder and decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sernet_core.blocks import DepthwiseConv, conv_bn


class DilationNetwork(nn.Module):
    """Project to C channels, then sum parallel dilated 3x3 convolutions of the projection.

    Args:
        inputs: Channels of the encoder's last stage.
        channels: C.
        rates: Dilation of each branch, in cells of the encoder's output grid. Empty: the projection alone,
            which is the network without DbN.
        separable: Depthwise 3x3 and 1x1 instead of a dense 3x3.
    """

    def __init__(self, inputs: int, channels: int, rates: tuple[int, ...], *, separable: bool) -> None:
        super().__init__()
        self.project = conv_bn(inputs, channels, 1)
        self.branches = nn.ModuleList(_branch(channels, rate, separable=separable) for rate in rates)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, C, h, w)."""
        x = functional.relu(self.project(x))
        if not self.branches:
            return x
        return functional.relu(torch.stack([branch(x) for branch in self.branches]).sum(0))


def _branch(channels: int, rate: int, *, separable: bool) -> nn.Sequential:
    if not separable:
        return conv_bn(channels, channels, 3, dilation=rate)
    return nn.Sequential(DepthwiseConv(channels, dilation=rate), *conv_bn(channels, channels, 1))
