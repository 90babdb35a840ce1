"""Looking inside of a network: what its gates add, what its parts change, and what a split says of both."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_run import Frames
from torch.nn import functional

from sernet_core.bootstrap import mean_estimate, rank_correlation
from sernet_core.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from sernet_core.cli import main
from sernet_core.datasets import Sample, open_dataset
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.plan import Plan
from sernet_core.errors import ConfigError, InputError
from sernet_core.frame_scores import frame_counts
from sernet_core.inspection.pictures import directions, energy, heat
from sernet_core.inspection.probe import PARTS, GateLook, Look, Probe, switched_off
from sernet_core.inspection.relation import Relation, figures_of, relate
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_core.runtime import Segmenter


def saved(path: Path, config: NetworkConfig) -> Path:
    """A network whose batch norms and gains are not what they start from."""
    torch.manual_seed(1)
    network = build_network(config)
    for name, parameter in network.named_parameters():
        if name.endswith("gain"):
            torch.nn.init.uniform_(parameter, 0.3, 0.9)
    save_checkpoint(path, network, CheckpointInfo(config, CAMVID, (96, 64)))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("m") / "m.safetensors", NetworkConfig(depth=18, dbn_rates=(1, 2, 3)))


@pytest.fixture
def probe(model: Path, tmp_path: Path) -> Probe:
    return Probe(Source.load(model, EngineCache(tmp_path)))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


def normalised(model: Path, image: np.ndarray) -> torch.Tensor:
    info = load_checkpoint(model).info
    return torch.from_numpy((image / 255 - info.mean) / info.std).permute(2, 0, 1)[None].float()


def test_the_mask_is_the_published_one(probe: Probe, model: Path, image: np.ndarray) -> None:
    look = probe.look(image)
    np.testing.assert_array_equal(look.mask, Segmenter.load(model).segment(image).mask)
    assert list(look.gates) == ["AbM1", "AbM2", "AbM3", "AbM4", "AbM5"] and not look.without


def test_gates_by_hand(probe: Probe, model: Path, image: np.ndarray) -> None:
    encoder = load_checkpoint(model).network.encoder
    with torch.no_grad():
        z = encoder.bn1(encoder.conv1(normalised(model, image)))
        added = encoder.gate1.gain * functional.silu(z)
        whole = functional.relu(z) + added
        gate = probe.look(image).gates["AbM1"]
    np.testing.assert_allclose(gate.energy, added[0].square().mean(0).sqrt(), rtol=1e-3, atol=1e-5)
    assert gate.activity == pytest.approx(100 * float(added.norm() / whole.norm()), rel=1e-3)
    assert probe.gains["AbM1"] == pytest.approx(encoder.gate1.gain.item(), rel=1e-3)


def test_fusions_before_and_after(probe: Probe, model: Path, image: np.ndarray) -> None:
    network = load_checkpoint(model).network
    look = probe.look(image)
    with torch.no_grad():
        features = network.encoder(normalised(model, image))
        quarter = (16, 24)
        context = network.context(features[-1])
        expected = {
            "DbN": context,
            "AfN1": network.afn1(features[1], quarter),
            "AfN2": network.afn2(context, quarter),
        }
    for name, after in expected.items():
        np.testing.assert_allclose(look.fusions[name][1], after[0], rtol=1e-3, atol=1e-4)
    before, after = look.fusions["AfN1"]
    assert before.shape == after.shape and not torch.equal(before, after)


@pytest.mark.parametrize("part", PARTS)
def test_switched_off_is_the_network_without(model: Path, image: np.ndarray, part: str) -> None:
    checkpoint = load_checkpoint(model)
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3), **{part.lower(): False})
    smaller = build_network(config).eval()
    own = checkpoint.network.state_dict()
    smaller.load_state_dict({key: own[key] for key in smaller.state_dict()})
    picture = normalised(model, image)
    with torch.no_grad():
        whole = checkpoint.network(picture)
        with switched_off(checkpoint.network, part):
            without = checkpoint.network(picture)
        torch.testing.assert_close(without, smaller(picture))
        assert not torch.allclose(without, whole)
        torch.testing.assert_close(checkpoint.network(picture), whole)  # it is whole again


def test_a_second_input_of_a_fusion_stays_when_it_is_switched_off(tmp_path: Path, image: np.ndarray) -> None:
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3), lateral="context")
    model = saved(tmp_path / "n.safetensors", config)
    network = load_checkpoint(model).network
    smaller = build_network(replace(config, afn2=False)).eval()
    smaller.load_state_dict({key: network.state_dict()[key] for key in smaller.state_dict()})
    picture = normalised(model, image)
    with torch.no_grad(), switched_off(network, "AfN2"):
        torch.testing.assert_close(network(picture), smaller(picture))
    look = Probe(Source.load(model, EngineCache(tmp_path))).look(image)
    before, after = look.fusions["AfN2"]
    assert before.shape == after.shape


def test_a_network_without_parts_is_looked_at(tmp_path: Path, image: np.ndarray) -> None:
    config = NetworkConfig(depth=18, abm=False, dbn=False, afn1=False, gate="fixed")
    probe = Probe(Source.load(saved(tmp_path / "n.safetensors", config), EngineCache(tmp_path)))
    look = probe.look(image, without=True)
    assert look.gates == {} and list(look.fusions) == ["AfN2"] and list(look.without) == ["AfN2"]


def test_pictures_of_features() -> None:
    features = torch.zeros(3, 4, 6)
    features[0, :, 3:] = 3.0
    np.testing.assert_allclose(energy(features)[0, [0, 5]], [0, 3**0.5], rtol=1e-6)
    tile = heat("x", energy(features))
    assert tile.scale == (0.0, pytest.approx(3**0.5)) and tile.image.shape == (4, 6, 3)
    first, second = directions(features, features.flip(-1))
    np.testing.assert_array_equal(first, second[:, ::-1])
    assert first[0, 0].tolist() != first[0, 5].tolist()


def test_an_image_gives_pictures_and_a_page(model: Path, image: np.ndarray, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "<street>.png"), image)
    out = tmp_path / "out"
    assert (
        main(
            ["inspect", str(tmp_path / "<street>.png"), "--model", str(model), "--without", "--out", str(out)]
        )
        == 0
    )
    for name in ("frame", "gates", "features"):
        picture = cv2.imread(str(out / f"{name}.png"))
        assert picture is not None and picture.std() > 10
    page = (out / "inspect.html").read_text()
    assert page.count("data:image/png;base64") == 3 and "&lt;street&gt;" in page
    assert "http:" not in page and "https:" not in page and "<script" not in page


def many(tree: Path, frames: int) -> Path:
    """The tree with more frames in its val."""
    rng = np.random.default_rng(3)
    for index in range(frames):
        cv2.imwrite(str(tree / f"val/images/f{index}.png"), rng.integers(0, 256, (64, 96, 3), np.uint8))
        cv2.imwrite(str(tree / f"val/labels/f{index}.png"), rng.integers(0, 11, (64, 96), np.uint8))
    (tree / "val.txt").write_text("".join(f"f{index}\n" for index in range(frames)))
    return tree


def test_a_split_relates_gates_and_parts_to_quality(model: Path, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = [
        "inspect",
        "--data",
        str(many(tree, 17)),
        "--every",
        "2",
        "--model",
        str(model),
        "--out",
        str(out),
    ]
    assert main([*given, "--without"]) == 0
    figures = json.loads((out / "inspect.json").read_text())
    assert (
        figures["frames"] == 9
        and figures["frames_together"] == 1
        and list(figures["gates"]) == [f"AbM{n}" for n in range(1, 6)]
    )
    assert list(figures["without"]) == list(PARTS)
    for gate in figures["gates"].values():
        one = gate["with_miou"]
        assert -1 <= one["low"] <= one["high"] <= 1 and gate["activity"]["median"] > 0
    for one in figures["without"].values():
        assert one["change"]["value"] == pytest.approx(one["miou"] - figures["miou"], abs=1e-3)
    with (out / "frames.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["frame"] for line in lines] == [f"f{index}" for index in range(0, 17, 2)]
    activities = np.array([float(line["activity AbM3"]) for line in lines])
    assert np.median(activities) == pytest.approx(figures["gates"]["AbM3"]["activity"]["median"], abs=1e-3)
    page = (out / "inspect.html").read_text()
    assert "without DbN" in page and page.count("<svg") == 5 and "https:" not in page


def test_energy_of_the_padding_is_of_no_pixel(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of 97x72 that the network sees as such, in an input padded to 112x80."""
    truth = np.zeros((72, 97), np.uint8)
    mask, energy = truth.copy(), np.ones((40, 56), np.float32)
    mask[60:] = 1
    energy[37:] = energy[:, 50:] = 100.0
    plan = Plan((72, 97), (72, 97), 16)
    look = Look(mask, {"AbM1": GateLook(energy, 1.0)}, {}, plan)
    monkeypatch.setattr(probe, "look", lambda image, without: look)
    dataset = Frames([Sample(f"f{n}", np.zeros((72, 97, 3), np.uint8), truth) for n in range(8)])
    assert relate(probe, "m", dataset, quiet=True).contrast["AbM1"] == pytest.approx([1.0] * 8)


