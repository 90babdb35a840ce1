"""What a run refuses before its first step, and what it survives later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_run import SMALL, Frames, noise_frames

from sernet_core import checkpoint
from sernet_core.checkpoint import load_checkpoint, read_info
from sernet_core.datasets import Sample
from sernet_core.errors import CheckpointError, ConfigError, InputError
from sernet_core.labels import CAMVID, IGNORE, ClassSet
from sernet_core.network import NetworkConfig
from sernet_core.storage import write_atomically
from sernet_core.train import log, loop, train, validate
from sernet_core.train.extra import Extra
from sernet_core.train.state import TrainingNetwork

pytestmark = pytest.mark.usefixtures("slim")

OTHERS = ClassSet("others", (*CAMVID.names[:10], "Cyclist"), CAMVID.palette)
PLAIN = replace(SMALL, synthetic_share=0.0)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry a forward pass of the network in training."""
    forward, found = TrainingNetwork.forward, []

    def counted(self: TrainingNetwork, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        found.append(len(found))
        return forward(self, image)

    monkeypatch.setattr(TrainingNetwork, "forward", counted)
    return found


def test_classes_must_fit(tmp_path: Path) -> None:
    one = ClassSet("one", ("a",), ((1, 2, 3),))
    with pytest.raises(ConfigError, match="11 classes"):
        train(SMALL, Frames(noise_frames(2), classes=one), [], tmp_path, workers=0)


def test_scenes_are_not_mixed_with_other_classes(tmp_path: Path) -> None:
    dataset = Frames(noise_frames(2), classes=OTHERS)
    with pytest.raises(ConfigError, match=r"others: id 10 is Cyclist in others and Bicyclist in camvid"):
        train(SMALL, dataset, [], tmp_path, workers=0)
    assert train(replace(PLAIN, steps=1), dataset, [], tmp_path, workers=0)


def test_another_network_is_no_start(tmp_path: Path) -> None:
    first = replace(PLAIN, steps=1)
    train(first, Frames(noise_frames(2)), [], tmp_path / "first", workers=0)
    start = load_checkpoint(tmp_path / "first/model.safetensors")
    deeper = replace(first, network=NetworkConfig(depth=34))
    with pytest.raises(ConfigError, match="has another encoder"):
        train(deeper, Frames(noise_frames(2)), [], tmp_path / "third", start=start, workers=0)


@pytest.mark.parametrize(
    ("parts", "given", "words"),
    [
        (["encodr"], "start", "freeze: unknown part of the network .encodr.*Did you mean .encoder."),
        (
            ["afn1", "encoder"],
            "encoder",
            "freeze: afn1 would stay as random as it begins; start from a model",
        ),
        (["encoder"], "", r"start from a model \(--from or --encoder\)"),
        (["encoder", "context", "afn1", "afn2", "head"], "start", "none is left to learn"),
        (
            ["encoder", "head"],
            "start of other classes",
            "freeze: head would stay as random as it begins, for want",
        ),
        (["encoder", "afn2"], "start without a lateral", "freeze: afn2 would stay as random"),
    ],
)
def test_what_cannot_be_frozen_is_named(tmp_path: Path, parts: list[str], given: str, words: str) -> None:
    recipe, start = replace(PLAIN, steps=1), None
    if given.startswith("start"):
        train(recipe, Frames(noise_frames(2)), [], tmp_path / "first", workers=0)
        start = load_checkpoint(tmp_path / "first/model.safetensors")
    if given.endswith("lateral"):
        recipe = replace(recipe, network=replace(recipe.network, lateral="context"))
    recipe = replace(recipe, freeze=tuple(parts))
    frames = Frames(noise_frames(2), classes=OTHERS if given.endswith("classes") else CAMVID)
    encoder = tmp_path / "weights" if given == "encoder" else None
    with pytest.raises(ConfigError, match=words):
        train(recipe, frames, [], tmp_path / "run", start=start, encoder=encoder, workers=0)
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_read_leave_no_folder(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no weights")
    with pytest.raises(CheckpointError, match=r"text.png: cannot read ImageNet weights"):
        train(PLAIN, Frames(noise_frames(2)), [], tmp_path / "run", encoder=tmp_path / "text.png", workers=0)
    assert not (tmp_path / "run").exists()


def _bare(sample: Sample) -> Sample:
    return replace(sample, label=None)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (Frames(noise_frames(2, "v"), classes=OTHERS), "Cyclist in others"),
        (
            Frames(noise_frames(2)),
            "2 of 2 frames are in the training list .*: where these are different pictures",
        ),
        (Frames([_bare(sample) for sample in noise_frames(2, "v")]), "v0 has no ground truth to score"),
    ],
    ids=["classes", "overlap", "labels"],
)
def test_unfit_validation_is_found_before_the_first_step(
    validation: Frames, message: str, tmp_path: Path, steps: list[int]
) -> None:
    fit = Frames(noise_frames(2, "w"))
    with pytest.raises(InputError, match=message):
        train(PLAIN, Frames(noise_frames(2)), [fit, validation], tmp_path, workers=0)
    assert not steps


