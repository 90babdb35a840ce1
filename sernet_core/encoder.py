"""Efficient-ResNet: a residual network whose stages end in attention-boosting modules (AbM).

The residual network is He et al., "Deep Residual Learning", arXiv 1512.03385, in its first version: the
stride of a bottleneck stage is on the first 1x1 convolution. Parameter names are those of the common
ImageNet checkpoints (`conv1`, `bn1`, `layer1.0.conv1`, ...), so that these load without a key map.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from sernet_core.blocks import AttentionBoostingGate, GateKind


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
    """1x1, 3x3 and 1x1 convolutions and a shortcut (depths 29, 50, 101); arguments as `BasicBlock`."""

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


@dataclass(frozen=True)
class Shape:
    """The blocks of a residual network's four stages.

    Attributes:
        block: Kind of every block.
        counts: Blocks in each stage.
        widths: Width of each stage's blocks.
    """

    block: type[BasicBlock] | type[Bottleneck]
    counts: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)

    @property
    def outputs(self) -> tuple[int, int, int, int]:
        """Channels that each stage gives."""
        first, second, third, fourth = (width * self.block.expansion for width in self.widths)
        return first, second, third, fourth


DEPTHS: dict[int, Shape] = {
    18: Shape(BasicBlock, (2, 2, 2, 2)),
    # Depth 50 for real time: its last stage, half of its cost, left out, and fewer blocks in the others.
    29: Shape(Bottleneck, (2, 2, 3, 2), (64, 128, 256, 256)),
    34: Shape(BasicBlock, (3, 4, 6, 3)),
    50: Shape(Bottleneck, (3, 4, 6, 3)),
    101: Shape(Bottleneck, (3, 4, 23, 3)),
}
OUTPUT_STRIDES = (8, 16, 32)


class Encoder(nn.Module):
    """Efficient-ResNet; without gates it is the plain residual network.

    Five AbMs: one behind the stem's batch norm, one on the last block of each stage.

    Args:
        depth: One of `DEPTHS`.
        output_stride: 32 (the classifier's), 16 or 8: the last stages trade their stride for dilation,
            which computes the same features on a finer grid.
        gate: Kind of the gates, or None for the plain network.
    """

    def __init__(self, depth: int, output_stride: int, gate: GateKind | None) -> None:
        super().__init__()
        self.depth = depth
        shape = DEPTHS[depth]
        self.channels = (64, *shape.outputs)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.gate1 = None if gate is None else AttentionBoostingGate(gate)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)

        inputs, reduction, dilation, stages = 64, 4, 1, []
        for index, (width, count) in enumerate(zip(shape.widths, shape.counts, strict=True)):
            stride, before = (1 if index == 0 else 2), dilation
            if reduction * stride > output_stride:
                dilation *= stride
                stride = 1
            reduction *= stride
            stages.append(_stage(shape.block, inputs, width, count, stride, (before, dilation), gate))
            inputs = shape.outputs[index]
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
