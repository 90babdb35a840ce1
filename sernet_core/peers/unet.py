"""U-Net (Ronneberger et al., arXiv 1505.04597) whose contracting path is a residual network.

Five steps up, each: double the size, append the encoder's map of that size, convolve twice. The widths of the
expanding path halve from 256 to 16 as in the common implementations of this pairing; the paper's own encoder
has no map at half the size of its last step, so there the step goes without one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sernet_core.blocks import conv_bn
from sernet_core.encoder import Encoder
from sernet_core.network import initialise
from sernet_core.segmentation_network import SegmentationNetwork

WIDTHS = (256, 128, 64, 32, 16)


class Unet(SegmentationNetwork):
    """A residual encoder down to 1/32 and an expanding path back to the full size.

    Args:
        config: Kept as it is; has `classes`.
        depth: Of the residual encoder: 18, 34, 50 or 101.
    """

    stride = 32
    logits_stride = 1

    def __init__(self, config: Any, depth: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(depth, 32, gate=None)
        *skips, last = self.encoder.channels
        inputs, steps = last, []
        for width, skip in zip(WIDTHS, [*reversed(skips), 0], strict=True):
            steps.append(_double_convolution(inputs + skip, width))
            inputs = width
        self.steps = nn.ModuleList(steps)
        self.classify = nn.Conv2d(inputs, self.config.classes, 3, padding=1)
        initialise(self)

    def coarse_logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """See `SegmentationNetwork.coarse_logits`: at the input's size."""
        *skips, x = features
        for step, skip in zip(self.steps, [*reversed(skips), None], strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = step(x if skip is None else torch.cat([x, skip], 1))
        return self.classify(x)


def _double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *conv_bn(inputs, outputs, 3),
        nn.ReLU(inplace=True),
        *conv_bn(outputs, outputs, 3),
        nn.ReLU(inplace=True),
    )
