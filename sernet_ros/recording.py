"""What is kept of a live run: scores, answers, a video and a few pictures. Knows no ROS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sernet_core.errors import InputError
from sernet_core.labels import ClassSet
from sernet_core.metrics import ConfusionMatrix
from sernet_core.report import Exhibit, Exhibits, OverlayVideo, thumbnail
from sernet_ros.matching import StampPairs

IMAGE, TRUTH, MASK, OVERLAY = "image", "ground_truth", "semantic_mask", "semantic_overlay"


@dataclass(frozen=True)
class Received:
    """One message that arrived.

    Attributes:
        topic: IMAGE, TRUTH, MASK or OVERLAY.
        stamp_ns: Stamp of its header.
        at_ns: Monotonic clock of its arrival.
        array: uint8, RGB (H, W, 3) for pictures and (H, W) for masks.
    """

    topic: str
    stamp_ns: int
    at_ns: int
    array: np.ndarray


class Recording:
    """Takes messages as they arrive and keeps what a report needs; memory does not grow with the pictures.

    Args:
        classes: Class set of the masks.
        video: Takes the overlays.
        with_truth: Whether ground truth of the same class set comes, too.

    Attributes:
        answers: (stamp, arrival on the monotonic clock) of every mask, in ns.
        matrix: Masks against ground truth of exactly their stamp.
        scored: Stamps that are in the matrix.
    """

    def __init__(self, classes: ClassSet, video: OverlayVideo, with_truth: bool) -> None:
        self.answers: list[tuple[int, int]] = []
        self.matrix = ConfusionMatrix(classes)
        self.scored: set[int] = set()
        self.size: tuple[int, int] | None = None
        self._with_truth = with_truth
        self._video = video
        self._exhibits = Exhibits()
        self._scoring: StampPairs[np.ndarray] = StampPairs((TRUTH, MASK))
        kinds = (IMAGE, MASK, OVERLAY, *([TRUTH] if with_truth else []))
        # Thumbnails, so that many frames can wait for a node that takes seconds to answer.
        self._showing: StampPairs[np.ndarray] = StampPairs(kinds, limit=256)

    def take(self, received: Received) -> None:
        """Take one message."""
        if received.topic == TRUTH and not self._with_truth:
            return
        if received.topic == MASK:
            self.answers.append((received.stamp_ns, received.at_ns))
        if received.topic == IMAGE:
            self.size = (received.array.shape[1], received.array.shape[0])
        if received.topic == OVERLAY:
            self._video.write(received.array)
        if self._with_truth and received.topic in (TRUTH, MASK):
            self._score(received)
        if received.topic == MASK:
            # The node never goes back to an image older than the one that it has answered.
            self._showing.forget_before(received.stamp_ns, MASK)
        parts = self._showing.add(received.stamp_ns, received.topic, thumbnail(received.array))
        if parts:
            self._exhibits.offer(
                Exhibit(str(received.stamp_ns), parts[IMAGE], parts[MASK], parts.get(TRUTH), parts[OVERLAY])
            )

    def exhibits(self) -> list[Exhibit]:
        """Pictures spread over the run; each caption is the stamp."""
        return self._exhibits.chosen()

    def _score(self, received: Received) -> None:
        pair = self._scoring.add(received.stamp_ns, received.topic, received.array)
        if pair is None or received.stamp_ns in self.scored:
            return
        if pair[TRUTH].shape != pair[MASK].shape:
            raise InputError(
                f"mask {received.stamp_ns} is {pair[MASK].shape}, its ground truth {pair[TRUTH].shape}: "
                "masks must have the size of their frame"
            )
        self.matrix.update(pair[TRUTH], pair[MASK])
        self.scored.add(received.stamp_ns)
