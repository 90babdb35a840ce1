"""Engines are built one at a time, ahead of the frames if asked, and not for a Segmenter that is closed."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from fake_engines import FRAME, Broken, Quick, contend_with, load, until

from sernet_core.engines import onnx, openvino, pool
from sernet_core.engines.base import Engine, Source, missing_packages
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.parity import street_frames
from sernet_core.engines.plan import Plan
from sernet_core.engines.registry import engine_class
from sernet_core.engines.turn import alone
from sernet_core.errors import EngineError
from sernet_core.runtime import Segmenter

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def contend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these the engines that "auto" compares with eager."""
    return functools.partial(contend_with, monkeypatch)


def test_real_engines_can_be_asked_for_at_once(small_model, tmp_path) -> None:
    names = [name for name in ("openvino", "onnx") if not engine_class(name).obstacle("cpu", "auto")]
    segmenters = [load(small_model, tmp_path / name, name, threads=1) for name in names * 2]
    together = threading.Barrier(len(segmenters))

    def prepare(segmenter: Segmenter) -> None:
        together.wait(60)
        segmenter.prepare(*FRAME.shape[:2])

    with ThreadPoolExecutor(len(segmenters)) as executor:
        list(executor.map(prepare, segmenters))
    masks = [segmenter.segment(FRAME).mask for segmenter in segmenters]
    assert [segmenter.engine for segmenter in segmenters] == names * 2
    assert all((mask == masks[0]).mean() > 0.999 for mask in masks)


def test_tracing_is_done_by_one_thread_at_a_time(small_model, tmp_path) -> None:
    """Where no pool sees to it: files that users export, engines that commands build."""
    if missing_packages(("openvino", "onnx", "onnxscript")):
        pytest.skip("the converters are not installed")
    source = Source.load(small_model, EngineCache(tmp_path), threads=1)
    together = threading.Barrier(2)

    def write(convert: Callable[..., None], name: str) -> None:
        together.wait(60)
        convert(source, tmp_path / name)

    with ThreadPoolExecutor(2) as executor:
        list(executor.map(write, (openvino.convert, onnx.convert), ("model.xml", "model.onnx")))
    assert (tmp_path / "model.xml").is_file() and (tmp_path / "model.onnx").is_file()


@pytest.mark.parametrize("background", [False, True])
def test_a_prepared_size_is_served_by_its_engine_from_the_first_frame(
    small_model, tmp_path, contend, background: bool
) -> None:
    contend(Quick)
    segmenter = load(small_model, tmp_path, "quick", background=background)
    for _ in range(2):
        segmenter.prepare(*FRAME.shape[:2])
        assert Quick.built == 1 and not segmenter.building
    segmenter.segment(FRAME)
    assert segmenter.engine == "quick" and Quick.built == 1
    entered, leave = threading.Event(), threading.Event()

    def build() -> None:
        with alone():
            entered.set()
            assert leave.wait(60)

    with ThreadPoolExecutor(1) as executor:
        other = executor.submit(build)
        assert entered.wait(60)
        segmenter.prepare(*FRAME.shape[:2])  # what is ready waits for no other build
        leave.set()
        other.result()


@pytest.mark.parametrize("background", [False, True])
def test_what_cannot_be_prepared_is_an_error_with_the_reason(
    small_model, tmp_path, contend, background: bool
) -> None:
    contend(Broken)
    segmenter = load(small_model, tmp_path, "broken", background=background)
    for _ in range(2):
        with pytest.raises(EngineError, match="the boiler burst"):
            segmenter.prepare(*FRAME.shape[:2])


def test_a_cache_that_cannot_be_written_is_an_error_of_the_engine(small_model, tmp_path) -> None:
    if missing_packages(("openvino",)):
        pytest.skip("openvino is not installed")
    unwritable = load(small_model, tmp_path / "new", "openvino")
    (tmp_path / "new").rmdir()
    (tmp_path / "new").write_text("")
    with pytest.raises(EngineError, match="cannot be written"):
        unwritable.prepare(*FRAME.shape[:2])


def test_what_failed_in_the_background_can_be_prepared_when_it_has_passed(
    small_model, tmp_path, contend, monkeypatch
) -> None:
    contend(Quick)
    with monkeypatch.context() as patch:
        patch.setattr(Quick, "__init__", Broken.__init__)
        segmenter = load(small_model, tmp_path, "quick", background=True)
        segmenter.segment(FRAME)
        until(lambda: segmenter.engine_fault)
    segmenter.prepare(*FRAME.shape[:2])
    segmenter.segment(FRAME)
    assert segmenter.engine == "quick" and segmenter.engine_fault == ""


