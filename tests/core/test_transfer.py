"""A model goes on with other classes: what fits is kept, the rest is told."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import SMALL, Frames, noise_frames
from torch import nn

from sernet_core.checkpoint import CheckpointInfo, load_checkpoint, read_info, save_checkpoint
from sernet_core.labels import CAMVID, CITYSCAPES, ClassSet
from sernet_core.network import NetworkConfig, build_network
from sernet_core.train import train
from sernet_core.train.start import check_start
from sernet_core.train.transfer import start_from

HEAD = ("head.classify.weight", "head.classify.bias")


def test_camvid_to_cityscapes(small_model: Path) -> None:
    start = load_checkpoint(small_model)
    network = build_network(replace(start.info.network, classes=19))
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    transfer = start_from(network, start, CITYSCAPES)
    assert transfer is not None
    assert transfer.kept == {
        "road": "Road", "sidewalk": "Pavement", "building": "Building", "fence": "Fence", "pole": "Pole",
        "traffic sign": "SignSymbol", "vegetation": "Tree", "sky": "Sky", "person": "Pedestrian",
        "rider": "Bicyclist", "car": "Car",
    }  # fmt: skip
    assert transfer.dropped == [] and "motorcycle" in transfer.fresh and len(transfer.fresh) == 8
    assert "person (from Pedestrian)" in str(transfer)
    old, new = start.network.state_dict(), network.state_dict()
    for key, value in new.items():
        if key not in HEAD:
            assert torch.equal(value, old[key]), key
    for key in HEAD:
        for number, name in enumerate(CITYSCAPES.names):
            if name in transfer.kept:
                assert torch.equal(new[key][number], old[key][CAMVID.id_of(transfer.kept[name])])
            else:
                assert torch.equal(new[key][number], fresh[key][number])


def test_the_same_classes_are_taken_as_they_are(small_model: Path) -> None:
    start = load_checkpoint(small_model)
    network = build_network(start.info.network)
    assert start_from(network, start, CAMVID) is None
    assert all(torch.equal(v, start.network.state_dict()[k]) for k, v in network.state_dict().items())


@pytest.mark.usefixtures("slim")
def test_training_goes_on_with_other_classes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    others = ClassSet("others", ("Road", "sky", "Lamp"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
    first = replace(SMALL, steps=1, synthetic_share=0.0)
    train(first, Frames(noise_frames(2)), [], tmp_path / "first", workers=0)
    start = load_checkpoint(tmp_path / "first/model.safetensors")
    samples = [replace(s, label=(s.label == 3).astype("uint8")) for s in noise_frames(2, "m")]
    recipe = replace(first, network=replace(first.network, classes=3))
    assert train(recipe, Frames(samples, classes=others), [], tmp_path / "second", start=start, workers=0)
    text = capsys.readouterr().out
    assert "go on:   Road, sky (from Sky)" in text and "new:     Lamp" in text
    assert "dropped: Building, Pole" in text
    info = read_info(tmp_path / "second/model.safetensors")
    assert info.classes == others and info.data["stems"] == ["m0", "m1", "n0", "n1"]


def test_a_narrower_decoder_starts_from_nothing(small_model: Path) -> None:
    start = load_checkpoint(small_model)
    network = build_network(replace(start.info.network, afn_channels=40))
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    check_start(start, network.config)
    transfer = start_from(network, start, CAMVID)
    assert transfer is not None and transfer.parts == ["afn1", "afn2", "head"] and not transfer.kept
    assert "afn1, afn2, head start from nothing" in str(transfer) and "classes" not in str(transfer)
    for key, value in network.state_dict().items():
        kept = key.startswith(("encoder.", "context."))
        assert torch.equal(value, (start.network.state_dict() if kept else fresh)[key]), key


def test_a_new_part_and_other_classes(small_model: Path) -> None:
    start = load_checkpoint(small_model)
    network = build_network(replace(start.info.network, classes=19, dbn=not start.info.network.dbn))
    transfer = start_from(network, start, CITYSCAPES)
    assert transfer is not None and transfer.parts == ["context"] and transfer.kept["road"] == "Road"
    network = build_network(replace(start.info.network, classes=19, fusion="add"))
    transfer = start_from(network, start, CITYSCAPES)
    assert transfer is not None and transfer.parts == ["head"] and not transfer.kept
    assert transfer.dropped == list(CAMVID.names) and "go on:   none" in str(transfer)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ({}, {"lateral": "context"}, ["afn2.lateral"]),
        ({"dbn": False, "afn1": False}, {}, ["context.branches", "afn1.boost"]),
        ({"fusion": "add"}, {"fusion": "gated"}, ["head.mix"]),
        ({"lateral": "skip"}, {}, ["afn1"]),
    ],
)
def test_what_the_old_network_lacks_alone_starts_from_nothing(
    tmp_path: Path, old: dict[str, Any], new: dict[str, Any], parts: list[str]
) -> None:
    base = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    before = build_network(replace(base, **old))
    save_checkpoint(
        tmp_path / "old.safetensors", before, CheckpointInfo(before.config, CAMVID, (96, 64), notice="test")
    )
    start, network = load_checkpoint(tmp_path / "old.safetensors"), build_network(replace(base, **new))
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    transfer = start_from(network, start, CAMVID)
    assert transfer is not None and transfer.parts == parts and not transfer.settings
    kept = start.network.state_dict()
    for key, value in network.state_dict().items():
        begun = key.startswith(tuple(f"{part}." for part in parts))
        expected = (fresh if begun else kept)[key]
        assert torch.equal(value, 0.1 * expected if key == "afn2.lateral.1.weight" else expected), key


def test_a_branch_that_joins_trained_ones_hardly_changes_them_at_first_and_learns(small_model: Path) -> None:
    start = load_checkpoint(small_model)
    joined = build_network(replace(start.info.network, lateral="context"))
    start_from(joined, start, start.info.classes)
    loud = copy.deepcopy(joined)
    assert loud.afn2.lateral is not None and joined.afn2.lateral is not None
    nn.init.ones_(loud.afn2.lateral[1].weight)
    images = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # each normalises by what it sees, as in training
        before, quiet, whole = (net.train()(images) for net in (start.network, joined, loud))
    assert (quiet - before).std() < 0.3 * (whole - before).std()
    joined(images).square().mean().backward()
    learns = joined.afn2.lateral[0].weight.grad
    assert learns is not None and learns.abs().max() > 0


def test_another_decoder_width_and_other_classes(small_model: Path) -> None:
    start = load_checkpoint(small_model)
    network = build_network(replace(start.info.network, classes=19, afn_channels=48))
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    transfer = start_from(network, start, CITYSCAPES)
    assert transfer is not None and transfer.parts == ["afn1", "afn2", "head"] and not transfer.kept
    assert transfer.fresh == list(CITYSCAPES.names) and transfer.dropped == list(CAMVID.names)
    for key, value in network.state_dict().items():
        kept = key.startswith(("encoder.", "context."))
        assert torch.equal(value, (start.network.state_dict() if kept else fresh)[key]), key


OTHERS = {
    "classes": 12, "depth": 34, "output_stride": 8, "abm": False, "dbn": False, "afn1": False, "afn2": False,
    "gate": "fixed", "fusion": "add", "dbn_rates": (2, 4, 6), "dbn_separable": False, "dbn_channels": 64,
    "afn_channels": 48, "lateral": "context",
}  # fmt: skip


def shapes(config: NetworkConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: value.shape for key, value in build_network(config).state_dict().items()}


@pytest.mark.parametrize("setting", [field.name for field in fields(NetworkConfig)])
def test_no_setting_differs_in_silence(small_model: Path, setting: str) -> None:
    own = read_info(small_model).network
    other = replace(own, **{setting: OTHERS[setting]})
    if shapes(own) == shapes(other):  # the weights alone would tell nothing
        transfer = start_from(build_network(other), load_checkpoint(small_model), CAMVID)
        assert f"{setting} {OTHERS[setting]}" in str(transfer)


def test_settings_of_a_part_that_starts_from_nothing_are_not_told(small_model: Path) -> None:
    start = load_checkpoint(small_model)
    settings = replace(start.info.network, dbn_rates=(2, 4), output_stride=8, classes=19)
    transfer = start_from(build_network(settings), start, CITYSCAPES)
    assert transfer is not None and transfer.parts == ["context"] and transfer.kept["road"] == "Road"
    assert transfer.settings == {"output_stride": (8, 16)}
