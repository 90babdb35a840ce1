"""Where the time of single frames goes, from message to mask: as two processes saw them. Knows no ROS.

The monotonic clock is one for all processes of a machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from sernet_core.errors import EngineError

_PATIENCE = 5.0  # seconds for the last line to be written
_POLL = 0.02


@dataclass(frozen=True)
class Asked:
    """A frame as its sender saw it, in seconds of the monotonic clock."""

    sent: float
    received: float


@dataclass(frozen=True)
class Answered:
    """A frame as the node saw it.

    Attributes:
        began: When the inference (frame to mask) began, in seconds of the monotonic clock.
        ended: When it had ended.
        network: Seconds in the network alone; None where frame and mask are one launch.
        wait: Seconds before the worker took the frame.
        decode: Seconds from message to array.
        publish: Seconds of the node's own publishing.
    """

    began: float
    ended: float
    network: float | None
    wait: float
    decode: float
    publish: float

    def write(self, file: TextIO) -> None:
        """Append it as a line."""
        file.write(json.dumps(asdict(self)) + "\n")
        file.flush()


def read(path: Path, asked: Sequence[Asked]) -> list[Answered]:
    """What a node noted of frames that it was asked for one by one.

    Args:
        path: Lines of `Answered.write`, of other frames too.
        asked: The frames; the node notes the last one after its mask is out, which is waited for.

    Raises:
        EngineError: One of them is not there.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        text = path.read_text() if path.is_file() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()  # without a line that is only half there
        answered = [Answered(**json.loads(line)) for line in whole]
        found = [_last_within(one, answered) for one in asked]
        if None not in found:
            return [one for one in found if one is not None]
        if time.monotonic() > deadline:
            raise EngineError(f"{path}: lacks {found.count(None)} of {len(asked)} frames")
        time.sleep(_POLL)


def _last_within(asked: Asked, answered: Sequence[Answered]) -> Answered | None:
    """The inference that lies between a frame's sending and its answer.

    Of several the last one: a frame from before may still have been under way.
    """
    within = (one for one in reversed(answered) if asked.sent <= one.began and one.ended <= asked.received)
    return next(within, None)


def stages(asked: Sequence[Asked], answered: Sequence[Answered]) -> dict[str, list[float]]:
    """Seconds of each frame by stage.

    Of "delivery", "wait", "decode", "inference" and "answer" each begins where the one before has ended, and
    together they are the frame's time. None can be negative. "network" is a part of the inference. "publish",
    the node's own publishing, lies within the answer but for what goes on when the mask is there already.

    Args:
        asked: By the sender.
        answered: By the node, of the same frames.
    """
    found: dict[str, list[float]] = {}
    for one, other in zip(asked, answered, strict=True):
        values = {
            "delivery": other.began - other.decode - other.wait - one.sent,
            "wait": other.wait,
            "decode": other.decode,
            "inference": other.ended - other.began,
            "network": other.network,
            "answer": one.received - other.ended,
            "publish": other.publish,
        }
        for name, value in values.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    if 0 < len(found.get("network", ())) < len(asked):
        del found["network"]  # one that is known of some frames only is compared with none
    return found
