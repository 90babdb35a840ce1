"""What is kept of a live run, and what the report makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sernet_core.labels import CAMVID
from sernet_core.report import OverlayVideo, render_page, subject
from sernet_ros.live_report import RunFacts, build_report
from sernet_ros.matching import Sent
from sernet_ros.recording import IMAGE, MASK, OVERLAY, TRUTH, Received, Recording


def received(topic: str, stamp_ns: int, size: tuple[int, int] = (64, 48)) -> Received:
    width, height = size
    shape = (height, width, 3) if topic in (IMAGE, OVERLAY) else (height, width)
    return Received(topic, stamp_ns, stamp_ns + 1_000_000, np.zeros(shape, np.uint8))


def recording(tmp_path: Path, with_truth: bool = True) -> Recording:
    return Recording(CAMVID, OverlayVideo(tmp_path / "v.webm", 15.0), with_truth)


def test_pictures_of_a_slow_node_are_kept_and_memory_is_not(tmp_path: Path) -> None:
    kept = recording(tmp_path)
    for answered in (100, 200):
        for stamp in range(answered - 99, answered + 100):
            kept.take(received(IMAGE, stamp))
            kept.take(received(TRUTH, stamp))
        kept.take(received(MASK, answered))
        kept.take(received(OVERLAY, answered - 1))  # in whatever order the topics come
        kept.take(received(OVERLAY, answered))
    assert [exhibit.caption for exhibit in kept.exhibits()] == ["100", "200"]
    assert min(kept._showing._waiting) > 198, "what a newer mask has passed is never answered"
    for stamp in range(1000, 1400):
        kept.take(received(IMAGE, stamp, size=(1600, 1200)))
    assert len(kept._showing) <= 256
    waiting = [array for parts in kept._showing._waiting.values() for array in parts.values()]
    assert max(array.nbytes for array in waiting) <= 320 * 240 * 3


@pytest.mark.parametrize(
    ("length", "part"), [(3, None), (None, None), (101, "first 3 of 101 frames")]
)  # fmt: skip
def test_a_part_of_a_source_is_called_one(tmp_path: Path, length: int | None, part: str | None) -> None:
    facts = RunFacts(
        model="m", classes=CAMVID, notice="", source="camvid/val", accuracy_note="None here.",
        asked_rate=None, one_by_one_rate=None, min_answered=0.0, node_exit=None, command="demo",
        source_length=length,
    )  # fmt: skip
    sent = [Sent(index, str(index), 10 + index, 10 + index) for index in range(2)]
    report = build_report(facts, sent, ["c: torn"], recording(tmp_path, with_truth=False), {})
    assert report["frames"]["source"] == length and report["source"]["part"] == part
    assert subject(report) == "camvid/val" + (f", {part}" if part else "")
    page = render_page(report | {"video_note": ""})
    title = page.partition("<title>")[2].partition("</title>")[0]
    heading = page.partition("<h1>")[2].partition("</h1>")[0]
    assert (str(part) in title) == (str(part) in heading) == (part is not None)


def test_ground_truth_waits_for_a_slow_node(tmp_path: Path) -> None:
    kept = recording(tmp_path)
    for stamp in range(1000):
        kept.take(received(TRUTH, stamp))
    for stamp in (0, 400, 999):
        kept.take(received(MASK, stamp))
    assert kept.scored == {0, 400, 999}
    assert len(kept._scoring) == 0, "what a newer mask has passed is never answered"
    for stamp in range(1000, 7000):
        kept.take(received(TRUTH, stamp, size=(8, 6)))
    assert len(kept._scoring) < 5000
    kept.take(received(MASK, 2, size=(8, 6)))
    sent = [Sent(stamp, "f", stamp, 0) for stamp in (0, 2, 400, 999)]
    facts = RunFacts("m", CAMVID, "", "s", "", None, None, 0.0, None, "c")
    report = build_report(facts, sent, [], kept, {})
    assert "Nor are 1 answered frames that met no ground truth" in report["accuracy_note"]
