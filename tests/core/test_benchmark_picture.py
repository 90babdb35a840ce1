"""The benchmark's picture: accuracy against latency, each model at the size and precision of its score."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sernet_core.benchmark import memory, picture
from sernet_core.benchmark import run as module
from sernet_core.benchmark.picture import Score, scores_of
from sernet_core.benchmark.run import run
from sernet_core.benchmark.settings import Settings
from sernet_core.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from sernet_core.errors import ConfigError
from sernet_core.labels import CAMVID
from sernet_core.network import build_network
from sernet_core.peers.registry import PeerConfig


def scored(path: Path, model: Path, score: dict) -> Path:
    """A copy of a model that states a score on real frames."""
    checkpoint = load_checkpoint(model)
    info = dataclasses.replace(
        checkpoint.info, metrics={"camvid/val": score, "synthetic/val": {"miou": 99.0}}
    )
    path.parent.mkdir(exist_ok=True)
    save_checkpoint(path, checkpoint.network, info)
    return path


def test_picture_times_each_model_at_the_size_of_its_score(small_model: Path, tmp_path: Path) -> None:
    one = scored(tmp_path / "one" / "model.safetensors", small_model, {"miou": 61.5, "input_size": [80, 64]})
    two = scored(tmp_path / "two" / "model.safetensors", small_model, {"miou": 62.5, "input_size": [96, 80]})
    silent = scored(tmp_path / "silent.safetensors", small_model, {"miou": 63.5})
    peer = tmp_path / "peer.safetensors"  # as `sernet ablate --rows peers` leaves one
    metrics = {"camvid/val": {"miou": 59.0, "input_size": [64, 64], "precision": "fp32"}}
    config = PeerConfig("unet-r18")
    save_checkpoint(peer, build_network(config), CheckpointInfo(config, CAMVID, (96, 64), metrics=metrics))
    models = (str(one), str(two), str(silent), str(small_model), str(peer))
    settings = Settings(models, ("eager:bf16",), ((64, 64),), "source", "cpu", 1, 1)
    report = run(settings, tmp_path / "out", quiet=True)
    # bf16 was not scored.
    assert [(r["model"], r["width"], r["height"], r["asked"]) for r in report["picture"]] == [
        ("one/model", 80, 64, "eager"),
        ("two/model", 96, 80, "eager"),
        ("peer", 64, 64, "eager"),
    ]
    assert all(row["runs"] == 1 and row["median_ms"] > 0 for row in report["picture"])
    page = (tmp_path / "out" / "benchmark.html").read_text()
    _, _, section = page.partition("Accuracy against latency")
    section, _, _ = section.partition("<h2>64x64")
    assert section.count("<circle") == 3 and "one/model, eager fp32" in section and "62.50" in section
    assert "do not state at which size they were scored: silent fp32." in section
    assert "state no accuracy on real frames: small." in section and "synthetic" not in section


def interrupted_before_the_picture(settings: Settings, out: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "picture_entries", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(settings, out, quiet=True)


def test_scores_are_those_of_the_result(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the models state by the time that the picture is made."""
    model = scored(tmp_path / "one.safetensors", small_model, {"miou": 61.5, "input_size": [80, 64]})
    settings = Settings((str(model),), ("eager:bf16",), ((64, 64),), "source", "cpu", 1, 1)
    interrupted_before_the_picture(settings, tmp_path / "out")
    scores = {"fp32": Score("camvid/val", 71.5, (80, 64)), "bf16": Score("camvid/val", 71.0, (80, 64))}
    monkeypatch.setattr(module, "scores_of", lambda _: scores)
    report = run(settings, tmp_path / "out", quiet=True)
    assert [(row["width"], row["precision"]) for row in report["picture"]] == [(80, "fp32")]
    page = (tmp_path / "out" / "benchmark.html").read_text()
    assert "61.50" in page and "71.50" not in page


