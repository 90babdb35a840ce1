"""The peers by name; importing this imports neither transformers nor any of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sernet_core.checkpoint import IMAGENET_MEAN, IMAGENET_STD, CheckpointInfo
from sernet_core.engines.base import Source, missing_packages
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.graph import FrameNetwork
from sernet_core.errors import ConfigError, unknown_name
from sernet_core.labels import ClassSet
from sernet_core.network import ARCHITECTURES, Architecture, build_network
from sernet_core.segmentation_network import SegmentationNetwork

ARCHITECTURE = "peer"
REMEDY = "pip install -r requirements/benchmark.txt"
NOTICE = "random weights: for timing alone"


@dataclass(frozen=True)
class Peer:
    """A network by another.

    Attributes:
        module: Where its class is, in this package.
        kind: Its class.
        arguments: Of its constructor, beside the configuration.
        packages: Distributions that it needs beside torch.
    """

    module: str
    kind: str
    arguments: dict[str, Any]
    packages: tuple[str, ...] = ()

    def obstacle(self) -> str:
        """Why it cannot be had here; empty when it can."""
        return missing_packages(self.packages, REMEDY)


PEERS = {
    "deeplabv3plus-r18": Peer("deeplab", "DeepLabV3Plus", {"depth": 18}),
    "deeplabv3plus-r50": Peer("deeplab", "DeepLabV3Plus", {"depth": 50}),
    "unet-r18": Peer("unet", "Unet", {"depth": 18}),
    "unet-r50": Peer("unet", "Unet", {"depth": 50}),
    "segformer-b0": Peer("borrowed", "SegFormerB0", {}, ("transformers",)),
    "mobilenetv2-deeplab": Peer("borrowed", "MobileNetV2DeepLab", {}, ("transformers",)),
}


@dataclass(frozen=True)
class PeerConfig:
    """Configuration of a peer, in the place of a `NetworkConfig`.

    Attributes:
        name: Key of `PEERS`.
        classes: Number of classes K.
        rate_scale: Factor to the dilations that its paper chose for images of full size, where it has such.
        architecture: Tells it from others in a checkpoint.
    """

    name: str
    classes: int = 11
    rate_scale: float = 1.0
    architecture: str = ARCHITECTURE

    def __post_init__(self) -> None:
        if self.name not in PEERS:
            raise ConfigError(unknown_name("peer", self.name, PEERS))
        if self.classes < 1:
            raise ConfigError(f"classes: needs at least 1, got {self.classes}")
        if not self.rate_scale > 0:
            raise ConfigError(f"rate_scale: needs to be above 0, got {self.rate_scale}")


def build_peer(config: PeerConfig) -> SegmentationNetwork:
    """A peer with fresh weights.

    Raises:
        ConfigError: A package that it needs is missing.
    """
    peer = PEERS[config.name]
    if fault := peer.obstacle():
        raise ConfigError(f"{config.name}: {fault}")
    kind = getattr(importlib.import_module(f"sernet_core.peers.{peer.module}"), peer.kind)
    network: SegmentationNetwork = kind(config, **peer.arguments)
    return network


ARCHITECTURES[ARCHITECTURE] = Architecture(PeerConfig, build_peer)


def peer_source(
    name: str,
    classes: ClassSet,
    cache: EngineCache,
    *,
    device: str = "cpu",
    precision: str = "auto",
    threads: int = 0,
) -> Source:
    """A peer with random weights in the place of a loaded checkpoint: arithmetic takes the same time for any.

    Raises:
        ConfigError: There is no such peer, or a package that it needs is missing.
    """
    torch.manual_seed(0)
    config = PeerConfig(name, len(classes))
    network = build_network(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    info = CheckpointInfo(config, classes, (480, 360), notice=NOTICE)
    frames = FrameNetwork(network, IMAGENET_MEAN, IMAGENET_STD).eval()
    return Source(frames, info, Path(name), device, precision, threads, cache)


def cost(config: Any, width: int, height: int) -> tuple[int, int]:
    """Parameters of any network, and multiply-accumulates for one frame of a size, without computing any.

    Counted are convolutions and matrix products, by torch's own counter.
    """
    with torch.device("meta"), torch.no_grad():
        network = build_network(config).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, height, width))
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() // 2
