"""What engines, training and the benchmark need of a network, and what all networks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from sernet_core.decoder import resize
from sernet_core.errors import InputError
from sernet_core.input_size import MIN_SIZE


class SegmentationNetwork(nn.Module, ABC):
    """A normalised float (N, 3, H, W) image to logits (N, K, H, W).

    H and W may be any size from 64: the input is padded to multiples of `stride` by repeating its last row
    and column, and the logits are cropped back.

    Attributes:
        config: What it was built from, a frozen dataclass; its `classes` is K.
        encoder: Padded image to feature maps, fine to coarse. Its `channels` are the maps'; training puts the
            auxiliary head on the fourth, and gives the weights of an encoder, which may be pretrained, a
            learning rate of their own.
        stride: The input's sides are padded to its multiples.
        logits_stride: Input size over the size of `coarse_logits`.
    """

    config: Any
    encoder: Any
    stride: int
    logits_stride: int = 4

    def forward(self, image: Tensor) -> Tensor:
        return self.decode(self.encoder(self.pad(image)), (image.shape[2], image.shape[3]))

    def pad(self, image: Tensor) -> Tensor:
        """Extend an image at its bottom and right to multiples of the stride.

        Raises:
            InputError: Not (N, 3, H, W), or smaller than 64 x 64.
        """
        if image.ndim != 4 or image.shape[1] != 3:
            raise InputError(f"the network takes images (N, 3, H, W), got {tuple(image.shape)}")
        height, width = image.shape[-2:]
        if min(height, width) < MIN_SIZE:
            raise InputError(f"the network needs at least {MIN_SIZE}x{MIN_SIZE} pixels, got {width}x{height}")
        bottom, right = -height % self.stride, -width % self.stride
        return functional.pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image

    def decode(self, features: tuple[Tensor, ...], size: tuple[int, int]) -> Tensor:
        """Encoder features of a padded image to logits (N, K, *size); size is that before padding."""
        logits = self.coarse_logits(features)
        padded = (self.logits_stride * logits.shape[2], self.logits_stride * logits.shape[3])
        return resize(logits, padded)[..., : size[0], : size[1]]

    @abstractmethod
    def coarse_logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """Encoder features to logits (N, K, H / logits_stride, W / logits_stride), before the upsampling."""