def test_masks_that_are_all_wrong_count(probe: Probe) -> None:
    """Nine frames whose quality grows with a gate's activity, from an mIoU of 0 on."""
    truth = np.zeros((10, 10), np.uint8)
    relation = Relation(stems=[f"f{index}" for index in range(9)])
    for index in range(9):
        mask = np.ones_like(truth)
        mask[:index] = 0
        relation.counts.append(frame_counts(truth, mask, 2))
    relation.activity["AbM1"] = [
        100.0,
        *map(float, range(1, 9)),
    ]  # against the order in the first frame alone
    relation.contrast["AbM1"] = [1.0] * 9
    assert figures_of(relation, probe, ["a", "b"], 1)["gates"]["AbM1"]["with_miou"]["value"] < 1
    relation.counts = relation.counts[:1] * 9
    assert figures_of(relation, probe, ["a", "b"], 1)["miou"] == 0.0


def test_what_cannot_be_related(probe: Probe, tree: Path) -> None:
    dataset = open_dataset(tree, "val")
    with pytest.raises(InputError, match="too few"):
        relate(probe, "m", dataset, quiet=True)
    with pytest.raises(ConfigError, match="--every"):
        relate(probe, "m", dataset, every=0, quiet=True)
    for path in (many(tree, 9) / "val/labels").iterdir():
        cv2.imwrite(str(path), np.full((64, 96), 255, np.uint8))
    with pytest.raises(InputError, match="nothing in it is labelled"):
        relate(probe, "m", open_dataset(tree, "val"), quiet=True)


