"""Checkpoints: what is written comes back; whatever does not fit is refused with a reason; names resolve."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sernet_core import checkpoint as module
from sernet_core.checkpoint import (
    CheckpointInfo,
    available_models,
    load_checkpoint,
    read_info,
    resolve_model,
    save_checkpoint,
)
from sernet_core.errors import CheckpointError
from sernet_core.labels import CAMVID, CITYSCAPES
from sernet_core.network import NetworkConfig, SernetFormer, build_network
from sernet_core.storage import temporary_beside

CONFIG = NetworkConfig(
    depth=18, output_stride=8, fusion="gated", dbn_rates=(1, 4), afn2=False, afn_channels=16
)
INFO = CheckpointInfo(
    network=CONFIG,
    classes=CAMVID,
    input_size=(480, 360),
    notice="for tests: “as is”",
    recipe={"steps": 5, "augment": {"scale": [0.6, 1.8]}},
    data={"train": "camvid/train", "stems": ["a", "b"]},
    metrics={"camvid/val": {"miou": 70.123, "iou": {"Sky": None}}},
)


@pytest.fixture(scope="module")
def network() -> SernetFormer:
    """A network that has seen a batch, so that its norms are not at identity, with open gates."""
    torch.manual_seed(0)
    network = build_network(CONFIG)
    network.train()(10 * torch.randn(2, 3, 64, 64))
    for name, parameter in network.named_parameters():
        if name.endswith("gain"):
            torch.nn.init.normal_(parameter)
    return network.eval()


@pytest.fixture
def saved(network: SernetFormer, tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, network, INFO)
    return path


def _classes(**changes: object) -> dict[str, object]:
    return {"name": CAMVID.name, "names": CAMVID.names, "palette": CAMVID.palette, **changes}


def rewrite(path: Path, weights: dict[str, Tensor] | None = None, **metadata: object) -> None:
    """Change weights or metadata of a checkpoint; a metadata value of None is left out."""
    with safe_open(path, "pt") as file:
        own = dict(file.metadata())
    changed = own | {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()
    }
    kept = {key: value for key, value in changed.items() if metadata.get(key, "") is not None}
    save_file(load_file(path) if weights is None else weights, path, kept)


@torch.no_grad()
def test_round_trip(network: SernetFormer, saved: Path) -> None:
    loaded = load_checkpoint(saved)
    assert loaded.info == read_info(saved) == INFO
    assert not loaded.network.training
    stored, state = load_file(saved), loaded.network.state_dict()
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            assert key not in stored
            continue
        assert state[key].dtype == torch.float32
        if stored[key].dtype == torch.float32:
            assert torch.equal(state[key], value)
        else:  # half of float16's last place, and of its smallest step
            torch.testing.assert_close(state[key], value, rtol=2**-11, atol=2**-25)
    norms = {key for key, value in stored.items() if value.dtype == torch.float32}
    assert norms == {key for key in stored if key.replace("running_", "") in _norm_keys(network)}
    image = torch.randn(1, 3, 64, 64)
    ours, theirs = network(image), loaded.network(image)
    assert (ours - theirs).abs().max() < 0.01 * ours.abs().max()
    assert (ours.argmax(1) == theirs.argmax(1)).float().mean() > 0.98


def _norm_keys(network: SernetFormer) -> set[str]:
    norms = [name for name, part in network.named_modules() if isinstance(part, torch.nn.BatchNorm2d)]
    return {f"{name}.{key}" for name in norms for key in ("weight", "bias", "mean", "var")}


def test_saving_twice_gives_the_same_weights(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    loaded = load_checkpoint(saved)
    save_checkpoint(again, loaded.network, loaded.info)
    first, second = load_file(saved), load_file(again)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_description_of_another_network_is_refused(network: SernetFormer, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    for info in (
        CheckpointInfo(NetworkConfig(depth=18), CAMVID, (480, 360)),
        CheckpointInfo(CONFIG, CITYSCAPES, (480, 360)),
    ):
        with pytest.raises(CheckpointError, match="does not belong"):
            save_checkpoint(path, network, info)
    assert not path.exists()


KEY = "encoder.layer1.0.conv1.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop(KEY), f"1 weight.* missing {KEY}"),
        (lambda weights: weights.update({"head.extra": torch.zeros(1)}), "1 weight.* unexpected head.extra"),
        (
            lambda weights: weights.update({KEY: torch.zeros(64, 64, 1, 1)}),
            rf"{KEY} is \(64, 64, 1, 1\), must be \(64, 64, 3, 3\)",
        ),
        (lambda weights: weights[KEY][0, 0].fill_(float("nan")), f"{KEY} holds values that are not finite"),
        (lambda weights: weights[KEY][5, 2].fill_(float("-inf")), f"{KEY} holds values that are not finite"),
    ],
    ids=["missing", "unexpected", "shape", "nan", "infinite"],
)
def test_weights_that_do_not_fit_are_named(saved: Path, change: object, message: str) -> None:
    weights = load_file(saved)
    change(weights)  # type: ignore[operator]
    rewrite(saved, weights)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(saved)
    assert str(saved) in str(error.value)


def test_many_misfits_are_counted_and_some_shown(saved: Path) -> None:
    rewrite(saved, {"nothing": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"\d\d+ weight\(s\) do not fit") as error:
        load_checkpoint(saved)
    assert str(error.value).count("missing") == 5


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "sernet-0"}, "not a sernet-1 checkpoint .*'sernet-0'"),
        ({"format": None}, "not a sernet-1 checkpoint .*None"),
        ({"network": {"depth": 19}}, "metadata is not understood: depth: 19"),
        ({"network": {"detph": 18}}, "Did you mean 'depth'"),
        ({"network": None}, "metadata is not understood"),
        ({"network": "{"}, "metadata is not understood"),
        ({"classes": {"name": "x"}}, "metadata is not understood"),
        ({"input_size": 480}, "metadata is not understood"),
        ({"surprise": 1}, "metadata is not understood"),
        ({"network": {"depth": 18, "classes": 19}}, "has 19 classes, but it names 11"),
        ({"classes": _classes(palette=[[300, 0, 0]] * 11)}, "from 0 to 255, Sky has"),
        ({"classes": _classes(palette=[[5]] * 11)}, "three whole numbers"),
        ({"classes": _classes(names=list(range(11)))}, "names must be words"),
        ({"notice": ["terms"]}, "notice: must be text"),
        ({"data": {"stems": [["a"]]}}, "list of names"),
        ({"data": {"encoder": "resnet"}}, "encoder must have file and sha256"),
        ({"data": {"started_from": {"recipe": {}}}}, "data: must be a mapping"),
        ({"data": {"started_from": {"data": {"encoder": 1}}}}, "encoder must have"),
        ({"data": {"synthetic_share": "half"}}, "synthetic_share must be from 0 to 1"),
        ({"data": {"train": 5}}, "train must be a name"),
        ({"data": {"extra": None}}, "extra must have train and share"),
        ({"data": {"extra": {"train": "x", "share": 0.1, "masked": "foo"}}}, "masked must be a mapping"),
        (
            {"data": {"extra": {"train": "x", "share": 0.1, "masked": {"data": [1]}}}},
            "data: must be a mapping",
        ),
        ({"data": {"started_from": {"sha256": 5, "data": {}}}}, "started_from: sha256 must be text"),
        ({"input_size": [10**9, 10**9]}, "may have 67108864 pixels at most"),
        ({"mean": [10**400, 0, 0]}, "metadata is not understood"),
        ({"recipe": "[" * 5000}, "metadata is not understood"),
    ],
)
def test_metadata_that_is_not_ours_is_refused(saved: Path, metadata: dict[str, object], message: str) -> None:
    rewrite(saved, **metadata)
    for read in (read_info, load_checkpoint):
        with pytest.raises(CheckpointError, match=message) as error:
            read(saved)
        assert str(saved) in str(error.value)


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_other_files_are_refused_and_never_unpickled(saved: Path, tmp_path: Path) -> None:
    whole, traces = saved.read_bytes(), tmp_path / "exploded"
    files = {
        "truncated": whole[: len(whole) // 2],
        "header alone": whole[:100],
        "empty": b"",
        "text": b"weights" * 100,
        "pickle": pickle.dumps({"state_dict": Bomb(traces)}),
    }
    torch.save({"weight": Bomb(traces)}, tmp_path / "torch.safetensors")
    for name, content in files.items():
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    for name in (*files, "torch"):
        for read in (load_checkpoint, read_info):
            with pytest.raises(CheckpointError, match="not a readable safetensors file"):
                read(tmp_path / f"{name}.safetensors")
    assert not traces.exists()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The model folders in their order, each with a model of its own and one that all have."""
    found = {
        "variable": tmp_path / "variable",
        "own": tmp_path / "home/.local/share/sernet/models",
        "shipped": tmp_path / "shipped",
    }
    for name, folder in found.items():
        folder.mkdir(parents=True)
        for stem in (f"only-{name}", "common"):
            (folder / f"{stem}.safetensors").touch()
    monkeypatch.setenv("SERNET_MODELS", str(found["variable"]))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "SHIPPED", found["shipped"])
    monkeypatch.chdir(tmp_path)
    return found


