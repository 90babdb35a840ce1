"""Another network takes over while the node serves, or does not; and the life cycle again and again."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from live import PATIENCE, FakeSegmenter, Live, array_of, expected_mask, picture
from pictures import write_png

from sernet_core.errors import CheckpointError, ConfigError, EngineError
from sernet_core.labels import CAMVID, CITYSCAPES, ClassSet


class Other(FakeSegmenter):
    """Masks of another rule, under the names of another class set."""

    classes = CITYSCAPES

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        answer = super().segment(image, confidence=confidence)
        return SimpleNamespace(mask=answer.mask + 10, confidence=answer.confidence)


class Cold(FakeSegmenter):
    def warm_up(self, height: int, width: int, *, guess: bool = False) -> None:
        raise MemoryError("no room")


class Stubborn(FakeSegmenter):
    def prepare(self, height: int, width: int) -> None:
        raise EngineError("engine openvino could not be built: no such layer")


class Building(FakeSegmenter):
    """Builds until it is closed."""

    ended = False

    def __init__(self) -> None:
        super().__init__()
        self._closing = threading.Event()

    def prepare(self, height: int, width: int) -> None:
        super().prepare(height, width)
        self.ended = self._closing.wait(2 * PATIENCE)
        raise EngineError("the segmenter is closed")

    def close(self) -> None:
        super().close()
        self._closing.set()


class Slow(FakeSegmenter):
    """Is warm when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.heat = threading.Event()

    def warm_up(self, height: int, width: int, *, guess: bool = False) -> None:
        self.heat.wait(2 * PATIENCE)
        super().warm_up(height, width, guess=guess)


KINDS = {
    "other": Other,
    "auto": Other,
    "cold": Cold,
    "stubborn": Stubborn,
    "building": Building,
    "slow": Slow,
}