def test_gates_that_add_nothing_have_no_relation(model: Path, tree: Path, tmp_path: Path) -> None:
    """As they begin: gains of 0."""
    checkpoint, path = load_checkpoint(model), tmp_path / "shut.safetensors"
    with torch.no_grad():
        for name, parameter in checkpoint.network.named_parameters():
            if name.endswith("gain"):
                parameter.zero_()
    save_checkpoint(path, checkpoint.network, checkpoint.info)
    out = tmp_path / "out"
    given = ["inspect", "--data", str(many(tree, 9)), "--model", str(path), "--out", str(out)]
    assert main(given) == 0
    nothing = {"value": None, "low": None, "high": None}
    for gate in json.loads((out / "inspect.json").read_text())["gates"].values():
        assert gate["with_miou"] == gate["wrong_over_right"] == nothing
    assert "nan" not in (out / "frames.csv").read_text()


def test_pictures_of_an_earlier_model_do_not_stay(
    model: Path, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), image)
    out = tmp_path / "out"
    given = ["inspect", str(tmp_path / "a.png"), "--model", str(model), "--out", str(out)]
    assert main(given) == 0 and (out / "gates.png").exists()
    look = Probe.look
    monkeypatch.setattr(Probe, "look", lambda *args, **more: replace(look(*args, **more), gates={}))
    assert main(given) == 0 and not (out / "gates.png").exists() and (out / "features.png").exists()


@pytest.mark.parametrize("arguments", [[], ["x.png", "--data", "y"], ["x.png", "--threads", "-1"]])
def test_command_lines_that_make_no_sense(arguments: list[str], tmp_path: Path, capsys) -> None:
    assert main(["inspect", *arguments, "--out", str(tmp_path)]) == 2
    assert "give either" in (error := capsys.readouterr().err) or "--threads" in error


def test_what_cannot_be_looked_at_leaves_no_folder(model: Path, tree: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "text.png").write_text("no picture")
    out = tmp_path / "out"
    # The tree has too few frames.
    for arguments in ([str(tmp_path / "text.png")], ["--data", str(tree)], ["--data", "no/such/tree"]):
        assert main(["inspect", *arguments, "--model", str(model), "--out", str(out)]) == 2
        assert capsys.readouterr().err.startswith("sernet inspect: ") and not out.exists()


def test_rank_correlation() -> None:
    x = np.linspace(0, 1, 60)
    rising = rank_correlation(x, np.exp(5 * x), draws=300)
    assert (rising.value, rising.low, rising.high) == pytest.approx((1, 1, 1))
    noise = rank_correlation(x, np.random.default_rng(0).random(60), draws=300, block=5)
    assert noise.low < 0 < noise.high
    assert np.isnan(mean_estimate(np.full(4, np.nan)).value)
    mean = mean_estimate(np.append(x, np.nan), draws=300)
    assert mean.low < mean.value < mean.high and mean.value == pytest.approx(0.5)
