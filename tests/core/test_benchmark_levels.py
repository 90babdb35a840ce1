"""What the benchmark times: each level, and the pipeline of the tutorials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sernet_core.benchmark import cases
from sernet_core.benchmark.cases import PARTS, levels_of, tutorial
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.choose import build
from sernet_core.engines.eager import Eager
from sernet_core.engines.parity import street_frames
from sernet_core.engines.plan import Plan
from sernet_core.labels import overlay


def test_tutorial_pipeline_gives_the_same_overlay(small_model: Path) -> None:
    source = Source.load(small_model, EngineCache(Path("unused")))
    plan = Plan((64, 96), (64, 96), 16)
    frames = street_frames(64, 96, 1)
    mask = build("eager", source, plan).segment(frames[0]).mask
    wanted = overlay(frames[0], mask, source.info.classes, 0.5)
    found = tutorial(source, plan, frames)(0)
    assert np.mean(np.abs(found.astype(int) - wanted).max(-1) <= 1) > 0.999


class OneLaunch(Eager):
    """Frame and mask are one launch, which cannot be taken apart."""

    def segment_batch(self, images, *, confidence: bool = False):
        return super().segment_batch(images, confidence=confidence)


def test_what_is_one_launch_has_no_parts(small_model: Path) -> None:
    source, frames = Source.load(small_model, EngineCache(Path("unused"))), street_frames(64, 96, 1)
    plan = Plan((64, 96), (64, 96), 16)
    assert set(PARTS) <= levels_of(Eager(source, plan), source.info.classes, frames).keys()
    assert not set(PARTS) & levels_of(OneLaunch(source, plan), source.info.classes, frames).keys()


def test_levels_are_over_when_the_device_has_done_them(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    monkeypatch.setattr(cases, "settle", waited.append)
    source, frames = Source.load(small_model, EngineCache(Path("unused"))), street_frames(64, 96, 1)
    tasks = levels_of(Eager(source, Plan((64, 96), (64, 96), 16)), source.info.classes, frames, "cuda:0")
    tasks["network"](0)
    assert waited == ["cuda:0"]
