"""Frames through a segmenter in this process, and what is kept of single ones; needs no ROS."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sernet_core.errors import EngineError, InputError, SernetError
from sernet_core.labels import CAMVID, ClassSet
from sernet_core.report import OverlayVideo
from sernet_ros.offline import play
from sernet_ros.recording import Recording
from sernet_ros.sources import Picture, Source


class Rule:
    """Segments by a rule that a test can compute too: the red channel is the class id."""

    classes: ClassSet = CAMVID

    def prepare(self, height: int, width: int) -> None:
        pass

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        certain = np.ascontiguousarray(image[:, :, 1]) if confidence else None
        return SimpleNamespace(mask=np.ascontiguousarray(image[:, :, 0]), confidence=certain)


def halves(upper: int, lower: int) -> np.ndarray:
    image = np.zeros((8, 6, 3), np.uint8)
    image[:4, :, 0], image[4:, :, 0] = upper, lower
    return image


def source_of(images: list[np.ndarray], truths: list[np.ndarray | None] | None = None) -> Source:
    frames = [
        Picture(f"f{index}", image, truth)
        for index, (image, truth) in enumerate(zip(images, truths or [None] * len(images), strict=True))
    ]
    return Source("rule", 10.0, len(frames), CAMVID if truths else None, lambda: iter(frames))


def played(tmp_path: Path, images: list[np.ndarray], truths: list[np.ndarray | None]) -> Recording:
    with_truth = any(truth is not None for truth in truths)
    source = source_of(images, truths if with_truth else None)
    recording = Recording(CAMVID, OverlayVideo(tmp_path / "v.webm", 10.0), with_truth, frames=True)
    run = play(source, Rule(), recording)
    assert len(run.log.sent) == len(images) and not run.interrupted
    return recording


def test_flicker_and_share_of_single_frames(tmp_path: Path) -> None:
    recording = played(tmp_path, [halves(0, 3), halves(0, 4), halves(2, 4), halves(2, 200)], [None] * 4)
    assert recording.frames
    scores = list(recording.frames.by_stamp.values())
    assert [score.flicker for score in scores] == [None, 0.5, 0.5, 0.5]
    assert [score.before for score in scores] == [None, *list(recording.frames.by_stamp)[:3]]
    np.testing.assert_allclose(scores[0].share, [0.5, 0, 0, 0.5, *[0.0] * 8])
    np.testing.assert_allclose(scores[3].share, [0, 0, 0.5, *[0.0] * 8, 0.5])
    assert all(score.miou is None for score in scores)


def test_single_frames_are_scored_and_ranked(tmp_path: Path) -> None:
    truths = [halves(0, 3)[:, :, 0], halves(0, 3)[:, :, 0], np.full((8, 6), 255, np.uint8)]
    recording = played(tmp_path, [halves(0, 3), halves(0, 0), halves(1, 1)], list(truths))
    assert recording.frames
    mious = [score.miou for score in recording.frames.by_stamp.values()]
    # Second frame: class 0 is half right, class 3 is missed; the third has void alone.
    assert mious == [100.0, pytest.approx((50.0 + 0.0) / 2), None]
    assert [exhibit.caption for exhibit in recording.ranked.worst()] == [
        str(list(recording.frames.by_stamp)[1]),
        str(next(iter(recording.frames.by_stamp))),
    ]
    assert recording.matrix.counts.sum() == 96


class Builder(Rule):
    """Builds something for each size of frames, and notes when that was done."""

    def __init__(self, fault: SernetError | None = None) -> None:
        self.fault = fault
        self.built_ns: dict[tuple[int, int], int] = {}

    def prepare(self, height: int, width: int) -> None:
        if self.fault:
            raise self.fault
        self.built_ns.setdefault((height, width), time.monotonic_ns())


def test_no_latency_holds_the_build_of_an_engine(tmp_path: Path) -> None:
    images = [halves(0, 3), halves(0, 3)[:4], halves(0, 3)]
    source, builder = source_of(images), Builder()
    run = play(source, builder, Recording(CAMVID, OverlayVideo(tmp_path / "v.webm", 10.0), with_truth=False))
    assert list(builder.built_ns) == [(8, 6), (4, 6)]
    for image, sent in zip(images, run.log.sent, strict=True):
        assert sent.answered_ns and builder.built_ns[image.shape[:2]] <= sent.sent_ns


@pytest.mark.parametrize(
    ("fault", "ends"), [(EngineError("cannot be built"), True), (InputError("a strip"), False)]
)
def test_only_an_engine_that_cannot_be_built_ends_a_run(
    tmp_path: Path, fault: SernetError, ends: bool
) -> None:
    recording = Recording(CAMVID, OverlayVideo(tmp_path / "v.webm", 10.0), with_truth=False)
    with pytest.raises(EngineError, match="cannot be built") if ends else nullcontext():
        run = play(source_of([halves(0, 3)]), Builder(fault), recording)
    assert ends or len(run.log.sent) == 1
