"""The engine cache: keyed, whole or absent, checked, and clear about a folder that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sernet_core.engines.cache import EngineCache, weights_hash
from sernet_core.errors import ConfigError

KEY = {"weights": "abc", "shape": [64, 96], "versions": {"torch": "1"}}


class Builder:
    """Writes a file and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "model.bin").write_text(f"build {self.calls}")


def test_built_once_for_a_key(tmp_path: Path) -> None:
    build = Builder()
    for _ in range(2):
        cache = EngineCache(tmp_path / "new" / "folder")
        assert (cache.files("steam", KEY, build) / "model.bin").read_text() == "build 1"
    other = cache.files("steam", {**KEY, "versions": {"torch": "2"}}, build)
    assert (other / "model.bin").read_text() == "build 2" and build.calls == 2
    assert len(list(cache.folder.iterdir())) == 2  # nothing else is left behind


@pytest.mark.parametrize("damage", ["change", "truncate", "remove", "entry"])
def test_a_damaged_entry_is_built_anew(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    build = Builder()
    file = EngineCache(tmp_path).files("steam", KEY, build) / "model.bin"
    if damage == "remove":
        file.unlink()
    elif damage == "entry":
        (file.parent / "entry.json").write_text("{")
    else:
        file.write_text("build 2" if damage == "change" else "")
    assert EngineCache(tmp_path).files("steam", KEY, build) == file.parent
    assert file.read_text() == "build 2" and "damaged" in caplog.text


def test_update_builds_anew_once(tmp_path: Path) -> None:
    build = Builder()
    EngineCache(tmp_path).files("steam", KEY, build)
    cache = EngineCache(tmp_path, update=True)
    for _ in range(3):
        assert (cache.files("steam", KEY, build) / "model.bin").read_text() == "build 2"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EngineCache(tmp_path).files("steam", KEY, fail)
    assert list(tmp_path.iterdir()) == []


def test_another_process_was_faster(tmp_path: Path) -> None:
    fast = Builder()

    def slow(folder: Path) -> None:
        EngineCache(tmp_path).files("steam", KEY, fast)
        Builder()(folder)

    entry = EngineCache(tmp_path).files("steam", KEY, slow)
    assert (entry / "model.bin").read_text() == "build 1"
    assert [path.name for path in tmp_path.iterdir()] == [entry.name]


@pytest.mark.parametrize("use", ["files", "check"])
def test_an_unwritable_folder_is_an_error_with_a_remedy(tmp_path: Path, use: str) -> None:
    (tmp_path / "taken").write_text("a file")
    cache = EngineCache(tmp_path / "taken" / "engines")
    with pytest.raises(ConfigError, match=r"engine_cache_dir: .*taken.*cannot be written.*Make it writable"):
        cache.check() if use == "check" else cache.files("steam", KEY, Builder())


def test_a_spare_folder_takes_what_cannot_be_written(tmp_path: Path, caplog) -> None:
    (tmp_path / "taken").write_text("a file")
    build, cache = Builder(), EngineCache(tmp_path / "taken", spare=True)
    assert cache.fault == ""
    for _ in range(2):
        file = cache.files("steam", KEY, build) / "model.bin"
        assert file.read_text() == "build 1"
        assert cache.record("auto", KEY, lambda: 7) == 7
    assert caplog.text.count("built engines are not kept") == 1
    assert "taken cannot be written" in cache.fault and "Make it writable" in cache.fault
    # It ends with the cache, and a folder that can be written needs none.
    del cache
    assert not file.exists()
    cache = EngineCache(tmp_path / "new", spare=True)
    assert cache.files("steam", KEY, build).parent == tmp_path / "new" and cache.fault == ""


def test_entries_of_a_folder_that_cannot_be_written_serve(tmp_path: Path, monkeypatch) -> None:
    build = Builder()
    entry = EngineCache(tmp_path).files("steam", KEY, build)

    def refuse(cache: EngineCache) -> None:
        raise ConfigError(f"{cache.folder} cannot be written")

    monkeypatch.setattr(EngineCache, "check", refuse)
    cache = EngineCache(tmp_path, spare=True)
    assert cache.files("steam", KEY, build) == entry and cache.fault == ""
    assert cache.files("steam", {**KEY, "other": 1}, build).parent != tmp_path and cache.fault
    # Anew is anew, there too.
    cache = EngineCache(tmp_path, spare=True, update=True)
    anew = [(cache.files("steam", KEY, build) / "model.bin").read_text() for _ in range(2)]
    assert anew == ["build 3", "build 3"]


def test_records_are_measured_once(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    assert cache.record("auto", KEY, lambda: {"winner": "steam"}) == {"winner": "steam"}
    assert EngineCache(tmp_path).record("auto", KEY, lambda: 1 / 0) == {"winner": "steam"}


def test_weights_hash_tells_weights_apart() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    first = weights_hash(model)
    assert first == weights_hash(model.to(memory_format=torch.channels_last))
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1e-6
    assert weights_hash(model) != first
