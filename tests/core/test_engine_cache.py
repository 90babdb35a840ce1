"""The engine cache: keyed, whole or absent, checked, and clear about a folder that cannot be written."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from sernet_core.engines import cache as cache_module
from sernet_core.engines.base import Source, missing_packages
from sernet_core.engines.cache import EngineCache, weights_hash
from sernet_core.engines.choose import build as build_engine
from sernet_core.engines.plan import Plan
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
        (folder / "model.bin").write_text("the same, later")

    entry = EngineCache(tmp_path).files("steam", KEY, slow)
    assert (entry / "model.bin").read_text() == "build 1"  # the other one may be reading it
    assert [path.name for path in tmp_path.iterdir()] == [entry.name]


@pytest.mark.parametrize("puts", [False, True])
def test_two_processes_that_update_one_entry(tmp_path: Path, monkeypatch, puts: bool) -> None:
    """The other one moves the old entry away, and perhaps puts its own, between our look and our move."""
    entry = EngineCache(tmp_path).files("steam", KEY, Builder())
    replace, elsewhere = Path.replace, tmp_path / "elsewhere"

    def late(self: Path, target: Path) -> Path:
        if self == entry and not elsewhere.exists():
            replace(entry, elsewhere)
        elif self.name.startswith(".") and puts and not entry.exists():
            (entry / "sub").mkdir(parents=True)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", late)
    assert EngineCache(tmp_path, update=True).files("steam", KEY, Builder()) == entry
    assert (entry / ("sub" if puts else "model.bin")).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", entry.name]


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("says", ["OSError", "RuntimeError"])
def test_a_disk_that_fills_up_during_a_build(tmp_path: Path, monkeypatch, says: str) -> None:
    """It is told as such, also where a library has its own type for it; and the spare folder is tried."""

    def probe(folder: Path) -> None:
        if any(folder.parent.glob(".steam-*/half")) and tmp_path in folder.parents:
            raise full()

    def build(folder: Path) -> None:
        (folder / "half").write_text("half")
        if tmp_path in folder.parents:
            raise full() if says == "OSError" else RuntimeError("basic_ios::clear: iostream error")
        (folder / "model.bin").write_text("whole")

    monkeypatch.setattr(cache_module, "_probe", probe)
    with pytest.raises(ConfigError, match=r"written: No space left.*\. Make room there, name another"):
        EngineCache(tmp_path).files("steam", KEY, build)
    cache = EngineCache(tmp_path, spare=True)
    for _ in range(2):
        file = cache.files("steam", KEY, build) / "model.bin"
        assert file.read_text() == "whole" and tmp_path not in file.parents
    assert "not kept: engine_cache_dir: " in cache.fault and "No space left" in cache.fault
    # What is built later goes there at once.
    built = []
    cache.files("other", KEY, lambda folder: (build(folder), built.append(folder)))
    assert len(built) == 1 and list(tmp_path.iterdir()) == []


def test_a_build_that_fails_with_room_left_fails_as_it_is_and_once(tmp_path: Path) -> None:
    tries = []

    def build(folder: Path) -> None:
        tries.append(folder)
        raise RuntimeError("the boiler burst")

    cache = EngineCache(tmp_path, spare=True)
    with pytest.raises(RuntimeError, match="boiler"):
        cache.files("steam", KEY, build)
    assert len(tries) == 1 and cache.fault == ""


@contextmanager
def short_files() -> Iterator[None]:
    """No file may get longer than 64 KiB in here, which stands for the room on a disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_folder_without_room_is_found_before_the_build(tmp_path: Path) -> None:
    build = Builder()
    with short_files(), pytest.raises(ConfigError, match="cannot be written: File too large"):
        EngineCache(tmp_path).files("steam", KEY, build)
    assert build.calls == 0 and list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)  # tracing takes long on a machine that is busy with other things
def test_a_model_of_openvino_that_does_not_fit_is_an_error_of_the_folder(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO calls that "basic_ios::clear: iostream error", and removes what it has written."""
    if fault := missing_packages(("openvino",)):
        pytest.skip(fault)
    monkeypatch.setattr(cache_module, "ROOM", 0)
    source = Source.load(small_model, EngineCache(tmp_path / "cache"), threads=1)
    with short_files(), pytest.raises(ConfigError, match=r"cannot be written: OpenVINO .*\. Make room there"):
        build_engine("openvino", source, Plan((64, 96), (64, 96), 16))


def test_what_killed_processes_left_goes_after_a_day(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    entry = cache.files("steam", KEY, Builder())
    names = {
        "old build": f".{entry.name}.k2_4abcd",
        "new build": f".{entry.name}.zzzzzzzz",
        "somebody else's": ".config.abcdefgh",
    }
    for what, name in names.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("half")
        if what != "new build":
            os.utime(tmp_path / name, (0, time.time() - 2 * 86400))
    os.utime(entry, (0, 0))
    other = cache.files("other", KEY, Builder())
    assert {path.name for path in tmp_path.iterdir()} == {
        entry.name,
        other.name,
        names["new build"],
        names["somebody else's"],
    }


def test_a_killed_build_leaves_what_is_known_as_a_leftover(tmp_path: Path) -> None:
    """As long as the names are ours: the folder is the user's, and may hold anything."""
    seen = []
    cache = EngineCache(tmp_path, update=True)
    for _ in range(2):
        cache.files("steam", KEY, lambda folder: seen.append(folder.name))
    assert seen and all(cache_module.LEFTOVER.fullmatch(name) for name in seen)


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
