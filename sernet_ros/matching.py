"""Bookkeeping of a replay: which frames were sent, which were answered, and how long each answer took.

Everything is matched by the exact stamp of the header in nanoseconds, because that is the one thing that the
node must hand through unchanged. No ROS here.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from sernet_core.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Sent:
    """One published frame, as the replayer logs it.

    Attributes:
        index: Position in the replay, from 0.
        name: The frame's name in its source.
        stamp_ns: Stamp of the header.
        sent_ns: Monotonic clock just before the message was handed over.
        answered_ns: Monotonic clock when its mask came back, where the replayer waited for it.
    """

    index: int
    name: str
    stamp_ns: int
    sent_ns: int
    answered_ns: int | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class ReplayLog:
    """What a replayer wrote.

    Attributes:
        sent: The frames it sent.
        unreadable: The ones that it could not read, with the reason.
        broken: Those of them with which all that should have followed is missing.
    """

    sent: tuple[Sent, ...] = ()
    unreadable: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def unreadable_entry(name: str, reason: str, breaks_off: bool) -> dict[str, str | bool]:
    """Line of the log for a frame that could not be read."""
    return {"unreadable": name, "reason": reason, "breaks_off": breaks_off}


def read_log(path: Path) -> ReplayLog:
    """Read a replayer's log, finished or not; a last line that is still being written is left out.

    Raises:
        InputError: A line is not what a replayer writes.
    """
    text = path.read_text() if path.is_file() else ""
    sent, unreadable, broken = [], [], []
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        try:
            entry = json.loads(line)
            if "unreadable" in entry:
                unreadable.append(f"{entry['unreadable']}: {entry['reason']}")
                broken += unreadable[-1:] if entry.get("breaks_off") else []
            else:
                sent.append(Sent(**entry))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}, line {number}: not a line of a replay log: {error}") from error
    return ReplayLog(tuple(sent), tuple(unreadable), tuple(broken))


class LineCount:
    """Counts the frames in a replayer's log while it grows; each byte is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._count = 0

    def count(self) -> int:
        """Frames sent so far."""
        if self._path.is_file():
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            self._count += whole.count(b'"stamp_ns"')
        return self._count


class StampPairs(Generic[T]):
    """Joins things of several kinds that share a stamp, in whatever order they come.

    Holds at most `limit` unfinished stamps and forgets the oldest first, so that frames which are never
    answered do not fill the memory.
    """

    def __init__(self, kinds: Iterable[str], limit: int = 128) -> None:
        self._kinds = frozenset(kinds)
        self._limit = limit
        self._waiting: OrderedDict[int, dict[str, T]] = OrderedDict()

    def add(self, stamp_ns: int, kind: str, value: T) -> dict[str, T] | None:
        """Add one thing; returns all of them by kind once the last kind of that stamp is there."""
        if kind not in self._kinds:
            raise KeyError(kind)
        parts = self._waiting.setdefault(stamp_ns, {})
        parts[kind] = value
        if parts.keys() == self._kinds:
            return self._waiting.pop(stamp_ns)
        if len(self._waiting) > self._limit:
            self._waiting.popitem(last=False)
        return None

    def forget_before(self, stamp_ns: int, kind: str) -> None:
        """Forget every older stamp that still has nothing of a kind."""
        for stamp in [one for one, parts in self._waiting.items() if one < stamp_ns and kind not in parts]:
            del self._waiting[stamp]

    def __len__(self) -> int:
        return len(self._waiting)


@dataclass(frozen=True)
class Account:
    """What became of the frames that were sent.

    Attributes:
        sent: Frames published.
        answered: Frames of those whose mask came back; `dropped` are the others.
        unmatched: Masks with a stamp that was never sent.
        duplicates: Masks beyond the first for a frame.
        latency_ms: Publish to mask received, by stamp, in the order of sending; dropped frames are absent.
    """

    sent: int
    answered: int
    unmatched: int
    duplicates: int
    latency_ms: Mapping[int, float] = field(repr=False)

    @property
    def dropped(self) -> int:
        return self.sent - self.answered

    @property
    def answered_percent(self) -> float:
        return 100.0 * self.answered / self.sent if self.sent else 0.0


def account(sent: Iterable[Sent], answers: Iterable[tuple[int, int]]) -> Account:
    """Match answers with sent frames.

    Args:
        sent: The replayer's log.
        answers: (stamp in ns, monotonic clock of reception in ns) of every mask received, in any order.
    """
    first: dict[int, int] = {}
    received = 0
    for stamp_ns, at_ns in answers:
        received += 1
        first[stamp_ns] = min(at_ns, first.get(stamp_ns, at_ns))
    sent_ns = {frame.stamp_ns: frame.sent_ns for frame in sent}
    latency = {stamp: (first[stamp] - at) / 1e6 for stamp, at in sent_ns.items() if stamp in first}
    known = len(latency)
    unmatched_stamps = len(first) - known
    return Account(len(sent_ns), known, unmatched_stamps, received - len(first), latency)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Smallest value that `percent` of the values do not exceed (nearest rank); None without values."""
    if not values:
        return None
    rank = max(1, math.ceil(len(values) * percent / 100.0))
    return sorted(values)[rank - 1]


def rate_of(moments_ns: Sequence[int]) -> float | None:
    """Mean rate in Hz of events on one clock; None for fewer than two."""
    span = max(moments_ns) - min(moments_ns) if len(moments_ns) > 1 else 0
    return (len(moments_ns) - 1) * 1e9 / span if span else None


def throughput(trial: Iterable[Sent]) -> float | None:
    """Rate in Hz at which a node answers one frame after the other, even in its slower moments.

    Args:
        trial: Log of a replay that waited for every answer.

    Returns:
        Hz, or None when no frame was answered.
    """
    took = [(frame.answered_ns - frame.sent_ns) / 1e9 for frame in trial if frame.answered_ns is not None]
    # The slowest quarter and not the mean: what counts is that the node keeps up when it is slow.
    slow = percentile(took, 75.0)
    return 1.0 / slow if slow else None
