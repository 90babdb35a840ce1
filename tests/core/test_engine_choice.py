"""`auto`, the pool of engines, and building in the background; with engines made for the test."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from fake_engines import FRAME, Broken, Faint, Liar, Quick, Weak, contend_with, load, timed, until

from sernet_core.engines import base, choose, pool
from sernet_core.engines.base import NOT_FINITE, Engine, Segmentation, missing_packages
from sernet_core.engines.eager import Eager
from sernet_core.engines.parity import Parity, compare
from sernet_core.engines.plan import Plan
from sernet_core.errors import ConfigError, EngineError
from sernet_core.runtime import Segmenter

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def contend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these the engines that "auto" compares with eager."""
    return functools.partial(contend_with, monkeypatch)


def test_the_fastest_that_agrees_wins(small_model, tmp_path, contend, monkeypatch, caplog) -> None:
    contend(Liar, Broken, Weak, Quick)
    timed(monkeypatch, liar=0.1, quick=0.2, eager=1.0)
    segmenter = load(small_model, tmp_path)
    wanted = Segmenter.load(small_model, device="cpu").segment(FRAME).mask
    assert (segmenter.segment(FRAME).mask == wanted).all()
    assert segmenter.engine == "quick"
    assert "liar is out: agrees with eager on" in caplog.text
    assert "weak is out: ValueError: no steam" in caplog.text
    assert "broken is out: engine broken could not be built: RuntimeError: the boiler burst" in caplog.text


def test_the_outcome_is_kept(small_model, tmp_path, contend, monkeypatch) -> None:
    contend(Quick)
    speeds = {"quick": 0.1, "eager": 1.0}
    monkeypatch.setattr(
        choose, "compare", lambda _, engines, __: {name: Parity(1.0, 100.0, speeds[name]) for name in engines}
    )
    first = load(small_model, tmp_path)
    first.segment(FRAME)
    assert first.engine == "quick" and Quick.built == 1  # what raced serves, and is not built again
    monkeypatch.setattr(choose, "compare", None)  # would fail if called
    second = load(small_model, tmp_path)
    second.segment(FRAME)
    assert second.engine == "quick" and Quick.built == 2
    monkeypatch.setattr(choose, "compare", lambda *_: (_ for _ in ()).throw(EngineError("raced again")))
    with pytest.raises(EngineError, match="raced again"):
        load(small_model, tmp_path, force_engine_update=True).segment(FRAME)
    with pytest.raises(EngineError, match="raced again"):
        load(small_model, tmp_path, input_size="128x64").segment(FRAME)  # another key


def test_eager_wins_by_a_clear_lead_alone(small_model, tmp_path, contend, monkeypatch) -> None:
    contend(Quick)
    for eager, winner in ((0.9, "quick"), (0.7, "eager")):
        speeds = {"quick": 1.0, "eager": eager}
        monkeypatch.setattr(
            choose, "compare", lambda _, engines, __, s=speeds: {n: Parity(1.0, 100.0, s[n]) for n in engines}
        )
        segmenter = load(small_model, tmp_path / winner)
        segmenter.segment(FRAME)
        assert segmenter.engine == winner


def test_slower_ones_lose(small_model, tmp_path, contend, monkeypatch) -> None:
    contend(Quick)
    monkeypatch.setattr(
        choose,
        "compare",
        lambda _, engines, __: {n: Parity(1.0, 100.0, float(n == "quick")) for n in engines},
    )
    segmenter = load(small_model, tmp_path)
    segmenter.segment(FRAME)
    assert segmenter.engine == "eager" and segmenter.engine_fault == ""  # it is the fastest: no fault


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EngineError(NOT_FINITE), NOT_FINITE),
        (torch.OutOfMemoryError("no room"), "OutOfMemoryError: no room"),
        (MemoryError("no room"), "MemoryError: no room"),
    ],
)
def test_one_that_fails_on_a_later_frame_is_out_and_the_others_race(
    small_model, tmp_path, contend, monkeypatch, caplog, error: Exception, words: str
) -> None:
    monkeypatch.setattr(Faint, "error", error)
    timed(monkeypatch, quick=0.1, eager=1.0)
    contend(Faint, Quick)
    segmenter = load(small_model, tmp_path)
    segmenter.segment(FRAME)
    assert segmenter.engine == "quick" and segmenter.engine_fault == ""
    assert f"faint is out: {words}" in caplog.text
    contend(Faint)
    segmenter = load(small_model, tmp_path)
    segmenter.segment(FRAME)
    assert segmenter.engine == "eager" and segmenter.engine_fault == f"faint: {words}"


