"""`sernet average`: the mean of weights, what such a model has seen, and what cannot be averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from sernet_core.averaging import average_models
from sernet_core.checkpoint import CheckpointInfo, load_checkpoint, read_info, save_checkpoint
from sernet_core.cli import main
from sernet_core.digests import file_sha256
from sernet_core.errors import CheckpointError
from sernet_core.evaluate.split import trained_frames
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_core.provenance import ancestors, pretrained_encoder, saw_scenes, saw_val

CONFIG = NetworkConfig(depth=18, afn_channels=8, dbn_rates=(1, 2, 3))
INFO = CheckpointInfo(CONFIG, CAMVID, (96, 64))


def _model(path: Path, seed: int, info: CheckpointInfo = INFO) -> Path:
    torch.manual_seed(seed)
    network = build_network(info.network)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    save_checkpoint(path, network, info)
    return path


def test_every_weight_and_statistic_is_the_mean(tmp_path: Path) -> None:
    paths = [_model(tmp_path / f"{seed}.safetensors", seed) for seed in range(3)]
    out = tmp_path / "mean.safetensors"
    assert main(["average", *map(str, paths), "--out", str(out)]) == 0
    states = [load_checkpoint(path).network.state_dict() for path in paths]
    mean = load_checkpoint(out).network.state_dict()
    assert any(key.endswith("running_var") for key in mean)
    for key, value in mean.items():
        expected = sum(state[key] for state in states) / len(states)
        torch.testing.assert_close(value, expected.to(value.dtype), rtol=1e-3, atol=1e-3)  # stored as float16


def test_a_model_without_a_lateral_input_counts_as_one_that_gives_0(tmp_path: Path) -> None:
    lateral = replace(INFO, network=replace(CONFIG, lateral="context"))
    plain = load_checkpoint(_model(tmp_path / "plain.safetensors", 0))
    path = _model(tmp_path / "joined.safetensors", 0, lateral)
    joined = load_checkpoint(path)
    shared = plain.network.state_dict()
    joined.network.load_state_dict(joined.network.state_dict() | shared)  # the rest is the same
    nn.init.normal_(joined.network.afn2.lateral[1].bias)
    network, info = average_models([plain, joined])
    assert info.network == lateral.network
    mean = network.state_dict()
    assert all(torch.equal(mean[key], value) for key, value in shared.items())
    eighth = torch.rand(1, 128, 6, 8)
    with torch.no_grad():
        whole, half = (functional.relu(net.afn2.lateral(eighth)) for net in (joined.network, network))
    assert whole.max() > 0
    torch.testing.assert_close(half, whole / 2)


def test_it_has_seen_what_its_models_have_seen(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    encoder = {"file": "encoder.safetensors", "sha256": "e" * 64}
    seen = [
        {"train": "camvid/train", "synthetic_share": 0.0, "stems": ["a", "b"], "encoder": encoder},
        {"train": "camvid/val", "synthetic_share": 0.5, "stems": ["c"]},
    ]
    infos = [replace(INFO, data=data, notice=data["train"], temperature=2.0) for data in seen]
    paths = [_model(tmp_path / f"{n}.safetensors", n, info) for n, info in enumerate(infos)]
    out = tmp_path / "mean.safetensors"
    assert main(["average", *map(str, paths), "--out", str(out)]) == 0
    info = read_info(out)
    assert trained_frames(info, ["a", "c", "d"]) == ["a", "c"]
    assert saw_val(info.data) and saw_scenes(info.data)
    assert pretrained_encoder(info.data) == encoder
    assert info.notice == "camvid/train\ncamvid/val" and info.temperature == 1.0 and not info.metrics
    assert list(ancestors({"started_from": {"data": info.data}})) == [file_sha256(path) for path in paths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERNET_MODELS", str(tmp_path))
        capsys.readouterr()
        main(["models"])
    assert f"mean of   0.safetensors (sha256 {file_sha256(paths[0])[:12]}" in capsys.readouterr().out


def test_models_without_a_common_start_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    start = _model(tmp_path / "start.safetensors", 0)
    before = {"started_from": {"file": start.name, "sha256": file_sha256(start), "data": {}}}
    tuned = [_model(tmp_path / f"{n}.safetensors", n, replace(INFO, data=before)) for n in (1, 2)]
    out = str(tmp_path / "mean.safetensors")
    for models, words in (
        (tuned, False),
        ([start, tuned[0]], False),
        ([*tuned, _model(tmp_path / "strange.safetensors", 3)], True),
    ):
        assert main(["average", *map(str, models), "--out", out]) == 0
        assert ("no common start" in capsys.readouterr().err) == words


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(INFO, network=replace(CONFIG, gate="fixed")), "the networks differ: gate learned and fixed"),
        (
            replace(INFO, network=replace(CONFIG, lateral="skip", afn_channels=16)),
            "the networks differ: afn_channels 16 and 8",
        ),
        (replace(INFO, classes=replace(CAMVID, names=CAMVID.names[::-1])), "the classes differ"),
        (replace(INFO, input_size=(64, 64)), "the inputs differ"),
        (replace(INFO, mean=(0.5, 0.5, 0.5)), "normalisations"),
    ],
)
def test_what_cannot_be_averaged(other: CheckpointInfo, words: str, tmp_path: Path) -> None:
    models = [_model(tmp_path / "a.safetensors", 0), _model(tmp_path / "b.safetensors", 1, other)]
    with pytest.raises(CheckpointError, match=words):
        average_models([load_checkpoint(model) for model in models])


def test_a_command_that_cannot_be_done_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    model = str(_model(tmp_path / "a.safetensors", 0))
    assert main(["average", model, "--out", str(tmp_path / "mean.safetensors")]) == 2
    assert "at least two models" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["average", model, model, "--out", str(tmp_path / "mean.onnx")])
    assert "must end in .safetensors" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