def test_a_fault_of_the_page_loses_no_measurement(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = scored(tmp_path / "one.safetensors", small_model, {"miou": 61.5, "input_size": [80, 64]})
    settings = Settings((str(model),), (), ((64, 64),), "source", "cpu", 1, 1)

    def broken(report: dict) -> str:
        if report["picture"] is not None:
            raise KeyError("int8")
        return "a page"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "render", broken)
        with pytest.raises(KeyError):
            run(settings, tmp_path / "out", quiet=True)
    kept = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert [row["width"] for row in kept["picture"]] == [80]
    monkeypatch.setattr(module, "interleave", lambda *_, **__: pytest.fail("it was measured again"))
    assert run(settings, tmp_path / "out", quiet=True) == kept
    assert "61.50" in (tmp_path / "out" / "benchmark.html").read_text()


def test_what_fails_in_the_picture_costs_no_other(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(engine, frames):
        def work(number: int) -> None:
            if engine.plan.frame == (64, 80):
                raise MemoryError("no room")

        return work

    monkeypatch.setattr(picture, "_task", task)
    one = scored(tmp_path / "one.safetensors", small_model, {"miou": 61.5, "input_size": [80, 64]})
    two = scored(tmp_path / "two.safetensors", small_model, {"miou": 62.5, "input_size": [96, 80]})
    settings = Settings((str(one), str(two)), (), ((64, 64),), "source", "cpu", 1, 1)
    report = run(settings, tmp_path / "out", quiet=True)
    assert [row["model"] for row in report["picture"]] == ["two"]
    assert report["faults"] == {
        "one eager fp32 mask, picture": "failed while it was timed: MemoryError: no room"
    }


def test_memory_is_looked_at_for_the_picture_too(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sizes are those of the scores; and it may be all that is still to be made."""
    score = {"miou": 61.5, "input_size": [960, 720]}
    model = scored(tmp_path / "one.safetensors", small_model, score)
    settings = Settings((str(model),), (), ((64, 64),), "source", "cpu", 1, 1)
    assert memory.needed_by_picture([("one", (960, 720)), ("one", (80, 64))], {"one": 1000}) == (
        memory.BYTES_A_PIXEL * (960 * 720 + 80 * 64) + 2 * memory.BYTES_A_PARAMETER * 1000
    )
    parameters = sum(value.numel() for value in load_checkpoint(model).network.parameters())
    small = memory.needed(settings, {"one": parameters}, ())
    large = memory.needed_by_picture([("one", (960, 720))], {"one": parameters})
    assert small < large
    words = "for the picture, which has each model at the size of its score.*fewer --engines or --model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "available", lambda: (small + large) / 2)
        patch.setattr(module, "gather", lambda *_: pytest.fail("something was built"))
        with pytest.raises(ConfigError, match=words):
            run(settings, tmp_path / "out", quiet=True)
    interrupted_before_the_picture(settings, tmp_path / "out")
    monkeypatch.setattr(module, "picture_entries", lambda *_: [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "available", lambda: (small + large) / 2)
        with pytest.raises(ConfigError, match=words):
            run(settings, tmp_path / "out", quiet=True)
    assert run(settings, tmp_path / "out", quiet=True)["picture"] == []
    monkeypatch.setattr(memory, "available", lambda: -1.0)
    run(settings, tmp_path / "out", quiet=True)  # nothing is ahead


def test_shipped_models_are_in_the_picture() -> None:
    scores = {name: scores_of(name) for name in ("sernet-r29-camvid", "sernet-r50-camvid")}
    assert scores["sernet-r29-camvid"].keys() == {"fp32", "int8"} and "fp32" in scores["sernet-r50-camvid"]
    assert all(score.size and score.miou > 50 for each in scores.values() for score in each.values())


def test_picture_has_int8_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine of the run in each scored precision, and int8 besides."""
    monkeypatch.setattr(picture, "contenders", lambda *_: ["openvino"])
    settings = Settings(("a",), ("openvino", "eager:bf16", "auto"), ((64, 64),), "source", "cpu", 1, 1)
    assert picture._engines(settings, "fp32") == ["eager", "openvino", "auto"]
    assert picture._engines(settings, "int8") == ["auto", "openvino:int8"]
    monkeypatch.setattr(picture, "contenders", lambda *_: [])
    assert picture._engines(settings, "int8") == ["auto"]
