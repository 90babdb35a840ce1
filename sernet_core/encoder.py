"""Efficient-ResNet: a residual network whose stages end in attention-boosting modules (AbM).

The residual network is He et al., "Deep Residual Learning", arXiv 1512.03385, in its first version: the
stride of a bottleneck stage is on the first 1x1 convolution. Parameter names are those of the common
ImageNet checkpoints (`conv1`, `bn1`, `layer1.0.conv1`, ...), so that these load without a key map.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from sernet_core.blocks import AttentionBoostingGate, GateKind
from sernet_core.errors import CheckpointError


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (depths 18 and 34).

    Args:
        inputs: Channels of the input.
        width: Channels of the block; the output has `width * expansion`.
        stride: Stride of the first convolution.
        dilation: Dilation of the first and of the second 3x3 convolution. Where a stage's stride is traded
            for dilation, the first block's leading 3x3 still sees the finer grid: its dilation stays behind.
        gate: Gate of an AbM at the block's end, or None.
    """

    expansion = 1

    def __init__(
        self, inputs: int, width: int, *, stride: int, dilation: tuple[int, int], gate: GateKind | None
    ) -> None:
        super().__init__()
        first, second = dilation
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=first, dilation=first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=second, dilation=second, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)
        self.gate = None if gate is None else AttentionBoostingGate(gate)

    def forward(self, x: Tensor) -> Tensor:
        z = functional.relu(self.bn1(self.conv1(x)))
        z = self.bn2(self.conv2(z))
        return _residual(z, x if self.downsample is None else self.downsample(x), self.gate)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (depths 50 and 101); arguments as `BasicBlock`."""

    expansion = 4

    def __init__(
        self, inputs: int, width: int, *, stride: int, dilation: tuple[int, int], gate: GateKind | None
    ) -> None:
        super().__init__()
        outputs = width * self.expansion
        spread = dilation[1]  # the only 3x3 lies behind the stride, so it always has the stage's dilation
        self.conv1 = nn.Conv2d(inputs, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=spread, dilation=spread, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)
        self.gate = None if gate is None else AttentionBoostingGate(gate)

    def forward(self, x: Tensor) -> Tensor:
        z = functional.relu(self.bn1(self.conv1(x)))
        z = functional.relu(self.bn2(self.conv2(z)))
        z = self.bn3(self.conv3(z))
        return _residual(z, x if self.downsample is None else self.downsample(x), self.gate)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _residual(z: Tensor, shortcut: Tensor, gate: AttentionBoostingGate | None) -> Tensor:
    out = functional.relu(z + shortcut)
    return out if gate is None else out + gate(z)


# depth: (block, blocks in each of the four stages)
DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}
STAGE_WIDTHS = (64, 128, 256, 512)
OUTPUT_STRIDES = (8, 16, 32)


class Encoder(nn.Module):
    """Efficient-ResNet; without gates it is the plain residual network.

    Five AbMs: one behind the stem's batch norm, one on the last block of each stage.

    Args:
        depth: 18, 34, 50 or 101.
        output_stride: 32 (the classifier's), 16 or 8: the last stages trade their stride for dilation,
            which computes the same features on a finer grid.
        gate: Kind of the gates, or None for the plain network.
    """

    def __init__(self, depth: int, output_stride: int, gate: GateKind | None) -> None:
        super().__init__()
        block, counts = DEPTHS[depth]
        self.channels = (64, *(width * block.expansion for width in STAGE_WIDTHS))
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.gate1 = None if gate is None else AttentionBoostingGate(gate)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)

        inputs, reduction, dilation, stages = 64, 4, 1, []
        for index, (width, count) in enumerate(zip(STAGE_WIDTHS, counts, strict=True)):
            stride, before = (1 if index == 0 else 2), dilation
            if reduction * stride > output_stride:
                dilation *= stride
                stride = 1
            reduction *= stride
            stages.append(_stage(block, inputs, width, count, stride, (before, dilation), gate))
            inputs = width * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Features of the stem (stride 2) and of layers 1 to 4 for a normalised (N, 3, H, W) image."""
        z = self.bn1(self.conv1(x))
        stem = functional.relu(z)
        if self.gate1 is not None:
            stem = stem + self.gate1(z)
        first = self.layer1(self.maxpool(stem))
        second = self.layer2(first)
        third = self.layer3(second)
        return stem, first, second, third, self.layer4(third)


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    inputs: int,
    width: int,
    count: int,
    stride: int,
    dilation: tuple[int, int],
    gate: GateKind | None,
) -> nn.Sequential:
    """Blocks of one stage: the first one strides and sees the dilation of before, the last one is gated."""
    before, after = dilation
    blocks: list[nn.Module] = []
    for position in range(count):
        first, last = position == 0, position == count - 1
        blocks.append(
            block(
                inputs if first else width * block.expansion,
                width,
                stride=stride if first else 1,
                dilation=(before if first else after, after),
                gate=gate if last else None,
            )
        )
    return nn.Sequential(*blocks)


def load_imagenet_encoder(encoder: Encoder, path: Path) -> None:
    """Load ImageNet weights of the plain residual network; gates keep their initial value.

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