def test_eager_in_a_precision_that_it_fails_in_is_out_like_others(
    small_model, tmp_path, contend, monkeypatch
) -> None:
    """A CUDA device's float16 may overflow where float32 does not; bfloat16 stands for it here."""
    run = Eager.segment

    def overflow(engine: Eager, image: np.ndarray, *, confidence: bool = False) -> Segmentation:
        if type(engine) is Eager and engine.precision == "bf16":
            raise EngineError(NOT_FINITE)
        return run(engine, image, confidence=confidence)

    monkeypatch.setattr(Eager, "segment", overflow)
    timed(monkeypatch, quick=0.1)
    contend(Quick)
    segmenter = load(small_model, tmp_path, precision="bf16")
    segmenter.segment(FRAME)
    assert (segmenter.engine, segmenter.precision) == ("quick", "bf16")
    contend(Broken)
    engine = choose.choose("auto", segmenter._source, Plan((64, 96), (64, 96), 16))
    assert engine.engine.name == "eager" and f"eager: {NOT_FINITE}" in engine.fault


def good(_reference: object, engines: Mapping[str, Engine], _frames: object) -> dict[str, Parity]:
    """A comparison that all pass, and eager as the slowest."""
    return {name: Parity(1.0, 100.0, float(name == "eager")) for name in engines}


@pytest.mark.parametrize("failing", [Broken, Weak])
def test_a_crash_is_told_and_forgotten(
    small_model, tmp_path, contend, monkeypatch, failing: type[Engine]
) -> None:
    contend(Quick)
    timed(monkeypatch, quick=0.1, eager=1.0)
    with monkeypatch.context() as patch:
        for method in ("__init__", "segment"):
            patch.setattr(Quick, method, getattr(failing, method))
        first = load(small_model, tmp_path)
        first.segment(FRAME)
    assert first.engine == "eager"
    assert any(words in first.engine_fault for words in ("quick: ValueError: no steam", "the boiler burst"))
    second = load(small_model, tmp_path)
    second.segment(FRAME)
    assert second.engine == "quick" and second.engine_fault == ""


def test_a_crash_beside_a_winner_is_no_fault_and_the_next_start_tries_again(
    small_model, tmp_path, contend, monkeypatch
) -> None:
    contend(Quick, Broken)
    monkeypatch.setattr(choose, "compare", good)
    for race in range(2):
        segmenter = load(small_model, tmp_path, background=bool(race))
        segmenter.prepare(*FRAME.shape[:2])
        segmenter.segment(FRAME)
        assert segmenter.engine == "quick" and segmenter.engine_fault == ""
    monkeypatch.setattr(choose, "compare", lambda *_: (_ for _ in ()).throw(EngineError("raced again")))
    with pytest.raises(EngineError, match="raced again"):
        load(small_model, tmp_path).segment(FRAME)


def test_wrong_masks_are_remembered_and_told(small_model, tmp_path, contend, monkeypatch) -> None:
    contend(Liar)
    for _ in range(2):
        segmenter = load(small_model, tmp_path)
        segmenter.segment(FRAME)
        assert segmenter.engine == "eager"
        assert segmenter.engine_fault.startswith("liar: agrees with eager on")
        monkeypatch.setattr(choose, "compare", None)  # would fail if called