def test_a_failure_in_the_background_does_not_displace_what_was_prepared_since(
    small_model, tmp_path, contend, monkeypatch
) -> None:
    contend(Quick)
    failed, prepared, reference = threading.Event(), threading.Event(), pool.reference

    def late(source: Source, plan: Plan) -> Engine:
        if threading.current_thread().name == "engine build":
            failed.set()
            assert prepared.wait(60)
        return reference(source, plan)

    monkeypatch.setattr(pool, "reference", late)
    with monkeypatch.context() as patch:
        patch.setattr(Quick, "__init__", Broken.__init__)
        segmenter = load(small_model, tmp_path, "quick", background=True)
        segmenter.segment(FRAME)
        assert failed.wait(60)
    segmenter.prepare(*FRAME.shape[:2])
    prepared.set()
    until(lambda: not segmenter.building)
    segmenter.segment(FRAME)
    assert segmenter.engine == "quick" and segmenter.engine_fault == ""


def test_preparing_waits_for_the_build_in_the_background(
    small_model, tmp_path, contend, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def slow_to_leave(stopped: Callable[[], bool]) -> Iterator[None]:
        with alone(stopped):
            yield
        time.sleep(0.3)  # who waits for the turn goes first

    monkeypatch.setattr(pool, "alone", slow_to_leave)
    contend(Quick)
    Quick.gate.clear()
    segmenter = load(small_model, tmp_path, "quick", background=True)
    segmenter.warm_up(*FRAME.shape[:2])
    until(lambda: Quick.built == 1)
    threading.Timer(0.2, Quick.gate.set).start()
    segmenter.prepare(*FRAME.shape[:2])
    segmenter.segment(FRAME)
    assert segmenter.engine == "quick" and Quick.built == 1


class Second(Quick):
    """Another one, which `auto` comes to later."""

    name = "second"


OTHER = street_frames(64, 128, 1)[0]


@pytest.fixture
def guessing(small_model, tmp_path, contend) -> Segmenter:
    """One that has been warmed up with a size that may not come, and builds the first engine for it."""
    contend(Quick, Second)
    Second.built = 0
    Quick.gate.clear()
    segmenter = load(small_model, tmp_path, background=True)
    segmenter.warm_up(*FRAME.shape[:2], guess=True)
    until(lambda: Quick.built == 1)
    return segmenter


def test_a_build_for_a_size_that_was_guessed_is_given_up_for_a_frame_of_another(
    guessing: Segmenter, caplog
) -> None:
    guessing.segment(OTHER)
    Quick.gate.set()
    until(lambda: not guessing.building)
    assert (Quick.built, Second.built) == (2, 1)
    guessing.segment(OTHER)
    assert guessing.engine != "eager" and guessing.engine_fault == ""
    assert not caplog.records  # it is no fault
    guessing.segment(FRAME)  # comes after all
    until(lambda: not guessing.building)
    guessing.segment(FRAME)
    assert (Quick.built, Second.built) == (3, 2) and guessing.engine != "eager"


@pytest.mark.parametrize("frames", [[], [FRAME], [FRAME, OTHER]], ids=["none", "it", "it, then another"])
def test_a_size_that_was_guessed_is_built_where_no_other_comes_first(guessing: Segmenter, frames) -> None:
    for frame in frames:
        guessing.segment(frame)
    Quick.gate.set()
    until(lambda: not guessing.building)
    assert Quick.built == Second.built == max(len(frames), 1)
    guessing.segment(FRAME)
    assert guessing.engine != "eager" and not guessing.building


def test_a_closed_segmenter_ends_the_comparison_of_engines(small_model, tmp_path, contend, caplog) -> None:
    contend(Quick, Second)
    Second.built = 0
    Quick.gate.clear()
    segmenter = load(small_model, tmp_path, background=True)
    segmenter.segment(FRAME)
    until(lambda: Quick.built == 1)
    segmenter.close()
    Quick.gate.set()
    until(lambda: not segmenter.building)
    assert Second.built == 0 and not caplog.records
    assert not list(tmp_path.iterdir())  # nothing was decided


def test_a_closed_segmenter_builds_nothing_more(small_model, tmp_path, contend, caplog) -> None:
    """One build runs, two wait for their turn, in the background and in a thread of their own."""
    contend(Quick)
    Quick.gate.clear()
    running, aside, waiting = (
        load(small_model, tmp_path, "quick", background=background) for background in (True, True, False)
    )
    running.segment(FRAME)
    until(lambda: Quick.built == 1)
    aside.segment(FRAME)
    errors: list[EngineError] = []

    def prepare() -> None:
        try:
            waiting.prepare(*FRAME.shape[:2])
        except EngineError as error:
            errors.append(error)

    thread = threading.Thread(target=prepare)
    thread.start()
    until(lambda: waiting.building and aside.building)
    for segmenter in (aside, waiting, aside, running):
        segmenter.close()
    thread.join(60)
    until(lambda: not aside.building)
    assert running.building and "closed" in str(errors[0])
    Quick.gate.set()
    until(lambda: not running.building)
    assert Quick.built == 1 and running.engine_fault == aside.engine_fault == ""
    assert not caplog.records  # it is no fault
    for use in (lambda: running.segment(FRAME), lambda: running.prepare(*FRAME.shape[:2])):
        with pytest.raises(EngineError, match="closed"):
            use()
    assert not running.building and Quick.built == 1
