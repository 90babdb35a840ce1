"""SERNet-Former: encoder, DbN, AfN decoder, and the configuration that builds each variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, overload

from torch import Tensor, nn

from sernet_core import config
from sernet_core.blocks import GateKind
from sernet_core.context import DilationNetwork
from sernet_core.decoder import AttentionFusion, Fusion, FusionHead, Lateral
from sernet_core.encoder import DEPTHS, OUTPUT_STRIDES, Encoder
from sernet_core.errors import ConfigError, unknown_name
from sernet_core.segmentation_network import SegmentationNetwork

__all__ = ["NetworkConfig", "SernetFormer", "build_network", "read_config"]


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
        lateral: Which branch takes in layer2's features too, at an eighth of the input's size: "skip" (AfN1),
            "context" (AfN2) or "none", as the paper has it.
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
    lateral: Lateral = "none"
    dbn_rates: tuple[int, ...] = (12, 16, 18)
    dbn_separable: bool = True
    dbn_channels: int = 0
    afn_channels: int = 64

    def __post_init__(self) -> None:
        _one_of("depth", self.depth, tuple(DEPTHS))
        _one_of("output_stride", self.output_stride, OUTPUT_STRIDES)
        _one_of("gate", self.gate, get_args(GateKind))
        _one_of("fusion", self.fusion, get_args(Fusion))
        _one_of("lateral", self.lateral, get_args(Lateral))
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


class SernetFormer(SegmentationNetwork):
    """The whole network; see `SegmentationNetwork` for its input and output."""

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.stride = config.output_stride
        gate = config.gate
        self.encoder = Encoder(config.depth, config.output_stride, gate if config.abm else None)
        last = self.encoder.channels[-1]
        width = config.dbn_channels or (128 if config.depth < 50 else 256)
        rates = config.dbn_rates if config.dbn else ()
        self.context = DilationNetwork(last, width, rates, separable=config.dbn_separable)
        (_, skip, eighth, *_), narrow = self.encoder.channels, config.afn_channels
        to_skip, to_context = (eighth * (config.lateral == branch) for branch in ("skip", "context"))
        self.afn1 = AttentionFusion(skip, narrow, gate, (1, 1, 1) if config.afn1 else (), to_skip)
        self.afn2 = AttentionFusion(width, narrow, gate, (2, 2, 1) if config.afn2 else (), to_context)
        self.head = FusionHead(narrow, config.classes, config.fusion)
        initialise(self)

    def coarse_logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """See `SegmentationNetwork.coarse_logits`: at a quarter of the input's size."""
        _, skip, eighth, *_, last = features
        quarter = (skip.shape[2], skip.shape[3])
        return self.head(self.afn1(skip, quarter, eighth), self.afn2(self.context(last), quarter, eighth))


@dataclass(frozen=True)
class Architecture:
    """A family of networks.

    Attributes:
        settings: Its configuration, a frozen dataclass.
        build: Makes a network with fresh weights of one.
    """

    settings: type
    build: Callable[[Any], SegmentationNetwork]


OWN = "sernet"
ARCHITECTURES = {OWN: Architecture(NetworkConfig, SernetFormer)}
"""By name. The configuration of another than our own says its name in a field `architecture`."""


@overload
def build_network(settings: NetworkConfig) -> SernetFormer: ...
@overload
def build_network(settings: Any) -> SegmentationNetwork: ...


def build_network(settings: Any) -> SegmentationNetwork:
    """A network with fresh weights: ours has He initialisation and batch norms at identity.

    Args:
        settings: A `NetworkConfig`, or the configuration of another architecture.
    """
    (build,) = (one.build for one in ARCHITECTURES.values() if type(settings) is one.settings)
    return build(settings)


def read_config(values: Mapping[str, Any], where: str) -> Any:
    """Configuration of a network from plain values.

    Args:
        values: By field name.
        where: What they are part of, for messages.

    Raises:
        ConfigError: They are none, or of an architecture that is not loaded.
    """
    name = values.get("architecture", OWN)
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"{where}: {unknown_name('architecture', str(name), ARCHITECTURES)}; networks by others are for "
            "`sernet evaluate` and `sernet benchmark` alone"
        )
    return config.build(ARCHITECTURES[name].settings, values, where)


def initialise(network: nn.Module) -> None:
    """He initialisation of all convolutions, in place; batch norms start at identity by themselves."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