def test_an_engine_that_is_not_installed_is_no_fault(small_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(base, "_installed", lambda _: False)
    segmenter = load(small_model, tmp_path)
    segmenter.segment(FRAME)
    assert segmenter.engine == "eager" and segmenter.engine_fault == ""


@pytest.mark.skipif(bool(missing_packages(("openvino",))), reason="openvino is not installed")
def test_a_precision_that_was_asked_for_is_never_replaced_in_silence(small_model, tmp_path) -> None:
    remedy = "precision int8 cannot be had: openvino: .*small.int8.xml, which is not there; sernet quantize"
    with pytest.raises(EngineError, match=remedy):
        load(small_model, tmp_path, precision="int8").segment(FRAME)
    aside = load(small_model, tmp_path, precision="int8", background=True)
    aside.segment(FRAME)
    until(lambda: aside.engine_fault)
    assert re.match(remedy, aside.engine_fault)
    with pytest.raises(EngineError, match=remedy):
        aside.prepare(*FRAME.shape[:2])


def test_a_winner_that_fails_later_gives_way(small_model, tmp_path, contend, monkeypatch, caplog) -> None:
    contend(Quick)
    monkeypatch.setattr(
        choose,
        "compare",
        lambda _, engines, __: {n: Parity(1.0, 100.0, float(n == "eager")) for n in engines},
    )
    load(small_model, tmp_path).segment(FRAME)
    monkeypatch.setattr(Quick, "__init__", Broken.__init__)
    segmenter = load(small_model, tmp_path)
    segmenter.segment(FRAME)
    assert segmenter.engine == "eager" and "eager serves: engine quick could not be built" in caplog.text
    assert "the boiler burst" in segmenter.engine_fault


def test_an_unwritable_cache(small_model, tmp_path, contend, monkeypatch, caplog) -> None:
    contend(Quick)
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="engine_cache_dir"):  # named by the user: refused at once
        load(small_model, tmp_path / "taken")
    monkeypatch.setenv("SERNET_CACHE", str(tmp_path / "taken"))
    segmenter = Segmenter.load(small_model, device="cpu", engine="auto")  # not named: eager, and a reason
    segmenter.segment(FRAME)
    assert segmenter.engine == "eager" and "cannot be written" in caplog.text
    assert "cannot be written" in segmenter.engine_fault
    for folder in ("", tmp_path / "taken"):  # who serves in the background serves all the same
        serving = load(small_model, folder, background=True)
        until(lambda one=serving: one.segment(FRAME) and one.engine == "quick")
        assert serving.engine_fault == "" and "not kept: engine_cache_dir: " in serving.cache_fault


@pytest.mark.parametrize(
    ("parity", "precision", "sound"),
    [
        (Parity(0.996, 80.0, 1.0), "fp32", True),
        (Parity(0.994, 99.0, 1.0), "fp32", False),
        (Parity(0.980, 90.5, 1.0), "int8", True),
        (Parity(0.999, 89.5, 1.0), "bf16", False),
    ],
)
def test_what_is_close_enough(parity: Parity, precision: str, sound: bool) -> None:
    assert bool(parity.fault(precision)) is not sound


def test_likeness_against_hand_arithmetic() -> None:
    class Fixed:
        def __init__(self, mask: np.ndarray) -> None:
            self.mask = mask

        def segment(self, _image: np.ndarray) -> Segmentation:
            return Segmentation(self.mask)

    truth = np.zeros((10, 1000), np.uint8)
    truth[:, 500:] = 1
    truth[0, :5] = 7  # five pixels in ten thousand: too few for an IoU
    found = truth.copy()
    found[0, 0:5] = 0
    found[:, 500:600] = 0
    parity = compare(Fixed(truth), {"it": Fixed(found)}, [FRAME])["it"]  # type: ignore[arg-type]
    assert parity.agreement == pytest.approx(1 - 1005 / 10000)
    assert parity.miou == pytest.approx(100 * (4995 / 6000 + 4000 / 5000) / 2)


def test_eager_serves_while_another_builds(small_model, tmp_path, contend) -> None:
    contend(Quick)
    Quick.gate.clear()
    segmenter = load(small_model, tmp_path, "quick", background=True)
    first = segmenter.segment(FRAME).mask
    assert segmenter.engine == "eager"
    until(lambda: re.fullmatch(r"building quick engine, \d+ s", segmenter.building))
    Quick.gate.set()
    until(lambda: not segmenter.building)
    assert (segmenter.segment(FRAME).mask == first).all()
    assert segmenter.engine == "quick" and Quick.built == 1 and segmenter.engine_fault == ""


def test_a_build_that_fails_aside_leaves_eager_and_a_reason(small_model, tmp_path, contend, caplog) -> None:
    contend(Broken)
    segmenter = load(small_model, tmp_path, "broken", background=True)
    segmenter.segment(FRAME)
    until(lambda: segmenter.engine_fault and not segmenter.building)
    segmenter.segment(FRAME)
    assert segmenter.engine == "eager" and "the boiler burst" in segmenter.engine_fault
    assert caplog.text.count("the boiler burst") == 1  # not tried again with each frame
    with pytest.raises(EngineError, match="boiler"):
        load(small_model, tmp_path, "broken").segment(FRAME)


class Lone(Quick):
    """Cannot be built for more than a frame at once."""

    name = "lone"
    batches = ("cpu",)
    tried = 0

    def __init__(self, source, plan) -> None:
        if plan.batch > 1:
            type(self).tried += 1
            raise RuntimeError("no room for two")
        super().__init__(source, plan)


