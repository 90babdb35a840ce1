"""SegFormer-B0 and MobileNetV2-DeepLab of the package transformers, with fresh weights and our interface.

Their parts are called one by one: the package's own forward of MobileNetV2 also computes a wide last layer
that the segmentation head never reads.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sernet_core.blocks import DepthwiseConv
from sernet_core.segmentation_network import SegmentationNetwork


class SegFormerEncoder(nn.Module):
    """Four stages of transformer blocks, at strides 4, 8, 16 and 32."""

    def __init__(self, model: Any, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stages = model.stages
        self.channels = channels

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features = []
        for stage in self.stages:
            image = stage(image)
            features.append(image)
        return tuple(features)


class SegFormerB0(SegmentationNetwork):
    """Xie et al., "SegFormer", arXiv 2105.15203: the smallest of its family.

    Args:
        config: Kept as it is; has `classes`.
    """

    stride = 32

    def __init__(self, config: Any) -> None:
        from transformers import SegformerConfig, SegformerForSemanticSegmentation

        super().__init__()
        self.config = config
        whole = SegformerForSemanticSegmentation(SegformerConfig(num_labels=self.config.classes))
        self.encoder = SegFormerEncoder(whole.segformer, tuple(whole.config.hidden_sizes))
        self.head = whole.decode_head

    def coarse_logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """See `SegmentationNetwork.coarse_logits`: at a quarter of the input's size."""
        return self.head(features)


class MobileNetEncoder(nn.Module):
    """Inverted residual blocks; the last stages trade their stride for dilation.

    Its maps are those behind the last block of each size, and the very last.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        _learn_exactly(model)
        self.stem = model.conv_stem
        self.layer = model.layer
        self.channels = (16, 24, 32, 96, 320)
        self._kept = (2, 5, 12)  # of the blocks, the first of a coarser or wider stage

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(image)
        features = [x]
        for index, block in enumerate(self.layer):
            if index in self._kept:
                features.append(x)
            x = block(x)
        return (*features, x)


def _learn_exactly(model: nn.Module) -> None:
    """Replace the dilated depthwise convolutions by those that learn in reduced precision too."""
    for parent in list(model.modules()):
        for name, conv in list(parent.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.groups == conv.in_channels and conv.dilation[0] > 1:
                exact = DepthwiseConv(conv.in_channels, dilation=conv.dilation[0])
                exact.load_state_dict(conv.state_dict())
                setattr(parent, name, exact)


class MobileNetV2DeepLab(SegmentationNetwork):
    """Sandler et al., "MobileNetV2", arXiv 1801.04381, section 6.3: DeepLabV3 without dilated branches.

    Args:
        config: Kept as it is; has `classes`.
    """

    stride = 16
    logits_stride = 16

    def __init__(self, config: Any) -> None:
        from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

        super().__init__()
        self.config = config
        settings = MobileNetV2Config(output_stride=16, num_labels=self.config.classes, tf_padding=False)
        whole = MobileNetV2ForSemanticSegmentation(settings)
        self.encoder = MobileNetEncoder(whole.mobilenet_v2)
        self.head = whole.segmentation_head

    def coarse_logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """See `SegmentationNetwork.coarse_logits`: at a sixteenth of the input's size."""
        return self.head(features[-1])
