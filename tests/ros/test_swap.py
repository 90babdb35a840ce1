"""Another network takes over while the node serves, or does not; and the life cycle again and again."""

from __future__ import annotations

import gc
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from live import FakeSegmenter, Live, array_of, expected_mask, picture

from sernet_core.errors import CheckpointError, ConfigError, EngineError
from sernet_core.labels import CITYSCAPES


class Other(FakeSegmenter):
    """Masks of another rule, under the names of another class set."""

    classes = CITYSCAPES

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        answer = super().segment(image, confidence=confidence)
        return SimpleNamespace(mask=answer.mask + 10, confidence=answer.confidence)


class Library:
    """Loads by name; a test holds a loading with `gate`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.loaded: list[tuple[str, str]] = []

    def check(self, model: str) -> None:
        if model == "unknown":
            raise CheckpointError("unknown model 'unknown'")

    def load(self, model: str, *, precision: str, engine: str, **_: Any) -> FakeSegmenter:
        self.gate.wait(60)
        self.loaded.append((model, precision))
        if model == "broken":
            raise CheckpointError("its weights are cut off")
        if model == "cold":
            return Cold().load(model)
        if engine == "tensorrt":
            raise ConfigError("engine tensorrt: torch-tensorrt is not installed")
        if precision == "fp16":
            raise EngineError("fp16 needs a GPU")
        segmenter = (Other() if model == "other" else FakeSegmenter()).load(model)
        segmenter.engine, segmenter.precision = engine, precision
        return segmenter


class Cold(FakeSegmenter):
    def warm_up(self, height: int, width: int) -> None:
        raise MemoryError("no room")


@pytest.fixture
def swapping(live) -> tuple[Live, Library]:
    library = Library()
    one: Live = live(load=library.load, model="first", start=False)
    one.node._check_model = library.check
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    return one, library


def ask(one: Live) -> np.ndarray:
    return array_of(one.ask(picture()))


def test_the_old_network_serves_until_the_new_one_is_ready(swapping) -> None:
    one, library = swapping
    library.gate.clear()
    assert one.set(model="other")[0]
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
    one.until(lambda: "loading another network" in one.statuses["worker"].message, "it is told")
    assert one.values()["model"] == "first"
    accepted, reason = one.set(precision="bf16")
    assert not accepted and "being loaded already" in reason
    library.gate.set()
    one.until(lambda: one.values().get("model") == "other", "it has taken over")
    np.testing.assert_array_equal(ask(one), expected_mask(picture()) + 10)
    names = [entry["class_name"] for entry in one.label_info()["class_map"]]
    assert names == list(CITYSCAPES.names)
    assert one.node.get_parameter("model").value == "other" and not one.crashes


def test_engine_and_precision_are_swapped_together(swapping) -> None:
    one, library = swapping
    assert one.set(engine="openvino", precision="bf16")[0]
    one.until(lambda: one.values().get("engine") == "openvino", "it has taken over")
    assert one.values()["precision"] == "bf16" and one.values()["model"] == "first"
    assert library.loaded == [("first", "auto"), ("first", "bf16")]
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "broken"}, "its weights are cut off"),
        ({"model": "cold"}, "no room"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"engine": "tensorrt"}, "torch-tensorrt is not installed"),
        ({"model": "other", "precision": "bf16"}, "has 11 colours, the masks have 19 classes"),
    ],
)
def test_the_old_network_stays_if_the_new_one_fails(swapping, change: dict[str, Any], words: str) -> None:
    one, _ = swapping
    assert one.set(color_palette=list(range(11)))[0]
    assert one.set(**change)[0]
    one.until(lambda: words in one.statuses["worker"].message, "the reason")
    assert one.statuses["worker"].level == DiagnosticStatus.WARN
    assert "'first' stays" in one.statuses["worker"].message
    one.until(lambda: one.node.get_parameter("model").value == "first", "the parameter is set back")
    assert one.node.get_parameter("precision").value == one.node.get_parameter("engine").value == "auto"
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
    assert one.set(color_palette=[-1])[0] and one.set(model="other")[0]
    one.until(lambda: one.values().get("model") == "other", "the next one takes over")
    one.until(lambda: one.statuses["worker"].level == DiagnosticStatus.OK)


def test_a_model_that_does_not_exist_is_refused_at_once(swapping) -> None:
    one, library = swapping
    accepted, reason = one.set(model="unknown", overlay_alpha=0.1)
    assert not accepted and reason == "unknown model 'unknown'"
    assert one.node.settings.model == "first" and one.node.settings.overlay_alpha == 0.5
    assert library.loaded == [("first", "auto")]


def test_a_swap_is_given_up_by_cleanup(swapping) -> None:
    one, library = swapping
    library.gate.clear()
    assert one.set(model="other")[0]
    assert one.change_state("deactivate") and one.change_state("cleanup")
    library.gate.set()
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    np.testing.assert_array_equal(ask(one), expected_mask(picture()) + 10)


def test_many_lives_leave_nothing_behind(live) -> None:
    """A hundred times through every state, without growth in threads, topics or memory."""
    one: Live = live(overlay=True, publish_confidence=True)
    process = psutil.Process()

    def live_once() -> None:
        assert one.change_state("deactivate") and one.change_state("cleanup")
        assert one.change_state("configure") and one.change_state("activate")

    for _ in range(10):
        live_once()
    gc.collect()
    threads, memory = process.num_threads(), process.memory_info().rss
    topics = sorted(one.node.get_publisher_names_and_types_by_node("sernet_segmenter", one.namespace))
    for _ in range(100):
        live_once()
    gc.collect()
    assert process.num_threads() <= threads
    assert process.memory_info().rss - memory < 20e6
    assert topics == sorted(one.node.get_publisher_names_and_types_by_node("sernet_segmenter", one.namespace))
    one.connect()
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
