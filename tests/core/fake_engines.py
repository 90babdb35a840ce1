"""Engines made for tests, and how they get into the place of the real ones."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from sernet_core.engines import choose, registry
from sernet_core.engines.base import NOT_FINITE, Engine, Segmentation
from sernet_core.engines.eager import Eager
from sernet_core.engines.parity import Parity, compare, street_frames
from sernet_core.errors import EngineError
from sernet_core.runtime import Segmenter

FRAME = street_frames(64, 96, 1)[0]


class Quick(Eager):
    """Eager's masks, sooner: it answers a frame that it has seen from memory."""

    name = "quick"
    built = 0
    gate = threading.Event()

    def __init__(self, source, plan) -> None:
        type(self).built += 1
        assert self.gate.wait(60)
        super().__init__(source, plan)
        self._seen: dict[bytes, Segmentation] = {}

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Segmentation:
        key = image.tobytes()
        if key not in self._seen:
            self._seen[key] = super().segment(image, confidence=confidence)
        return self._seen[key]


class Liar(Quick):
    """Quicker than all, and wrong."""

    name = "liar"

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Segmentation:
        return Segmentation(np.zeros(image.shape[:2], np.uint8))


class Broken(Eager):
    """Cannot be built."""

    name = "broken"

    def __init__(self, source, plan) -> None:
        raise RuntimeError("the boiler burst")


class Weak(Quick):
    """Can be built, and fails when it runs."""

    name = "weak"

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Segmentation:
        raise ValueError("no steam")


class Faint(Quick):
    """Runs for a frame, and fails on the next one."""

    name = "faint"
    error: Exception = EngineError(NOT_FINITE)

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Segmentation:
        if self._seen and image.tobytes() not in self._seen:
            raise self.error
        return super().segment(image, confidence=confidence)


def contend_with(monkeypatch: pytest.MonkeyPatch, *kinds: type[Engine]) -> None:
    """Make these the engines that "auto" compares with eager."""
    Quick.built = 0
    Quick.gate.set()
    for kind in kinds:
        monkeypatch.setitem(registry.ENGINES, kind.name, f"{kind.__module__}:{kind.__name__}")
    monkeypatch.setattr("sernet_core.runtime.CHOICES", ("auto", *registry.ENGINES))
    monkeypatch.setitem(choose.CONTENDERS, "cpu", tuple(kind.name for kind in kinds))


def timed(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Have "auto" compare engines as ever, but with these times: the machine's own would decide at random."""

    def judge(reference: Engine, engines: Mapping[str, Engine], frames: Sequence[np.ndarray]):
        checks = compare(reference, engines, frames)
        return {
            name: dataclasses.replace(found, seconds=seconds[name]) if isinstance(found, Parity) else found
            for name, found in checks.items()
        }

    monkeypatch.setattr(choose, "compare", judge)


def load(model: Path, folder: Path, engine: str = "auto", **settings) -> Segmenter:
    """A Segmenter on the CPU with an engine cache of its own."""
    return Segmenter.load(model, device="cpu", engine=engine, engine_cache_dir=folder, **settings)


def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