@pytest.mark.parametrize(("option", "words"), [
    ("extra", r"the model to be trained \(by --extra second\)"),
    ("extra_model", r"the model that masks second \(--extra-model model.safetensors\)"),
    ("start", r"the model to start from \(--from model.safetensors\)"),
    ("teacher", r"the teacher \(--teacher model.safetensors\)"),
])  # fmt: skip
def test_what_has_seen_a_split_is_named_before_anything_is_made(
    option: str, words: str, tmp_path: Path
) -> None:
    train(replace(PLAIN, steps=1), Frames(noise_frames(2, "m")), [], tmp_path / "model", workers=0)
    model = tmp_path / "model/model.safetensors"
    second = Frames(noise_frames(2, "e"), "second")
    given: dict[str, Any] = {
        "extra": {"extra": Extra(second)},
        "extra_model": {"extra": Extra(second, model)},
        "start": {"start": load_checkpoint(model)},
        "teacher": {"teacher": load_checkpoint(model)},
    }[option]
    split = Frames(noise_frames(2, "e" if option == "extra" else "m"), "held")
    recipe = replace(PLAIN, extra_share=0.5 if "extra" in given else 0.0)
    with pytest.raises(InputError, match=f"held: 2 of 2 frames are in the training list of {words}, "):
        train(recipe, Frames(noise_frames(2)), [split], tmp_path / "run", **given, workers=0)
    assert not (tmp_path / "run").exists()


def test_frames_without_ground_truth_are_found_before_the_first_step(
    tmp_path: Path, steps: list[int]
) -> None:
    samples = noise_frames(3)
    with pytest.raises(InputError, match="n2 has no ground truth to train on"):
        train(PLAIN, Frames([*samples[:2], _bare(samples[2])]), [], tmp_path, workers=0)
    assert not steps


class _BreaksOff(Frames):
    """Its second frame cannot be read any more when it is to be scored."""

    looks = 0

    def __iter__(self) -> Iterator[Sample]:
        self.looks += 1
        yield self.samples[0]
        if self.looks > 1:
            raise InputError("v1.png: not an image")
        yield self.samples[1]


def test_a_bad_frame_to_score_is_found_before_the_first_step(tmp_path: Path, steps: list[int]) -> None:
    samples = noise_frames(3, "v")
    with pytest.raises(InputError, match="v2 has no ground truth to score against"):
        train(
            PLAIN, Frames(noise_frames(2)), [Frames([*samples[:2], _bare(samples[2])])], tmp_path, workers=0
        )
    broken = _BreaksOff(samples)
    broken.looks = 1
    with pytest.raises(InputError, match=r"v1\.png: not an image"):
        train(PLAIN, Frames(noise_frames(2)), [broken], tmp_path, workers=0)
    assert not steps and not list(tmp_path.iterdir())


