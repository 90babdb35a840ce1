"""The peers: their cost against published figures; engines and training take them like our network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sernet_core.checkpoint import load_checkpoint
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.engines.choose import build
from sernet_core.engines.parity import street_frames
from sernet_core.errors import CheckpointError, ConfigError
from sernet_core.labels import CAMVID
from sernet_core.network import ARCHITECTURES, NetworkConfig, build_network
from sernet_core.peers import registry
from sernet_core.peers.deeplab import RATES, WIDTH, DeepLabV3Plus
from sernet_core.peers.registry import ARCHITECTURE, PEERS, PeerConfig, cost, peer_source
from sernet_core.peers.unet import WIDTHS, Unet
from sernet_core.pretrained import load_imagenet_encoder
from sernet_core.profile import profile
from sernet_core.runtime import Segmenter
from sernet_core.train.loop import train
from sernet_core.train.recipe import Recipe
from sernet_core.train.state import TrainingNetwork

pytestmark = pytest.mark.timeout(600)

KINDS = ("deeplabv3plus-r18", "unet-r18", "segformer-b0", "mobilenetv2-deeplab")  # the others are deeper


def here(name: str) -> str:
    """The name of a peer, or a skip with the reason why it cannot be had."""
    if fault := PEERS[name].obstacle():
        pytest.skip(f"{name}: {fault}")
    return name


# Of one class: what users of segmentation_models.pytorch report of its Unet and DeepLabV3Plus; these sums are
# also ours. Of 150 classes: SegFormer's paper, table 1 (arXiv 2105.15203), 3.8 M. Of 21: MobileNetV2's paper,
# table 7 (arXiv 1801.04381), 2.11 M without the last wide layer.
@pytest.mark.parametrize(
    ("name", "classes", "published"),
    [
        ("unet-r18", 1, 14_328_209),
        ("unet-r50", 1, 32_521_105),
        ("deeplabv3plus-r50", 1, 26_677_585),
        ("segformer-b0", 150, pytest.approx(3.8e6, abs=0.05e6)),
        ("mobilenetv2-deeplab", 21, pytest.approx(2.11e6, abs=0.005e6)),
    ],
)
def test_parameters_are_the_published_ones(name: str, classes: int, published: object) -> None:
    assert cost(PeerConfig(here(name), classes), 64, 64)[0] == published


# The papers' own tables: SegFormer's table 1 at 512x512 and MobileNetV2's table 7 at 513x513, in 10^9.
@pytest.mark.parametrize(
    ("name", "classes", "side", "published"),
    [("segformer-b0", 150, 512, 8.4), ("mobilenetv2-deeplab", 21, 513, 2.75)],
)
def test_macs_are_the_published_ones(name: str, classes: int, side: int, published: float) -> None:
    assert cost(PeerConfig(here(name), classes), side, side)[1] / 1e9 == pytest.approx(published, rel=0.01)


def macs_of(modules: list[nn.Module], grid: int) -> int:
    """Multiply-accumulates of convolutions with stride 1 on a grid of cells."""
    convolutions = [one for module in modules for one in module.modules() if isinstance(one, nn.Conv2d)]
    return grid * sum(one.weight.numel() for one in convolutions)


def test_decoder_of_deeplab_costs_what_the_paper_says() -> None:
    """Table 3 of arXiv 1802.02611: 297.92 with and 276.18 without decoder at output stride 8, 513x513.

    There both dense convolutions stand behind the upsampling, on a grid of 129x129.
    """
    with torch.device("meta"):
        network = DeepLabV3Plus(PeerConfig("deeplabv3plus-r50", 21), 101, output_stride=8, separable=False)
    decoder = macs_of([network.context, network.skip, network.refine], 129 * 129)
    assert decoder / 1e9 == pytest.approx(297.92 - 276.18, rel=0.01)


def test_macs_against_hand_arithmetic() -> None:
    """At 960x720: the encoder as `sernet profile` counts it, and what stands behind it."""
    quarter, sixteenth = 240 * 180, 60 * 45
    with torch.device("meta"):
        network = DeepLabV3Plus(PeerConfig("deeplabv3plus-r18"), 18)
    heads = macs_of([network.pyramid, network.context], sixteenth) + quarter * (
        64 * 48 + 9 * (WIDTH + 48) + (WIDTH + 48) * WIDTH + WIDTH * 11
    )
    heads -= 512 * WIDTH * (sixteenth - 1)  # the image's mean is one cell
    trunk = sum(stage.macs for stage in profile(NetworkConfig(depth=18, abm=False), 960, 720).stages[:5])
    found = cost(PeerConfig("deeplabv3plus-r18"), 960, 720)[1]
    assert found == trunk + heads
    assert found / 1e9 == pytest.approx(48, abs=0.5)

    inputs, grids, expected = 512, [736 * 960 // 4**step for step in (4, 3, 2, 1, 0)], 0
    for width, skip, grid in zip(WIDTHS, (256, 128, 64, 64, 0), grids, strict=True):
        expected += grid * 9 * (inputs + skip + width) * width
        inputs = width
    expected += grids[-1] * 9 * 16 * 11
    with torch.device("meta"):
        unet = Unet(PeerConfig("unet-r18"), 18)
    assert len(RATES) == 3 and unet.logits_stride == 1
    # 1.8: the trunk of He et al. at 224x224, table 1 (here without its classifier), scaled to this size.
    trunk = (cost(PeerConfig("unet-r18"), 960, 720)[1] - expected) / (736 * 960) * 224**2
    assert trunk / 1e9 == pytest.approx(1.8, abs=0.02)


@pytest.mark.parametrize("name", KINDS)
def test_engines_take_a_peer(name: str, tmp_path: Path) -> None:
    source = peer_source(here(name), CAMVID, EngineCache(tmp_path), threads=1)
    frame = street_frames(130, 200, 1)[0]
    plan = source.plan((130, 200), (70, 101))  # padded, and resized to the frame
    assert plan.padded == (96, 128) if plan.stride == 32 else plan.padded == (80, 112)
    eager = build("eager", source, plan)
    assert eager.logits(plan.prepare(frame)).shape == (11, *(side // plan.scale for side in plan.padded))
    mask = eager.segment(frame).mask
    image = (torch.from_numpy(frame).float() / 255 - torch.tensor(source.info.mean)) / torch.tensor(
        source.info.std
    )
    assert mask.shape == (130, 200) and len(np.unique(mask)) > 1
    with torch.no_grad():
        whole = source.model.network(image.permute(2, 0, 1)[None])[0]
    direct = build("eager", source, source.plan((130, 200), (130, 200))).segment(frame).mask
    assert (direct == whole.argmax(0).numpy()).mean() > 0.999
    if registry.missing_packages(("openvino",)):
        return
    assert (build("openvino", source, plan).segment(frame).mask == mask).mean() > 0.995


@pytest.mark.parametrize("name", KINDS)
def test_training_takes_a_peer(name: str) -> None:
    torch.manual_seed(0)
    model = TrainingNetwork(build_network(PeerConfig(here(name), 5)), auxiliary=True)
    logits, auxiliary = model(torch.randn(2, 3, 64, 96))
    assert logits.shape == (2, 5, 64, 96) and auxiliary.shape[:2] == (2, 5)
    (logits.mean() + auxiliary.mean()).backward()
    without = [key for key, value in model.named_parameters() if value.grad is None]
    assert without == [] and any(key.startswith("network.encoder.") for key, _ in model.named_parameters())


def test_a_run_trains_a_peer_and_its_checkpoint_is_used_like_ours(tmp_path: Path) -> None:
    recipe = Recipe(
        steps=1, network=PeerConfig("unet-r18"), batch_size=2, synthetic_share=1.0, input_size=(96, 64)
    )
    recipe = replace(
        recipe, augment=replace(recipe.augment, crop=(64, 64)), synthetic_size=(96, 64), validate_every=1
    )
    assert train(recipe, None, [], tmp_path, workers=0)
    path = tmp_path / "model.safetensors"
    checkpoint = load_checkpoint(path)
    assert isinstance(checkpoint.network, Unet) and checkpoint.info.network == PeerConfig("unet-r18")
    frame = street_frames(64, 96, 1)[0]
    segmenter = Segmenter.load(path, device="cpu")
    source = Source.load(path, EngineCache(default_folder()))
    wanted = build("eager", source, source.plan((64, 96), (64, 96))).segment(frame).mask
    assert (segmenter.segment(frame).mask == wanted).all()


def test_the_product_alone_does_not_read_a_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sernet_core.checkpoint import CheckpointInfo, read_info, save_checkpoint

    config = PeerConfig("unet-r18")
    save_checkpoint(
        tmp_path / "a.safetensors", build_network(config), CheckpointInfo(config, CAMVID, (96, 64))
    )
    assert read_info(tmp_path / "a.safetensors").network == config
    monkeypatch.delitem(ARCHITECTURES, ARCHITECTURE)
    with pytest.raises(CheckpointError, match=r"unknown architecture 'peer'\. Known: sernet"):
        read_info(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["deeplabv3plus-r50", "unet-r50"])
def test_the_encoder_takes_the_same_imagenet_weights(name: str, data_root: Path) -> None:
    network = build_network(PeerConfig(name))
    load_imagenet_encoder(network.encoder, data_root / "weights" / "resnet50_v1_imagenet_encoder.safetensors")
    assert float(network.encoder.layer4[2].bn3.running_var.mean()) != 1.0


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'unet-r50'"):
        PeerConfig("unet-r51")
    with pytest.raises(ConfigError, match="classes: needs at least 1"):
        PeerConfig("unet-r50", 0)
    monkeypatch.setattr(
        registry, "missing_packages", lambda names, remedy: f"not installed; {remedy}" if names else ""
    )
    with pytest.raises(ConfigError, match=r"segformer-b0: not installed; .*requirements/benchmark\.txt"):
        build_network(PeerConfig("segformer-b0"))


def test_the_product_never_imports_them() -> None:
    script = (
        "import sys, sernet_core.cli, sernet_core.runtime, sernet_core.train.loop\n"
        "import sernet_core.commands.benchmark\n"
        "sys.exit(any(name.startswith(('sernet_core.peers', 'transformers')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
