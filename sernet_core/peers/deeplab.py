"""DeepLabV3+: Chen et al., "Encoder-Decoder with Atrous Separable Convolution", arXiv 1802.02611.

Of the two convolutions of the paper's decoder one stands before the upsampling instead of behind it, as in
the implementation that most people use: as many parameters, and the cheaper competitor.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sernet_core.blocks import DepthwiseConv, conv_bn
from sernet_core.decoder import resize
from sernet_core.encoder import Encoder
from sernet_core.network import initialise
from sernet_core.segmentation_network import SegmentationNetwork

# Section 3.1: the pyramid's dilations at output stride 16 (doubled at 8), 48 channels of the skip connection
# and 256 of everything else were the paper's best.
RATES = (6, 12, 18)
SKIP, WIDTH = 48, 256


class DeepLabV3Plus(SegmentationNetwork):
    """A dilated residual encoder, a spatial pyramid, and a decoder at a quarter of the size.

    Args:
        config: Kept as it is; has `classes` and `rate_scale`.
        depth: Of the residual encoder: 18, 34, 50 or 101.
        output_stride: 16 or 8.
        separable: Depthwise-separable convolutions in pyramid and decoder, which the paper recommends for
            speed, or dense ones, which its figures for ResNet-101 are of.
    """

    def __init__(self, config: Any, depth: int, *, output_stride: int = 16, separable: bool = True) -> None:
        super().__init__()
        self.config = config
        self.stride = output_stride
        self.encoder = Encoder(depth, output_stride, gate=None)
        rates = [max(1, round(rate * config.rate_scale)) * 16 // output_stride for rate in RATES]
        self.pyramid = SpatialPyramid(self.encoder.channels[-1], rates, separable=separable)
        self.skip = _relu(conv_bn(self.encoder.channels[1], SKIP, 1))
        self.context = _convolution(WIDTH, WIDTH, separable=separable)
        self.refine = _convolution(WIDTH + SKIP, WIDTH, separable=separable)
        self.classify = nn.Conv2d(WIDTH, self.config.classes, 1)
        initialise(self)

    def coarse_logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """See `SegmentationNetwork.coarse_logits`: at a quarter of the input's size."""
        skip = self.skip(features[1])
        context = resize(self.context(self.pyramid(features[-1])), (skip.shape[2], skip.shape[3]))
        return self.classify(self.refine(torch.cat([context, skip], 1)))


class SpatialPyramid(nn.Module):
    """ASPP: a 1x1 convolution, three dilated 3x3 ones and the image's mean beside each other, fused by a 1x1.

    Args:
        inputs: Channels of the input.
        rates: Dilations of the 3x3 convolutions.
        separable: See `DeepLabV3Plus`.
    """

    def __init__(self, inputs: int, rates: list[int], *, separable: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _relu(conv_bn(inputs, WIDTH, 1)),
                *(_convolution(inputs, WIDTH, dilation=rate, separable=separable) for rate in rates),
            ]
        )
        self.pooled = _relu(conv_bn(inputs, WIDTH, 1))
        self.fuse = nn.Sequential(*_relu(conv_bn(WIDTH * (len(rates) + 2), WIDTH, 1)), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, 256, h, w)."""
        mean = self.pooled(functional.adaptive_avg_pool2d(x, 1))
        parts = [branch(x) for branch in self.branches]
        return self.fuse(torch.cat([*parts, mean.expand(-1, -1, *x.shape[2:])], 1))


def _convolution(inputs: int, outputs: int, *, separable: bool, dilation: int = 1) -> nn.Sequential:
    """A 3x3 convolution, batch norm and ReLU."""
    if not separable:
        return _relu(conv_bn(inputs, outputs, 3, dilation=dilation))
    depthwise = DepthwiseConv(inputs, dilation=dilation)
    return nn.Sequential(depthwise, *_relu(conv_bn(inputs, outputs, 1)))


def _relu(convolution: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*convolution, nn.ReLU(inplace=True))