def test_frames_without_a_labelled_pixel_teach_nothing(
    tmp_path: Path, steps: list[int], capsys: pytest.CaptureFixture
) -> None:
    void = Frames([replace(one, label=np.full_like(one.label, IGNORE)) for one in noise_frames(2)])
    with pytest.raises(InputError, match="memory: no pixel is labelled"):
        train(PLAIN, void, [], tmp_path, workers=0)
    extra = replace(PLAIN, extra_share=0.5)
    second = Extra(Frames([replace(one, stem=f"e{one.stem}") for one in void.samples], "second"))
    with pytest.raises(InputError, match="second: no pixel is labelled"):
        train(extra, Frames(noise_frames(2)), [], tmp_path, extra=second, workers=0)
    assert not steps
    train(replace(PLAIN, steps=1), Frames(noise_frames(2)), [], tmp_path, workers=0)
    assert "warning: memory has no pixel of Building, Pole, Pavement, Tree, " in capsys.readouterr().out


def test_a_finished_run_writes_its_model_again(tmp_path: Path) -> None:
    def run() -> bool:
        return train(PLAIN, Frames(noise_frames(2)), [Frames(noise_frames(2, "v"))], tmp_path, workers=0)

    assert run()
    model, history = tmp_path / "model.safetensors", (tmp_path / "history.csv").read_text()
    before = load_file(model)
    model.unlink()
    assert run()
    assert all(torch.equal(value, before[key]) for key, value in load_file(model).items())
    assert read_info(model).metrics["memory"]["miou"] is not None
    assert (tmp_path / "history.csv").read_text() == history


@pytest.mark.parametrize(
    "damage",
    [
        {"progress": "{}"},
        {"progress": "[]"},
        {"progress": '{"history": [1], "losses": []}'},
        {"identity": "[]"},
        {"step": "-1"},
        {"step": "99"},
    ],
    ids=str,
)
def test_a_damaged_state_cannot_be_resumed_from(damage: dict[str, str], tmp_path: Path) -> None:
    recipe = replace(PLAIN, steps=1)
    train(recipe, Frames(noise_frames(2)), [], tmp_path, workers=0)
    state = tmp_path / "state.safetensors"
    with safe_open(state, "pt") as file:
        metadata = file.metadata() | damage
    save_file(load_file(state), state, metadata)
    with pytest.raises(CheckpointError, match=r"cannot be resumed from|belongs to a run with another"):
        train(recipe, Frames(noise_frames(2)), [], tmp_path, workers=0)


def test_nothing_is_lost_when_a_validation_fails(tmp_path: Path, steps: list[int]) -> None:
    """Step 3 is validated; its second frame is broken; the next start validates and goes on."""
    good = noise_frames(2, "v")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(PLAIN, Frames(noise_frames(2)), [Frames(good)], whole, workers=0)
    del steps[:]
    with pytest.raises(InputError, match=r"v1\.png: not an image"):
        train(PLAIN, Frames(noise_frames(2)), [_BreaksOff(good)], broken, workers=0)
    assert len(steps) == 3 and {path.name for path in broken.iterdir()} == {"state.safetensors"}
    assert train(PLAIN, Frames(noise_frames(2)), [Frames(good)], broken, workers=0)
    assert len(steps) == 6
    _assert_same(whole, broken)


def _assert_same(one: Path, two: Path) -> None:
    for name in ("state", "model"):
        first, second = (load_file(folder / f"{name}.safetensors") for folder in (one, two))
        assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert (one / "history.csv").read_text() == (two / "history.csv").read_text()


class _StopsRun(Frames):
    """Sets the run's stop when its first frame has been scored, as Ctrl-C in a validation would."""

    event: threading.Event
    looks = 0

    def __iter__(self) -> Iterator[Sample]:
        self.looks += 1
        if self.looks == 1:  # before the first step
            yield from self.samples
            return
        yield self.samples[0]
        self.event.set()
        yield self.samples[1]
        raise AssertionError("the validation went on")


