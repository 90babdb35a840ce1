"""Engines are swapped, or are not, with the real segmenter behind the node, loaded as by the executable."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from installed import save_small_model
from live import PATIENCE, Live, array_of, picture

from sernet_core.engines import registry
from sernet_core.engines.openvino import OpenVino
from sernet_core.runtime import Segmenter

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)
BUILDING = 8 * PATIENCE
"""Seconds for an engine to be built on a very busy machine."""


class Held(OpenVino):
    """Is built when the test says so; counts its builds."""

    gate = threading.Event()
    begun = 0

    def __init__(self, *arguments: Any) -> None:
        Held.begun += 1
        assert self.gate.wait(BUILDING)
        super().__init__(*arguments)


@pytest.fixture
def real(live, tmp_path: Path, monkeypatch):
    """Makes a node with a small network, and an empty cache for its engines."""
    monkeypatch.setenv("SERNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(registry.ENGINES, "openvino", f"{__name__}:Held")
    model = save_small_model(tmp_path / "small.safetensors")
    Held.gate.set()
    Held.begun = 0

    def start(**parameters: Any) -> Live:
        return live(
            load=lambda *arguments, **keywords: Segmenter.load(*arguments, background=True, **keywords),
            model=str(model),
            device="cpu",
            threads=1,
            inference_timeout=BUILDING,
            **parameters,
        )

    yield start
    Held.gate.set()


def test_the_old_engine_serves_until_the_new_one_is_there(real) -> None:
    one: Live = real(engine="eager")
    image = picture()
    first = array_of(one.ask(image))
    old = one.node._network.segmenter
    Held.gate.clear()
    assert one.set(engine="openvino")[0]
    one.until(lambda: Held.begun == 1, "it is being built", BUILDING)
    one.until(lambda: "loading another network" in one.statuses["worker"].message, "it is told")
    np.testing.assert_array_equal(array_of(one.ask(image)), first)
    assert one.node._network.segmenter is old and one.values()["engine"] == "eager"
    Held.gate.set()
    one.until(lambda: one.node._network.segmenter is not old, "it has taken over", BUILDING)
    new = one.node._network.segmenter
    assert not new.building and new.engine == "openvino", "no frame of it went through eager"
    again = array_of(one.ask(image))
    assert new.engine == "openvino" and np.mean(again == first) > 0.99
    one.until(lambda: one.values()["engine"] == "openvino" and one.statuses["worker"].message == "active")
    assert Held.begun == 1 and one.node.settings.engine == "openvino"


def test_a_precision_that_cannot_be_had_leaves_all_as_it_was(real) -> None:
    one: Live = real(engine="openvino")
    image = picture()
    one.until(lambda: one.ask(image) and one.values()["engine"] == "openvino", "it is built", BUILDING)
    first, old = array_of(one.ask(image)), one.node._network.segmenter
    assert one.set(precision="int8")[0]
    one.until(lambda: "cannot be used" in one.statuses["worker"].message, "it is told", BUILDING)
    assert one.statuses["worker"].level == DiagnosticStatus.WARN and "int8" in one.statuses["worker"].message
    one.until(lambda: one.node.get_parameter("precision").value == "auto", "the parameter is set back")
    assert one.node._network.segmenter is old and one.node.settings.precision == "auto"
    np.testing.assert_array_equal(array_of(one.ask(image)), first)
    one.until(lambda: one.values()["engine"] == "openvino" and one.values()["precision"] == "fp32")


def test_many_lives_leave_no_thread_and_no_builds(real) -> None:
    """Each is cleaned up while its engine is being built."""
    one: Live = real(engine="openvino")
    image = picture(64, 96)  # of the size that the network is warmed up with
    one.until(lambda: one.ask(image) and one.values()["engine"] == "openvino", "it is built", BUILDING)
    assert one.change_state("deactivate") and one.change_state("cleanup")
    before, builds = set(threading.enumerate()), Held.begun
    Held.gate.clear()
    for _ in range(10):
        assert one.change_state("configure") and one.change_state("cleanup")
    assert Held.begun <= builds + 1, "one is built at a time"
    Held.gate.set()
    one.until(lambda: set(threading.enumerate()) <= before, "no thread is left", BUILDING)
    assert Held.begun <= builds + 1, "those that waited for their turn have given up"
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    one.until(lambda: one.ask(image) and one.values()["engine"] == "openvino", "it serves", BUILDING)


def test_a_folder_that_cannot_be_written_costs_only_what_would_be_kept(real, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    one: Live = real(engine="openvino", engine_cache_dir=str(tmp_path / "taken"))
    image = picture(64, 96)  # of the size that the network is warmed up with: no second engine is built
    one.ask(image)
    one.until(lambda: one.values()["engine_state"] == "ready", "the engine is built", BUILDING)
    one.ask(image)
    one.until(lambda: one.values()["engine"] == "openvino")
    worker = one.statuses["worker"]
    assert worker.level == DiagnosticStatus.WARN
    assert "not kept" in worker.message and "Make it writable" in worker.message
    # With one that can be written all is well again.
    assert one.set(engine_cache_dir=str(tmp_path / "new"))[0]
    one.until(lambda: one.statuses["worker"].level == DiagnosticStatus.OK, "a swap", BUILDING)
    one.until(lambda: "loading" not in one.statuses["worker"].message, "the end of the swap", BUILDING)
    assert one.values()["engine"] == "openvino" and list((tmp_path / "new").iterdir())
