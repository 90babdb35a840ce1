"""Engines are built one at a time, ahead of the frames if asked, and not for a Segmenter that is closed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import pytest
from fake_engines import FRAME, Broken, Quick, contend_with, load, until

from sernet_core.errors import EngineError

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def contend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these the engines that "auto" compares with eager."""
    return functools.partial(contend_with, monkeypatch)


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


@pytest.mark.parametrize("background", [False, True])
def test_what_cannot_be_prepared_is_an_error_with_the_reason(
    small_model, tmp_path, contend, background: bool
) -> None:
    contend(Broken)
    segmenter = load(small_model, tmp_path, "broken", background=background)
    for _ in range(2):
        with pytest.raises(EngineError, match="the boiler burst"):
            segmenter.prepare(*FRAME.shape[:2])
    (tmp_path / "taken").write_text("")
    unwritable = load(small_model, tmp_path / "new", "openvino", background=background)
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


def test_preparing_waits_for_the_build_in_the_background(small_model, tmp_path, contend) -> None:
    contend(Quick)
    Quick.gate.clear()
    segmenter = load(small_model, tmp_path, "quick", background=True)
    segmenter.warm_up(*FRAME.shape[:2])
    until(lambda: Quick.built == 1)
    threading.Timer(0.2, Quick.gate.set).start()
    segmenter.prepare(*FRAME.shape[:2])
    segmenter.segment(FRAME)
    assert segmenter.engine == "quick" and Quick.built == 1


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