@pytest.mark.parametrize("background", [False, True])
def test_a_batch_that_cannot_be_built_is_no_fault_and_is_tried_once(
    small_model, tmp_path, contend, caplog, background: bool
) -> None:
    contend(Lone)
    Lone.tried = 0
    segmenter = load(small_model, tmp_path, "lone", background=background)
    segmenter.segment(FRAME)
    until(lambda: not segmenter.building)
    for _ in range(3):
        assert [one.mask.shape for one in segmenter.segment_many([FRAME, FRAME])] == [FRAME.shape[:2]] * 2
        until(lambda: not segmenter.building)
    assert Lone.tried == 1 and segmenter.engine == "lone" and segmenter.engine_fault == ""
    assert caplog.text.count("no room for two") == 1 and "no batches of 2" in caplog.text


def test_no_error_aside_is_tried_again_with_each_frame(small_model, tmp_path, contend, monkeypatch) -> None:
    contend(Quick)
    monkeypatch.setattr(pool, "choose", lambda *_: 1 / 0)
    segmenter = load(small_model, tmp_path, "quick", background=True)
    for _ in range(3):
        segmenter.segment(FRAME)
        until(lambda: not segmenter.building)
    assert segmenter.engine == "eager" and "ZeroDivisionError: division by zero" in segmenter.engine_fault


def test_a_bounded_number_of_sizes_is_kept(small_model, tmp_path, contend, monkeypatch) -> None:
    contend(Quick)
    monkeypatch.setattr(pool, "KEPT", 2)
    segmenter = load(small_model, tmp_path, "quick")
    first, second, third = (np.zeros((64, 64 + 16 * step, 3), np.uint8) for step in range(3))
    for frame in (first, second, first, third, first):
        segmenter.segment(frame)
    assert Quick.built == 3  # the first was used again and stayed
    segmenter.segment(second)
    assert Quick.built == 4


def test_as_many_sizes_are_kept_as_come_in_turn(small_model, tmp_path, contend, monkeypatch) -> None:
    contend(Quick)
    monkeypatch.setattr(pool, "KEPT", 2)
    segmenter = load(small_model, tmp_path, "quick", frame_sizes=3)
    for step in (0, 1, 2) * 2:
        segmenter.segment(np.zeros((64, 64 + 16 * step, 3), np.uint8))
    assert Quick.built == 3


@pytest.mark.skipif(bool(missing_packages(("openvino",))), reason="openvino is not installed")
def test_masks_stay_right_while_a_real_engine_builds(small_model, tmp_path) -> None:
    segmenter = load(small_model, tmp_path, "openvino", background=True, threads=1)
    wanted = Segmenter.load(small_model, device="cpu").segment(FRAME).mask
    served = []
    until(lambda: (served.append(segmenter.segment(FRAME).mask), segmenter.engine == "openvino")[1])
    assert len(served) > 2
    assert min((mask == wanted).mean() for mask in served) > 0.999


def test_auto_with_the_real_engines(small_model, tmp_path, monkeypatch, caplog) -> None:
    """Each of them can win, by the times of the race alone."""
    wanted = Segmenter.load(small_model, device="cpu").segment(FRAME).mask
    names = choose.contenders("cpu", "auto")
    if not names:
        pytest.skip("no engine that auto compares with eager is installed")
    times = dict.fromkeys((*names, "eager"), 1.0)
    caplog.set_level("INFO", choose.__name__)
    for name in names:
        timed(monkeypatch, **{**times, name: 0.5})
        with monkeypatch.context() as patch:
            patch.setattr(choose, "device_name", lambda _, name=name: f"where {name} is fast")  # a new race
            segmenter = load(small_model, tmp_path, threads=1)
            assert (segmenter.segment(FRAME).mask == wanted).mean() > 0.999
        assert segmenter.engine == name and segmenter.engine_fault == ""
    assert caplog.text.count("auto: ") == len(names) and "is out" not in caplog.text


def test_a_size_that_comes_during_a_build_is_built_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody need send another frame of that size for it."""
    begin, built = threading.Event(), list[object]()

    def build(_name: str, _source: object, plan: object, _stopped: object) -> choose.Choice:
        assert begin.wait(30)
        built.append(plan)
        return choose.Choice(f"engine of {plan}")  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "choose", build)
    monkeypatch.setattr(pool, "reference", lambda _source, _plan: "eager")
    first, second = Plan((60, 80), (60, 80), 16), Plan((64, 96), (64, 96), 16)
    one = pool.EnginePool(None, "openvino", background=True)  # type: ignore[arg-type]
    assert one.engine(first) == one.engine(second) == "eager"
    assert one.building
    begin.set()
    deadline = time.monotonic() + 30
    while one.building and time.monotonic() < deadline:
        time.sleep(0.01)
    assert built == [first, second]
    assert one.engine(second) == f"engine of {second}"
