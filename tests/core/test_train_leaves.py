"""What a run leaves on its way: sheets of masks, events, the best model; and the frames that fail it."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_run import SMALL, Frames, noise_frames

from sernet_core.checkpoint import load_checkpoint, read_info, save_checkpoint
from sernet_core.datasets import Sample
from sernet_core.errors import InputError
from sernet_core.media import read_unchanged
from sernet_core.train import loop, train

pytestmark = pytest.mark.usefixtures("slim")

PLAIN = replace(SMALL, synthetic_share=0.0, steps=1)


def test_samples_of_each_validation(tmp_path: Path) -> None:
    val = Frames(noise_frames(6, "v"), "street/val")
    train(replace(PLAIN, steps=4, validate_every=2), Frames(noise_frames(2)), [val], tmp_path, workers=0)
    names = {"street-val-000002.png", "street-val-000004.png"}
    assert {path.name for path in (tmp_path / "samples").iterdir()} == names
    assert read_unchanged(tmp_path / "samples/street-val-000002.png").shape[1] > 1000


def test_a_run_of_which_nothing_is_scored_shows_frames_of_its_own(tmp_path: Path) -> None:
    train(replace(PLAIN, steps=2, validate_every=1), Frames(noise_frames(2)), [], tmp_path, workers=0)
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert names == {"memory-000001.png", "memory-000002.png"}


class _Writer:
    """Stands in for TensorBoard's writer."""

    made: list[_Writer]

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.scalars: list[tuple[str, float, int]] = []
        self.closed = False
        _Writer.made.append(self)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars.append((tag, value, step))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def tensorboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Writer]]:
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = _Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    _Writer.made = []
    yield _Writer


def test_events_for_tensorboard_where_it_is_installed(tensorboard: type[_Writer], tmp_path: Path) -> None:
    val = Frames(noise_frames(2, "v"), "street/val")
    recipe = replace(PLAIN, steps=4, validate_every=2)
    train(recipe, Frames(noise_frames(2)), [val], tmp_path, workers=0)
    (writer,) = tensorboard.made
    assert writer.closed and writer.folder == str(tmp_path / "events") and writer.purge_step == 1
    assert [(tag, step) for tag, _, step in writer.scalars] == [
        (tag, step) for step in (2, 4) for tag in ("loss", "rate", "miou/street/val")
    ]
    rates = {step: value for tag, value, step in writer.scalars if tag == "rate"}
    assert rates[4] == pytest.approx(recipe.rate * recipe.rate_factor(3))


def test_tensorboard_reads_the_events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard")
    recipe = replace(PLAIN, steps=4, validate_every=2)
    train(recipe, Frames(noise_frames(2)), [Frames(noise_frames(2, "v"), "street/val")], tmp_path, workers=0)
    found = events.EventAccumulator(str(tmp_path / "events")).Reload()
    assert set(found.Tags()["scalars"]) == {"loss", "rate", "miou/street/val"}
    scores = [(event.step, event.value) for event in found.Scalars("miou/street/val")]
    assert [step for step, _ in scores] == [2, 4]
    kept = read_info(tmp_path / "model.safetensors").metrics["street/val"]["miou"]
    assert scores[-1][1] == pytest.approx(kept, abs=1e-3)


def test_no_tensorboard_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(PLAIN, Frames(noise_frames(2)), [], tmp_path, workers=0)
    assert (tmp_path / "history.csv").is_file() and not (tmp_path / "events").exists()


def test_masks_are_drawn_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a run has begun and before its first score, and the weights do not feel it."""
    recipe = replace(PLAIN, steps=3, validate_every=3)
    dataset, split = Frames(noise_frames(2)), Frames(noise_frames(2, "v"), "held")
    assert train(recipe, dataset, [split], tmp_path / "late", workers=0)
    monkeypatch.setattr(loop, "EARLY", 1)
    assert train(recipe, dataset, [split], tmp_path / "early", workers=0)
    sheets = [
        sorted(path.name for path in (tmp_path / run / "samples").iterdir()) for run in ("late", "early")
    ]
    assert sheets == [["held-000003.png"], ["held-000001.png", "held-000003.png"]]
    late, early = (load_file(tmp_path / run / "state.safetensors") for run in ("late", "early"))
    assert all(torch.equal(value, early[key]) for key, value in late.items())


def test_early_masks_are_not_worth_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(loop, "EARLY", 1)
    recipe = replace(PLAIN, steps=3, validate_every=3)
    split = _BreaksOnce(noise_frames(2, "v"), "held")
    assert train(recipe, Frames(noise_frames(2)), [split], tmp_path, workers=0)
    assert "warning: no early masks: v1.png: not an image" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["held-000003.png"]


class _BreaksOnce(Frames):
    """Its second frame cannot be read the first time that it is asked for by number."""

    def __getitem__(self, index: int) -> Sample:
        if index == 1 and self.stems[1] not in self.asked:
            self.asked.append(self.stems[1])
            raise InputError("v1.png: not an image")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_breaks_in_a_worker_is_named_as_ever(workers: int, tmp_path: Path) -> None:
    frames = _Breaks(noise_frames(2))
    with pytest.raises(InputError) as error:
        train(PLAIN, frames, [], tmp_path, workers=workers)
    assert str(error.value) == "n0.png: gone"


class _Breaks(Frames):
    """No frame of it can be read by number, as where a folder went away in the middle of a run."""

    def __getitem__(self, index: int) -> Sample:
        raise InputError("n0.png: gone")


def test_the_best_model_is_of_this_run(tmp_path: Path) -> None:
    """Not of one that was in the folder before, and was better or had fewer steps behind it."""
    recipe = replace(PLAIN, steps=2, validate_every=1)
    frames, split = Frames(noise_frames(2)), Frames(noise_frames(2, "v"), "held")
    assert train(recipe, frames, [split], tmp_path, workers=0)
    best, score = tmp_path / "best.safetensors", {"miou": 99.0}
    kept = load_checkpoint(best)
    info = replace(kept.info, metrics={"held": score}, recipe={**kept.info.recipe, "step": 0})
    older = {key: value for key, value in info.data.items() if key != "labels_sha256"}
    unknown = {key: value for key, value in info.recipe.items() if key != "region_weight"}
    for changes, stays in (
        ({}, True),
        ({"data": older, "recipe": unknown}, True),  # of an older version
        ({"data": {**info.data, "labels_sha256": "of other labels"}}, False),
        ({"recipe": {**info.recipe, "rate": 0.5}}, False),
        ({"recipe": {**info.recipe, "step": 2}}, False),
    ):
        save_checkpoint(best, kept.network, replace(info, **changes))
        (tmp_path / "state.safetensors").unlink()
        assert train(recipe, frames, [split], tmp_path, workers=0)
        assert (read_info(best).metrics["held"] == score) == stays, changes