def test_names_resolve_in_the_order_of_the_folders(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in folders.items():
        assert resolve_model(f"only-{name}") == folder / f"only-{name}.safetensors"
        assert resolve_model("common") == folder / "common.safetensors"
        (folder / "common.safetensors").unlink()
    monkeypatch.delenv("SERNET_MODELS")
    temporary_beside(folders["own"] / "half.safetensors")  # one that is being written has no name yet
    assert sorted(available_models()) == ["only-own", "only-shipped"]


def test_paths_come_before_names(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "common").touch()
    assert resolve_model("common") == Path("common")
    file = folders["own"] / "only-own.safetensors"
    assert resolve_model(file) == resolve_model("~/.local/share/sernet/models/only-own.safetensors") == file


def test_unknown_models_are_explained(folders: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"Did you mean 'common'.*Known: common, only-own") as error:
        resolve_model("comon")
    assert all(str(folder) in str(error.value) for folder in folders.values())
    for path in ("none.safetensors", "folder/none", "~nosuchuser/model.safetensors"):
        with pytest.raises(CheckpointError, match="no such checkpoint file"):
            resolve_model(path)
    with pytest.raises(
        CheckpointError, match=r"a folder; name the model in it, such as .*model\.safetensors"
    ):
        resolve_model(folders["own"])


@pytest.mark.parametrize("error_kind", [OSError, SafetensorError])
def test_failed_write_leaves_the_old_file(
    error_kind: type[Exception], network: SernetFormer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def fail(tensors: object, target: Path, metadata: object) -> None:
        target.write_bytes(b"half a file")
        raise error_kind("No space left on device")

    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(CheckpointError, match=r"cannot be written: .*No space left") as error:
        save_checkpoint(saved, network, INFO)
    assert str(saved) in str(error.value)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]  # and nothing beside it


def test_weights_beyond_float16_leave_the_old_file(network: SernetFormer, saved: Path) -> None:
    before, broken = saved.read_bytes(), copy.deepcopy(network)
    bias = "head.classify.bias"
    with torch.no_grad():
        broken.get_parameter(bias)[0] = -1e6
    with pytest.raises(CheckpointError, match=rf"{bias} reaches 1e\+06, .* not finite as torch.float16"):
        save_checkpoint(saved, broken, INFO)
    assert saved.read_bytes() == before


def test_place_that_cannot_be_written(network: SernetFormer, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_checkpoint(blocked / "net.safetensors", network, INFO)


def test_new_folders_are_made_and_files_follow_the_umask(network: SernetFormer, tmp_path: Path) -> None:
    path = tmp_path / "a/b/net.safetensors"
    save_checkpoint(path, network, INFO)
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
