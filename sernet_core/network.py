"""SERNet-Former: encoder, DbN, AfN decoder, and the configuration that builds each variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from torch import Tensor, nn
from torch.nn import functional

from sernet_core.blocks import GateKind
from sernet_core.context import DilationNetwork
from sernet_core.decoder import AttentionFusion, Fusion, FusionHead, resize
from sernet_core.encoder import DEPTHS, OUTPUT_STRIDES, Encoder
from sernet_core.errors import ConfigError, InputError

MIN_SIZE = 64


@dataclass(frozen=True)
class NetworkConfig:
    """Every choice that changes the network's shape.

    Attributes:
        classes: Number of classes K.
        depth: Depth of the residual encoder: 18, 34, 50 or 101, or 29, which is 50 pruned for real time.
        output_stride: Input size over encoder output size: 8, 16 or 32.
        abm: Attention-boosting modules in the encoder.
        dbn: Dilation-based network behind the encoder.
        afn1: Attention-fusion network on the skip connection.
        afn2: Attention-fusion network on the context.
        gate: "learned" (one gain a gate, from 0) or "fixed" (the paper's literal gate).
        fusion: How the two decoder branches meet: "concat", "add" or "gated".
        dbn_rates: Dilations of DbN in cells of the encoder's output grid; (12, 16, 18) belongs to a
            960x720 crop at output stride 16, smaller crops want smaller ones.
        dbn_separable: Depthwise-separable branches in DbN instead of dense ones.
        dbn_channels: Width of DbN; 0 takes 256 for depths 50 and 101, 128 for the others.
        afn_channels: Width of each decoder branch.
    """

    classes: int = 11
    depth: int = 50
    output_stride: int = 16
    abm: bool = True
    dbn: bool = True
    afn1: bool = True
    afn2: bool = True
    gate: GateKind = "learned"
    fusion: Fusion = "concat"
    dbn_rates: tuple[int, ...] = (12, 16, 18)
    dbn_separable: bool = True
    dbn_channels: int = 0
    afn_channels: int = 64

    def __post_init__(self) -> None:
        _one_of("depth", self.depth, tuple(DEPTHS))
        _one_of("output_stride", self.output_stride, OUTPUT_STRIDES)
        _one_of("gate", self.gate, get_args(GateKind))
        _one_of("fusion", self.fusion, get_args(Fusion))
        object.__setattr__(self, "dbn_rates", tuple(self.dbn_rates))
        if not self.dbn_rates or min(self.dbn_rates) < 1:
            raise ConfigError(f"dbn_rates: needs dilations of at least 1, got {self.dbn_rates}")
        for field in ("classes", "afn_channels"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field}: needs at least 1, got {getattr(self, field)}")
        if self.dbn_channels < 0:
            raise ConfigError(f"dbn_channels: needs 0 (by depth) or more, got {self.dbn_channels}")


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(map(str, allowed))}")


class SernetFormer(nn.Module):
    """The whole network: a normalised float (N, 3, H, W) image to logits (N, K, H, W).

    H and W may be any size from 64: the input is padded to a multiple of the output stride by repeating its
    last row and column, and the logits are cropped back.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        gate = config.gate
        self.encoder = Encoder(config.depth, config.output_stride, gate if config.abm else None)
        last = self.encoder.channels[-1]
        width = config.dbn_channels or (128 if config.depth < 50 else 256)
        rates = config.dbn_rates if config.dbn else ()
        self.context = DilationNetwork(last, width, rates, separable=config.dbn_separable)
        skip, narrow = self.encoder.channels[1], config.afn_channels
        self.afn1 = AttentionFusion(skip, narrow, gate, (1, 1, 1) if config.afn1 else ())
        self.afn2 = AttentionFusion(width, narrow, gate, (2, 2, 1) if config.afn2 else ())
        self.head = FusionHead(narrow, config.classes, config.fusion)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        return self.decode(self.encoder(self.pad(image)), (image.shape[2], image.shape[3]))

    def pad(self, image: Tensor) -> Tensor:
        """Extend an image at its bottom and right to multiples of the output stride.

        Raises:
            InputError: Not (N, 3, H, W), or smaller than 64 x 64.
        """
        if image.ndim != 4 or image.shape[1] != 3:
            raise InputError(f"the network takes images (N, 3, H, W), got {tuple(image.shape)}")
        height, width = image.shape[-2:]
        if min(height, width) < MIN_SIZE:
            raise InputError(f"the network needs at least {MIN_SIZE}x{MIN_SIZE} pixels, got {width}x{height}")
        stride = self.config.output_stride
        bottom, right = -height % stride, -width % stride
        return functional.pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image

    def decode(self, features: tuple[Tensor, ...], size: tuple[int, int]) -> Tensor:
        """Encoder features of a padded image to logits (N, K, *size); size is that before padding."""
        logits = self.quarter_logits(features)
        logits = resize(logits, (4 * logits.shape[2], 4 * logits.shape[3]))
        return logits[..., : size[0], : size[1]]

    def quarter_logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """Encoder features of a padded image to logits (N, K, H/4, W/4), before the last upsampling."""
        skip = features[1]
        quarter = (skip.shape[2], skip.shape[3])
        return self.head(self.afn1(skip, quarter), self.afn2(self.context(features[-1]), quarter))


def build_network(config: NetworkConfig) -> SernetFormer:
    """A network with fresh weights: He initialisation, batch norms at identity."""
    return SernetFormer(config)


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
