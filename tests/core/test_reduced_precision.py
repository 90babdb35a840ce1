"""Gradients in bfloat16 point where those in float32 do, for all parameters of all networks we train."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from sernet_core.network import NetworkConfig, SernetFormer, build_network
from sernet_core.peers.registry import PEERS, PeerConfig, build_peer
from sernet_core.segmentation_network import SegmentationNetwork

HEIGHT, WIDTH = 368, 480  # small maps do not show what large ones do


def gradients(network: SegmentationNetwork | SernetFormer, *, reduced: bool) -> dict[str, torch.Tensor]:
    """Of a loss on noise, by parameter; the network stays as it is."""
    learner = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(1, 3, HEIGHT, WIDTH, generator=generator)
    image = image.contiguous(memory_format=torch.channels_last)
    label = torch.randint(0, 11, (1, HEIGHT, WIDTH), generator=generator)
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        logits = learner(image)
    functional.cross_entropy(logits.float(), label).backward()
    return {name: one.grad for name, one in learner.named_parameters() if one.grad is not None}


def check(network: SegmentationNetwork | SernetFormer) -> None:
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    exact, reduced = (gradients(network, reduced=kind) for kind in (False, True))
    assert exact.keys() == reduced.keys()
    for name, gradient in exact.items():
        likeness = functional.cosine_similarity(gradient.flatten(), reduced[name].flatten(), 0)
        assert likeness > 0.9 or float(gradient.norm()) < 1e-8, f"{name}: {float(likeness):.3f}"


@pytest.mark.parametrize("config", [
    NetworkConfig(depth=18, dbn_rates=(1, 2, 3)),
    NetworkConfig(depth=18, output_stride=8, fusion="gated"),
    NetworkConfig(depth=18, gate="fixed", fusion="add", dbn_separable=False, lateral="context"),
    NetworkConfig(depth=29),
    NetworkConfig(depth=50),
], ids=["18", "18-os8-gated", "18-fixed-dense", "29", "50"])  # fmt: skip
def test_gradients_of_our_network(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    check(build_network(config))


@pytest.mark.parametrize("name", ["deeplabv3plus-r18", "unet-r18", "segformer-b0", "mobilenetv2-deeplab"])
def test_gradients_of_peers(name: str) -> None:
    if fault := PEERS[name].obstacle():
        pytest.skip(f"{name}: {fault}")
    torch.manual_seed(0)
    check(build_peer(PeerConfig(name)))
