"""The attention-boosting gate and the convolution blocks that carry it.

Source: Erişen, "SERNet-Former", arXiv 2401.15741, section 3.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

GateKind = Literal["learned", "fixed"]


class AttentionBoostingGate(nn.Module):
    """AbG: `gain * sigmoid(z) * z`, where z is a convolution's output after batch norm.

    `sigmoid(z) * z` is exactly `silu(z)`; it keeps what ReLU cuts off at small negative z.

    Args:
        kind: "fixed" is the paper's literal gate (gain 1). "learned" makes the gain one scalar that starts
            at 0, so that a pretrained network computes at step 0 what it was trained to compute.
    """

    def __init__(self, kind: GateKind) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(())) if kind == "learned" else None

    def forward(self, z: Tensor) -> Tensor:
        boosted = functional.silu(z)
        return boosted if self.gain is None else self.gain * boosted


def conv_bn(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, padded to keep the size at stride 1, and its batch norm."""
    return nn.Sequential(
        nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(outputs),
    )


class DepthwiseConv(nn.Conv2d):
    """Depthwise 3x3 without bias that keeps the size, and on a CPU learns in float32 whatever is around it.

    In bfloat16, torch 2.13 on a CPU gives the weights of a dilated depthwise convolution a gradient that is
    noise, at times not finite. It is no slower in float32.
    """

    def __init__(self, channels: int, *, dilation: int) -> None:
        super().__init__(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to the same."""
        if x.device.type == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class BoostedConv(nn.Module):
    """Convolution 3x3 and batch norm give z; the output is `relu(z) + gate(z)`."""

    def __init__(self, channels: int, gate: GateKind, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = conv_bn(channels, channels, 3, stride=stride)
        self.gate = AttentionBoostingGate(gate)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x)
        return functional.relu(z) + self.gate(z)
