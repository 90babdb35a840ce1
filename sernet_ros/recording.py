"""What is kept of a live run: scores, answers, a video and a few pictures. Knows no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sernet_core.errors import InputError
from sernet_core.frame_scores import FrameScores
from sernet_core.labels import ClassSet
from sernet_core.metrics import ConfusionMatrix
from sernet_core.report import Exhibit, Exhibits, OverlayVideo, RankedExhibits, thumbnail
from sernet_ros.matching import StampPairs
from sernet_ros.truths import TruthPairs

IMAGE, TRUTH, MASK, OVERLAY = "image", "ground_truth", "semantic_mask", "semantic_overlay"
CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Received:
    """One message that arrived.

    Attributes:
        topic: IMAGE, TRUTH, MASK, OVERLAY or CONFIDENCE.
        stamp_ns: Stamp of its header.
        at_ns: Monotonic clock of its arrival.
        array: uint8, RGB (H, W, 3) for pictures, (H, W) for masks and confidence.
        frame_id: Of its header.
    """

    topic: str
    stamp_ns: int
    at_ns: int
    array: np.ndarray
    frame_id: str = ""


@dataclass(frozen=True)
class RecordingState:
    """What one process of several has recorded; the attributes of `Recording`."""

    answers: list[tuple[int, int]]
    counts: np.ndarray
    scored: set[int]
    size: tuple[int, int] | None
    frames: FrameScores | None
    ranked: RankedExhibits
    exhibits: Exhibits


class AnswerSink(Protocol):
    """Takes answers as they come: MASK or CONFIDENCE, uint8 (H, W), or OVERLAY, uint8 (H, W, 3) RGB."""

    def take(self, topic: str, stamp_ns: int, frame_id: str, array: np.ndarray) -> None: ...


class Recording:
    """Takes messages as they arrive and keeps what a report needs; memory does not grow with the pictures.

    Args:
        classes: Class set of the masks.
        video: Takes the overlays; None: there is none.
        with_truth: Whether ground truth comes, too.
        table: Id in the class set by id in the ground truth, uint8 (256,); None: they are the same.
        frames: Whether single frames are scored and ranked.
        sink: Takes masks, overlays and confidence, too.

    Attributes:
        answers: (stamp, arrival on the monotonic clock) of every mask, in ns.
        matrix: Masks against ground truth of exactly their stamp.
        scored: Stamps that are in the matrix.
        frames: Scores of single frames.
        ranked: The worst frames, and some near the median.
    """

    def __init__(
        self,
        classes: ClassSet,
        video: OverlayVideo | None,
        with_truth: bool,
        table: np.ndarray | None = None,
        frames: bool = False,
        sink: AnswerSink | None = None,
    ) -> None:
        self.answers: list[tuple[int, int]] = []
        self.matrix = ConfusionMatrix(classes)
        self.scored: set[int] = set()
        self.size: tuple[int, int] | None = None
        self.frames = FrameScores(classes) if frames else None
        self.ranked = RankedExhibits()
        self._with_truth = with_truth
        self._table = table
        self._video = video
        self._sink = sink
        self._exhibits = Exhibits()
        self._scoring = TruthPairs()
        kinds = (IMAGE, MASK, OVERLAY, *([TRUTH] if with_truth else []))
        # Thumbnails, so that many frames can wait for a node that takes seconds to answer.
        self._showing: StampPairs[np.ndarray] = StampPairs(kinds, limit=256)

    @property
    def wants_confidence(self) -> bool:
        """Whether anybody takes the confidence: the sink alone does."""
        return self._sink is not None

    def take(self, received: Received) -> None:
        """Take one message."""
        if self._sink and received.topic in (MASK, OVERLAY, CONFIDENCE):
            self._sink.take(received.topic, received.stamp_ns, received.frame_id, received.array)
        if received.topic == CONFIDENCE:
            return
        if received.topic == TRUTH and not self._with_truth:
            return
        if received.topic == TRUTH and self._table is not None:
            received = replace(received, array=self._table[received.array])
        if received.topic == MASK:
            self.answers.append((received.stamp_ns, received.at_ns))
            if self.frames and received.stamp_ns not in self.frames.by_stamp:
                self.frames.see(received.stamp_ns, received.array)
        if received.topic == IMAGE:
            self.size = (received.array.shape[1], received.array.shape[0])
        if received.topic == OVERLAY and self._video:
            self._video.write(received.array)
        if self._with_truth and received.topic in (TRUTH, MASK):
            self._score(received)
        if received.topic == MASK:
            # The node never goes back to an image older than the one that it has answered.
            self._showing.forget_before(received.stamp_ns, MASK)
        parts = self._showing.add(received.stamp_ns, received.topic, thumbnail(received.array))
        if parts:
            exhibit = Exhibit(
                str(received.stamp_ns), parts[IMAGE], parts[MASK], parts.get(TRUTH), parts[OVERLAY]
            )
            self._exhibits.offer(exhibit)
            self._rank(received.stamp_ns, exhibit)

    def state(self, began_ns: int) -> RecordingState:
        """What there is so far, for another process; times count from `began_ns`."""
        answers = [(stamp_ns, at_ns - began_ns) for stamp_ns, at_ns in self.answers]
        return RecordingState(
            answers, self.matrix.counts, self.scored, self.size, self.frames, self.ranked, self._exhibits
        )

    def replace(self, states: Sequence[RecordingState]) -> None:
        """Become the parts of a run, in order, that several processes recorded."""
        self.answers = [answer for state in states for answer in state.answers]
        self.matrix.counts = np.sum([state.counts for state in states], axis=0)
        self.scored = set().union(*(state.scored for state in states))
        self.size = next((state.size for state in states if state.size), None)
        self._exhibits, self.ranked = states[0].exhibits, states[0].ranked
        for state in states[1:]:
            self._exhibits.merge(state.exhibits)
            self.ranked.merge(state.ranked)
        for state in states:
            if self.frames and state.frames:
                self.frames.by_stamp |= state.frames.by_stamp

    def exhibits(self) -> list[Exhibit]:
        """Pictures spread over the run; each caption is the stamp."""
        return self._exhibits.chosen()

    def _rank(self, stamp_ns: int, exhibit: Exhibit) -> None:
        score = self.frames.by_stamp.get(stamp_ns) if self.frames else None
        if score is not None and score.miou is not None:
            self.ranked.offer(exhibit, score.miou)

    def _score(self, received: Received) -> None:
        add = self._scoring.add_truth if received.topic == TRUTH else self._scoring.add_mask
        pair = add(received.stamp_ns, received.array)
        if pair is None or received.stamp_ns in self.scored:
            return
        truth, mask = pair
        if truth.shape != mask.shape:
            raise InputError(
                f"mask {received.stamp_ns} is {mask.shape}, its ground truth {truth.shape}: "
                "masks must have the size of their frame"
            )
        self.matrix.update(truth, mask)
        self.scored.add(received.stamp_ns)
        if self.frames:
            self.frames.compare(received.stamp_ns, truth, mask)