@pytest.mark.parametrize(("precision", "steps"), [("fp32", 3), ("bf16", 4)], ids=["fp32 last", "bf16 midway"])
def test_stopped_in_a_validation_and_resumed(
    precision: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(PLAIN, precision=precision, steps=steps)
    good = noise_frames(3, "v")
    event = threading.Event()
    stopping = _StopsRun(good)
    stopping.event = event
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(recipe, Frames(noise_frames(2)), [Frames(good)], whole, workers=0)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "stop_on_signal", lambda: _Given(event))
        assert not train(recipe, Frames(noise_frames(2)), [stopping], broken, workers=0)
    assert {path.name for path in broken.iterdir()} == {"state.safetensors"}
    assert train(recipe, Frames(noise_frames(2)), [Frames(good)], broken, workers=0)
    _assert_same(whole, broken)


class _Given:
    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __enter__(self) -> threading.Event:
        return self.event

    def __exit__(self, *_: object) -> None:
        pass


def test_the_model_is_written_once_with_its_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def watched(path: Path, write) -> None:  # type: ignore[no-untyped-def]
        written.append(path.name)
        write_atomically(path, write)

    monkeypatch.setattr(checkpoint, "write_atomically", watched)
    train(
        replace(PLAIN, steps=3), Frames(noise_frames(2)), [Frames(noise_frames(2, "v"))], tmp_path, workers=0
    )
    assert written.count("model.safetensors") == 1
    scores = read_info(tmp_path / "model.safetensors").metrics["memory"]
    assert scores["precision"] == "fp32" and scores["input_size"] == [96, 64]
    assert {"miou", "iou", "pixel_accuracy"} <= scores.keys()


def test_the_best_model_is_kept_beside_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([40.0, 60.0, 50.0])

    class Matrix:
        def __init__(self) -> None:
            self.miou = next(scores)

        def summary(self) -> dict[str, float]:
            return {"miou": self.miou}

    monkeypatch.setattr(validate, "evaluate", lambda *_, **__: Matrix())
    run = replace(PLAIN, steps=3, validate_every=1)
    train(run, Frames(noise_frames(2)), [Frames(noise_frames(2, "v"))], tmp_path, workers=0)
    best, last = (read_info(tmp_path / name) for name in ("best.safetensors", "model.safetensors"))
    assert (best.recipe["step"], best.metrics["memory"]["miou"]) == (2, 60.0)
    assert (last.recipe["step"], last.metrics["memory"]["miou"]) == (3, 50.0)


def test_a_split_without_a_labelled_pixel_has_no_best_model(tmp_path: Path) -> None:
    void = [replace(one, label=np.full_like(one.label, IGNORE)) for one in noise_frames(1, "v")]
    run = replace(PLAIN, steps=2, validate_every=1)
    assert train(run, Frames(noise_frames(2)), [Frames(void)], tmp_path, workers=0)
    assert read_info(tmp_path / "model.safetensors").metrics["memory"]["miou"] is None
    assert not (tmp_path / "best.safetensors").exists()


def test_a_run_outlives_a_history_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(path: Path, _write: object) -> None:
        raise InputError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr(log, "write_atomically", full)
    assert train(replace(PLAIN, steps=1), Frames(noise_frames(2)), [], tmp_path, workers=0)
    assert "warning: " in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"state.safetensors", "model.safetensors", "samples"}


def test_scenes_alone_leave_no_claim_of_a_data_set(tmp_path: Path) -> None:
    recipe = replace(SMALL, steps=1, synthetic_share=1.0)
    train(recipe, Frames(noise_frames(2)), [], tmp_path, workers=0)
    data = read_info(tmp_path / "model.safetensors").data
    assert data["train"] is None and data["stems"] == [] and data["class_weights"] == "memory"
    assert not (tmp_path / "samples").exists()
    with pytest.raises(CheckpointError, match="another recipe, data set"):
        train(recipe, Frames(noise_frames(2), name="other"), [], tmp_path, workers=0)
