"""What the diagnostics tell a person of engines and of memory, with the real segmenter behind the node."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from installed import save_small_model
from live import FakeSegmenter, Live, array_of, picture

from sernet_core.engines import registry
from sernet_core.engines.eager import Eager
from sernet_core.runtime import DeviceMemory, Segmenter

# Loading and comparing engines take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)


class Slow(Eager):
    """Is built when the test says so."""

    name = "onnx"
    gate = threading.Event()

    def __init__(self, *arguments: Any) -> None:
        assert self.gate.wait(60)
        super().__init__(*arguments)


class Broken(Eager):
    """Cannot be built."""

    name = "onnx"

    def __init__(self, *_: Any) -> None:
        raise RuntimeError("the boiler burst")


def real(live, tmp_path: Path, **parameters: Any) -> Live:
    """A node with a small network; it loads as the executable does."""
    model = save_small_model(tmp_path / "small.safetensors")
    one: Live = live(
        load=lambda *arguments, **keywords: Segmenter.load(*arguments, background=True, **keywords),
        model=str(model),
        device="cpu",
        threads=1,
        inference_timeout=60.0,
        **parameters,
    )
    return one


def test_an_engine_that_is_being_built_is_told_until_it_serves(live, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(registry.ENGINES, "onnx", f"{__name__}:Slow")
    Slow.gate.clear()
    one = real(live, tmp_path, engine="onnx")
    told = re.compile(r"active; building onnx engine, [1-9]\d* s")
    one.until(lambda: told.fullmatch(one.statuses["worker"].message), "with its time")
    assert one.statuses["worker"].level == DiagnosticStatus.OK
    first = array_of(one.ask(picture()))
    values = one.values()
    assert values["engine"] == "eager" and values["engine_state"].startswith("building onnx engine, ")
    Slow.gate.set()
    one.until(lambda: one.values()["engine_state"] == "ready" and one.statuses["worker"].message == "active")
    one.until(lambda: one.ask(picture()) and one.values()["engine"] == "onnx", "it serves")
    np.testing.assert_array_equal(array_of(one.masks[-1]), first)


def test_an_engine_that_cannot_be_built_is_told_with_the_reason(live, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(registry.ENGINES, "onnx", f"{__name__}:Broken")
    one = real(live, tmp_path, engine="onnx")
    words = "engine onnx could not be built: RuntimeError: the boiler burst"
    one.until(lambda: one.statuses["worker"].message == f"eager serves: {words}", "the reason")
    assert one.statuses["worker"].level == DiagnosticStatus.WARN
    one.ask(picture())  # of another size: its engine is tried anew, and told as being built meanwhile
    one.until(lambda: one.values()["engine_state"] == words, "the reason again")
    assert (one.values()["engine"], one.values()["failed"]) == ("eager", "0")


def test_an_engine_that_auto_could_not_have_is_told_beside_what_else_is_wrong(
    live, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("SERNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(registry.ENGINES, "onnx", f"{__name__}:Broken")
    monkeypatch.setitem(registry.ENGINES, "openvino", f"{__name__}:Broken")
    one = real(live, tmp_path, engine="auto")
    burst = "the boiler burst"
    one.until(lambda: one.ask(picture()) and burst in one.values()["engine_state"], "the reason")
    one.until(lambda: burst in one.statuses["worker"].message.partition("eager serves: ")[2], "in words")
    assert one.statuses["worker"].level == DiagnosticStatus.WARN
    assert one.set(model=str(tmp_path / "small.safetensors"), precision="fp16")[0]
    one.until(lambda: "stays: " in one.statuses["worker"].message, "fp16 is not for a CPU")
    # It is not told while the engine for the size of the frame is tried, too.
    one.until(lambda: "eager serves: " in one.statuses["worker"].message, "the reason beside it")
    assert "stays: " in one.statuses["worker"].message


def test_a_device_that_runs_out_of_memory_costs_that_frame(live, tmp_path: Path, monkeypatch) -> None:
    one = real(live, tmp_path, engine="eager")
    image = picture()
    before = array_of(one.ask(image))

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(Eager, "batch_logits", fail)
        one.send(picture(seed=1))
        one.level(DiagnosticStatus.ERROR)
    assert "no mask for a frame: cpu has too little memory for a network input of " in one.status.message
    assert "take a smaller input_size" in one.status.message and "2.00 GiB" in one.status.message
    one.counted("failed.engine")
    assert len(one.masks) == 1
    np.testing.assert_array_equal(array_of(one.ask(image)), before)
    one.level(DiagnosticStatus.OK)
    assert one.values()["failed"] == "1"


def test_memory_of_a_gpu_is_told_before_it_runs_out(live) -> None:
    class OnGpu(FakeSegmenter):
        device = "cuda:0"
        device_memory = DeviceMemory(used=6_000_000_000, left=2_000_000_000, total=8_000_000_000)

    one: Live = live(OnGpu())
    one.ask(picture())
    one.counted("answered")
    one.level(DiagnosticStatus.OK)
    values = one.values()
    figures = [values[f"device_memory_mb.{name}"] for name in ("used", "left", "total")]
    assert figures == ["6000", "2000", "8000"]
    one.segmenter.device_memory = DeviceMemory(used=6_000_000_000, left=300_000_000, total=8_000_000_000)
    one.until(lambda: "cuda:0 has 300 of 8000 MB left" in one.statuses["worker"].message, "it is told")
    assert one.statuses["worker"].level == DiagnosticStatus.WARN


def test_on_a_cpu_there_is_no_memory_of_a_gpu(live, tmp_path: Path) -> None:
    one = real(live, tmp_path, engine="eager")
    one.ask(picture())
    one.counted("answered")
    assert float(one.values()["memory_mb"]) > 1
    assert not [name for name in one.values() if name.startswith("device_memory")]
