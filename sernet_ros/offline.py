"""Frames through a segmenter in this process: what a live run gives, without ROS and as fast as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sernet_core.errors import InputError, SernetError
from sernet_core.labels import ClassSet, overlay
from sernet_ros.ahead import read_ahead
from sernet_ros.matching import ReplayLog, Sent
from sernet_ros.meter import Meter, Usage
from sernet_ros.recording import CONFIDENCE, IMAGE, MASK, OVERLAY, TRUTH, Received, Recording
from sernet_ros.sources import Picture, Source, Unreadable


class Segments(Protocol):
    """What is needed of `sernet_core.runtime.Segmenter`."""

    @property
    def classes(self) -> ClassSet: ...

    def prepare(self, height: int, width: int) -> None: ...

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Any: ...


@dataclass
class OfflineRun:
    """What became of the frames.

    Attributes:
        log: What was segmented and what could not be read, as a replayer logs it.
        usage: This process over time.
        failures: Frames without a mask, with the reason.
        interrupted: Whether the user ended it.
    """

    log: ReplayLog = field(default_factory=ReplayLog)
    usage: list[Usage] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True)
class Part:
    """A stretch of a source, counted in items that it gives, readable or not; `end` None: to its end."""

    begin: int
    end: int | None


def play(
    source: Source,
    segmenter: Segments,
    recording: Recording,
    frames: int | None = None,
    part: Part | None = None,
    progress: Callable[[int, int], None] = lambda sent, answered: None,
) -> OfflineRun:
    """Segment the frames of a source one after the other.

    Args:
        source: The frames; decoded ahead in a thread of its own, which no latency contains.
        segmenter: Gives the masks.
        recording: Takes what a live run would publish.
        frames: Stop after so many; None: after the last.
        part: What to segment of it; None: everything.
        progress: Gets the number of frames taken and of masks.

    Returns:
        The run, also when the user interrupted it.

    Raises:
        EngineError, ConfigError: The engine for a frame's size cannot be had.
    """
    run, player = OfflineRun(), _Player(source, segmenter, recording)
    part = part or Part(0, None)
    meter = Meter(os.getpid())
    try:
        with read_ahead(source.frames) as pictures:
            for number, picture in enumerate(pictures):
                if number == part.end:
                    break
                if number < part.begin:
                    player.pass_by(picture, is_last=number == part.begin - 1)
                else:
                    player.take(picture)
                if meter.due():
                    meter.sample(run.usage)
                    progress(len(player.sent), len(recording.answers))
                if player.count == frames:
                    break
    except KeyboardInterrupt:
        run.interrupted = True
    run.log = ReplayLog(tuple(player.sent), tuple(player.unreadable), tuple(player.broken))
    run.failures = player.failures
    return run


class _Player:
    def __init__(self, source: Source, segmenter: Segments, recording: Recording) -> None:
        self._source = source
        self._segmenter = segmenter
        self._recording = recording
        self._used: set[int] = set()
        self.count = 0  # of frames that could be read, those of other parts among them
        self.sent: list[Sent] = []
        self.unreadable: list[str] = []
        self.broken: list[str] = []
        self.failures: list[str] = []

    def pass_by(self, picture: Picture | Unreadable, is_last: bool) -> None:
        """Leave a frame to another process; the mask of the last one is what the first here follows."""
        if isinstance(picture, Unreadable):
            return
        stamp_ns = self._stamp(picture)
        if is_last and self._recording.frames:
            with suppress(SernetError):
                mask = self._segmenter.segment(picture.image).mask
                self._recording.frames.begin_after(stamp_ns, mask)

    def take(self, picture: Picture | Unreadable) -> None:
        """Segment a frame and record it, or note why not."""
        if isinstance(picture, Unreadable):
            self.unreadable.append(f"{picture.name}: {picture.reason}")
            self.broken += self.unreadable[-1:] if picture.breaks_off else []
            return
        index = self.count
        stamp_ns = self._stamp(picture)
        with suppress(InputError):  # a frame that no network takes says so below
            # No frame's latency holds the build of an engine, and without one none could be answered.
            self._segmenter.prepare(*picture.image.shape[:2])
        sent_ns = time.monotonic_ns()
        try:
            answer = self._segmenter.segment(picture.image, confidence=self._recording.wants_confidence)
        except SernetError as error:
            self.failures.append(f"{picture.name}: {error}")
            self.sent.append(Sent(index, picture.name, stamp_ns, sent_ns))
            return
        at_ns = time.monotonic_ns()
        self.sent.append(Sent(index, picture.name, stamp_ns, sent_ns, at_ns))
        blended = overlay(picture.image, answer.mask, self._segmenter.classes)
        parts = {IMAGE: picture.image, TRUTH: picture.truth, MASK: answer.mask, OVERLAY: blended}
        parts |= {CONFIDENCE: answer.confidence}
        for kind, array in parts.items():
            if array is not None:
                received = Received(kind, stamp_ns, at_ns, array, picture.frame_id or "")
                self._recording.take(received)

    def _stamp(self, picture: Picture) -> int:
        """Stamp of a frame, by the rules of the replayer: no two frames share one."""
        stamp_ns = picture.stamp_ns
        if stamp_ns is None:
            stamp_ns = 10**9 + round(self.count * 1e9 / self._source.rate)
        self.count += 1
        while stamp_ns in self._used:
            stamp_ns += 1
        self._used.add(stamp_ns)
        return stamp_ns