class Library:
    """Loads by name; a test holds a loading with `gate`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.loaded: list[tuple[str, str]] = []
        self.made: list[FakeSegmenter] = []

    def classes_of(self, model: str) -> ClassSet | None:
        if model == "unknown":
            raise CheckpointError("unknown model 'unknown'")
        if model == "auto":
            return None
        return CITYSCAPES if model == "other" else CAMVID

    def load(self, model: str, *, precision: str, engine: str, **_: Any) -> FakeSegmenter:
        self.gate.wait(60)
        self.loaded.append((model, precision))
        if model == "broken":
            raise CheckpointError("its weights are cut off")
        if engine == "tensorrt":
            raise ConfigError("engine tensorrt: torch-tensorrt is not installed")
        if precision == "fp16":
            raise EngineError("fp16 needs a GPU")
        segmenter = KINDS.get(model, FakeSegmenter)().load(model)
        segmenter.engine, segmenter.precision = engine, precision
        self.made.append(segmenter)
        return segmenter


@pytest.fixture
def swapping(live) -> tuple[Live, Library]:
    library = Library()
    one: Live = live(load=library.load, model="first", start=False)
    one.node._classes_of = library.classes_of
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
    assert one.set(model="other", overlay_alpha=0.25)[0], "as from a file with all parameters"
    assert one.enable(False).success
    one.until(lambda: one.values()["enabled"] == "false", "off")
    assert one.enable(True).success
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
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
        ({"model": "stubborn"}, "no such layer"),
        ({"model": "auto", "precision": "bf16"}, "has 11 colours, the masks have 19 classes"),
    ],
)
def test_the_old_network_stays_if_the_new_one_fails(swapping, change: dict[str, Any], words: str) -> None:
    one, library = swapping
    assert one.set(color_palette=list(range(11)))[0]
    assert one.set(**change)[0]
    one.until(lambda: words in one.statuses["worker"].message, "the reason")
    assert one.statuses["worker"].level == DiagnosticStatus.WARN
    assert "'first' stays" in one.statuses["worker"].message
    one.until(lambda: one.node.get_parameter("model").value == "first", "the parameter is set back")
    assert one.node.get_parameter("precision").value == one.node.get_parameter("engine").value == "auto"
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
    assert [segmenter.closed for segmenter in library.made] == [False, *[True] * (len(library.made) - 1)]
    assert one.set(color_palette=[-1])[0] and one.set(model="other")[0]
    one.until(lambda: one.values().get("model") == "other", "the next one takes over")
    one.until(lambda: one.statuses["worker"].level == DiagnosticStatus.OK)


def test_a_model_that_does_not_exist_is_refused_at_once(swapping) -> None:
    one, library = swapping
    accepted, reason = one.set(model="unknown", overlay_alpha=0.1)
    assert not accepted and reason == "unknown model 'unknown'"
    assert one.node.settings.model == "first" and one.node.settings.overlay_alpha == 0.5
    assert library.loaded == [("first", "auto")]


def test_engines_for_the_frames_in_use_are_built_before_the_new_network_takes_over(swapping) -> None:
    one, library = swapping
    one.ask(picture(30, 70))
    assert one.set(model="other")[0]
    one.until(lambda: one.values().get("model") == "other", "it has taken over")
    first, other = library.made
    assert not first.prepared and other.prepared == [(30, 70)]
    one.until(lambda: first.closed, "the old one is let go of")
    assert not other.closed


def test_going_back_gives_up_the_loading(swapping) -> None:
    one, library = swapping
    library.gate.clear()
    assert one.set(model="other")[0] and one.set(model="first")[0]
    library.gate.set()
    one.until(lambda: len(library.made) == 2 and library.made[1].closed, "the other one is let go of")
    assert not library.made[1].prepared, "nothing is built for it"
    assert one.set(overlay_alpha=0.25)[0]
    one.until(lambda: one.statuses["worker"].message == "active", "nothing is loaded")
    assert library.loaded == [("first", "auto"), ("other", "auto")]
    assert one.node.settings.model == one.values()["model"] == "first" and not library.made[0].closed
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
    assert one.set(model="other")[0]
    one.until(lambda: one.values().get("model") == "other", "the next one takes over")


def test_a_network_that_is_no_longer_meant_does_not_take_over(swapping) -> None:
    """It warms up already when the parameters are set back."""
    one, library = swapping
    assert one.set(model="slow")[0]
    one.until(lambda: one.node._serving.worker.called_for is not None, "it warms up")
    assert one.set(model="first")[0]
    library.made[1].heat.set()
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
    assert one.node._network.segmenter is library.made[0] and one.node.settings.model == "first"
    one.until(lambda: library.made[1].closed, "the other one is let go of")
    assert not library.made[0].closed


@pytest.mark.parametrize("by", ["going back", "cleanup"])
def test_a_build_for_a_network_that_is_given_up_ends(swapping, by: str) -> None:
    one, library = swapping
    assert one.set(model="building")[0]
    one.until(lambda: len(library.made) == 2 and library.made[1].prepared, "it builds")
    assert one.set(model="first")[0] if by == "going back" else one.change_state("deactivate")
    assert by == "going back" or one.change_state("cleanup")
    one.until(lambda: library.made[1].ended, "the build ends")
    one.until(lambda: not [thread for thread in threading.enumerate() if thread.name == "loading"])


def test_a_network_that_does_not_get_warm_is_told(swapping) -> None:
    one, library = swapping
    assert one.set(inference_timeout=0.05)[0] and one.set(model="slow")[0]
    one.until(lambda: "a network is being tried for" in one.statuses["worker"].message, "it is told")
    assert one.statuses["worker"].level == DiagnosticStatus.WARN
    assert one.set(inference_timeout=60.0)[0]
    library.made[1].heat.set()
    one.until(lambda: one.values().get("model") == "slow", "it has taken over")
    one.until(lambda: one.statuses["worker"].level == DiagnosticStatus.OK)


def test_a_cleanup_during_the_warm_up_keeps_the_new_network_out(swapping) -> None:
    one, library = swapping
    assert one.set(model="slow")[0]
    one.until(lambda: one.node._serving.worker.called_for is not None, "it warms up")
    serving = one.node._serving
    assert one.change_state("deactivate") and one.change_state("cleanup")
    assert one.node.left_behind
    library.made[1].heat.set()
    one.until(lambda: not serving.worker._thread.is_alive(), "its thread ends")
    assert serving.network is None and all(segmenter.closed for segmenter in library.made)
    one.statuses.clear()
    one.until(lambda: one.values().get("state") == "unconfigured", "the next report")
    assert "model" not in one.values()
    assert one.set(model="other")[0]
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    np.testing.assert_array_equal(ask(one), expected_mask(picture()) + 10)


def test_model_and_palette_change_together(swapping) -> None:
    one, library = swapping
    accepted, reason = one.set(model="other", color_palette=list(range(11)))
    assert not accepted and "has 11 colours, the masks have 19 classes" in reason
    assert one.set(color_palette=list(range(11)))[0]
    library.gate.clear()
    assert one.set(model="other", color_palette=list(range(19)), overlay_alpha=0.25)[0]
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
    rules = one.node._channels[0]._rules
    assert (len(rules.settings.color_palette), rules.settings.overlay_alpha) == (11, 0.25)
    accepted, reason = one.set(color_palette=list(range(12)))
    assert not accepted and "has 12 colours, the masks have 19 classes" in reason
    library.gate.set()
    one.until(lambda: one.values().get("model") == "other", "it has taken over")
    assert one.node._channels[0]._rules.settings == one.node.settings
    assert list(one.node.settings.color_palette) == list(range(19))


def test_the_palette_is_set_back_with_the_model(swapping) -> None:
    one, _ = swapping
    assert one.set(color_palette=list(range(11)))[0]
    assert one.set(model="auto", label_remap="autoware", color_palette=list(range(16)), threads=1)[0]
    one.until(lambda: one.statuses["worker"].level == DiagnosticStatus.WARN, "Cityscapes has no such remap")
    one.until(lambda: one.node.settings.model == "first", "the parameters are set back")
    settings = one.node.settings
    assert (settings.label_remap, list(settings.color_palette), settings.threads) == ("", list(range(11)), 0)
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))


def test_a_file_that_has_gone_does_not_keep_anyone_from_stopping(live, tmp_path: Path) -> None:
    bonnet = tmp_path / "bonnet.png"
    write_png(bonnet, np.zeros((48, 64), np.uint8))
    one: Live = live(ignore_mask=str(bonnet))
    bonnet.unlink()
    assert one.enable(False).success


def test_a_swap_is_given_up_by_cleanup(swapping) -> None:
    one, library = swapping
    library.gate.clear()
    assert one.set(model="other")[0]
    assert one.change_state("deactivate") and one.change_state("cleanup")
    library.gate.set()
    one.until(lambda: len(library.made) == 2 and library.made[1].closed, "it is let go of")
    assert library.made[0].closed
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
    one.until(lambda: process.num_threads() <= threads, "the kernel has taken down the last one's threads")
    assert process.memory_info().rss - memory < 20e6
    assert topics == sorted(one.node.get_publisher_names_and_types_by_node("sernet_segmenter", one.namespace))
    one.connect()
    np.testing.assert_array_equal(ask(one), expected_mask(picture()))
