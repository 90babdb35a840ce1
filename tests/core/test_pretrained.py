"""Slim encoders that take over the blocks of a deeper one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_run import SMALL

from sernet_core.checkpoint import Checkpoint, CheckpointInfo
from sernet_core.encoder import Encoder
from sernet_core.errors import CheckpointError, ConfigError
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_core.pretrained import kept_blocks, load_imagenet_encoder, prune_encoder
from sernet_core.train.start import check_start, load_start


def test_first_and_last_block_of_each_width_are_kept() -> None:
    assert kept_blocks(29) == {
        "layer1.0": "layer1.0",
        "layer1.1": "layer1.2",
        "layer2.0": "layer2.0",
        "layer2.1": "layer2.3",
        "layer3.0": "layer3.0",
        "layer3.1": "layer3.1",
        "layer3.2": "layer3.2",
        "layer4.0": "layer3.4",
        "layer4.1": "layer3.5",
    }


def test_every_weight_of_the_slim_encoder_is_given() -> None:
    deep, slim = Encoder(50, 16, "learned"), Encoder(29, 16, "learned")
    weights = prune_encoder(deep.state_dict(), 29)
    own = slim.state_dict()
    assert own.keys() - weights.keys() == {"layer3.2.gate.gain"}  # its source ends no stage
    assert all(weights[key].shape == value.shape for key, value in own.items() if key in weights)
    assert torch.equal(weights["layer4.1.conv2.weight"], deep.layer3[5].conv2.weight)


def imagenet_file(path: Path, depth: int) -> Path:
    weights = Encoder(depth, 32, None).state_dict()
    save_file({key: value for key, value in weights.items() if "num_batches" not in key}, path)
    return path


def test_a_deeper_networks_file_fills_it(tmp_path: Path) -> None:
    path = imagenet_file(tmp_path / "fifty.safetensors", 50)
    slim = Encoder(29, 16, "learned")
    load_imagenet_encoder(slim, path)
    deep = Encoder(50, 32, None)
    load_imagenet_encoder(deep, path)
    assert torch.equal(slim.layer2[1].conv3.weight, deep.layer2[3].conv3.weight)
    assert torch.equal(slim.conv1.weight, deep.conv1.weight)


def test_a_shallower_networks_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit this encoder: missing"):
        load_imagenet_encoder(Encoder(29, 16, None), imagenet_file(tmp_path / "small.safetensors", 18))


def model(config: NetworkConfig) -> Checkpoint:
    info = CheckpointInfo(config, CAMVID, (96, 64))
    return Checkpoint(build_network(config).eval(), info, Path("teacher.safetensors"))


def test_a_run_starts_from_the_deeper_model() -> None:
    start = model(NetworkConfig(depth=50))
    slim = replace(SMALL.network, depth=29, afn_channels=48)
    check_start(start, slim)
    network = build_network(slim)
    fresh = network.head.state_dict()
    assert str(load_start(network, start, CAMVID)).endswith("context, afn1, afn2, head start from nothing")
    assert torch.equal(network.encoder.layer4[0].conv1.weight, start.network.encoder.layer3[4].conv1.weight)
    assert all(torch.equal(network.head.state_dict()[key], value) for key, value in fresh.items())


def test_no_run_starts_at_a_stride_that_needs_layers_the_deeper_one_lacks() -> None:
    with torch.device("meta"):
        start = model(NetworkConfig(depth=50))
    with pytest.raises(ConfigError, match="output_stride: 32 gives depth 29 a layer"):
        check_start(start, NetworkConfig(depth=29, output_stride=32))
    check_start(start, NetworkConfig(depth=29, output_stride=8))
    check_start(start, NetworkConfig(depth=50))


def test_a_run_for_larger_views_starts_with_other_dilations() -> None:
    small, large = (replace(SMALL.network, dbn_rates=rates) for rates in ((1, 2, 3), (2, 4, 6)))
    start, network = model(small), build_network(large)
    check_start(start, large)
    assert str(load_start(network, start, CAMVID)) == (
        "other settings than the model to start from: dbn_rates (2, 4, 6), its weights know (1, 2, 3)"
    )
    assert network.config.dbn_rates == (2, 4, 6)
    assert torch.equal(network.head.classify.weight, start.network.head.classify.weight)


def test_a_pruned_network_at_another_stride_is_told() -> None:
    with torch.device("meta"):
        network = build_network(NetworkConfig(depth=29, output_stride=8))
        words = str(load_start(network, model(NetworkConfig(depth=50)), CAMVID))
    assert words.endswith("output_stride 8, its weights know 16") and "dbn_rates" not in words


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (NetworkConfig(depth=29), NetworkConfig(depth=50)),
        (NetworkConfig(depth=34), NetworkConfig(depth=29)),
        (NetworkConfig(depth=50, abm=False), NetworkConfig(depth=29)),
        (NetworkConfig(depth=50, gate="fixed"), NetworkConfig(depth=29)),
    ],
)
def test_no_run_starts_from_a_model_that_does_not_fit(given: NetworkConfig, wanted: NetworkConfig) -> None:
    with torch.device("meta"):
        start = model(given)
    with pytest.raises(ConfigError, match="has another encoder"):
        check_start(start, wanted)
