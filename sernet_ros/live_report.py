"""The figures of a live run as one JSON-ready report. Knows no ROS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sernet_core.labels import ClassSet
from sernet_core.report.facts import machine, versions
from sernet_ros.matching import Account, Sent, account, percentile, rate_of
from sernet_ros.recording import Recording

if TYPE_CHECKING:
    from sernet_core.checkpoint import CheckpointInfo
    from sernet_ros.meter import Usage
    from sernet_ros.sources import Source

_PERCENTILES = {f"p{share}": float(share) for share in (5, 25, 50, 75, 95, 99)}


@dataclass(frozen=True)
class RunFacts:
    """What a report says that was not measured in the run.

    Attributes:
        model: Name as the user gave it.
        classes: Class set of the masks.
        notice: Terms of the weights.
        source: Name of the source.
        accuracy_note: Why there is no accuracy; empty where there is one.
        asked_rate: Rate asked for in Hz; None in lock-step.
        one_by_one_rate: Throughput in Hz, one frame at a time, where it was tried first.
        min_answered: Percent of the frames that must be answered.
        node_exit: Exit code of the node if it ended during the run.
        command: How to repeat it.
        source_length: Frames of the source; None where it is not known.
        broken: How often the source broke off; counted among what could not be read, but no frames.
    """

    model: str
    classes: ClassSet
    notice: str
    source: str
    accuracy_note: str
    asked_rate: float | None
    one_by_one_rate: float | None
    min_answered: float
    node_exit: int | None
    command: str
    source_length: int | None = None
    broken: int = 0


def accuracy_note(source: Source, info: CheckpointInfo) -> str:
    """Why the masks of a model on a source cannot be scored; empty where they can."""
    if source.classes is None:
        return "This source has no ground truth: accuracy is left out."
    if source.classes.names != info.classes.names:
        return (
            f"The source has the classes of {source.classes.name}, the model those of {info.classes.name}: "
            "accuracy is left out."
        )
    return overlap_note(source, info)


def overlap_note(source: Source, info: CheckpointInfo) -> str:
    """Says so when a model was trained on frames of a source; empty when it was not."""
    from sernet_core.evaluate import trained_frames  # here, for it needs torch

    if seen := trained_frames(info, source.stems):
        count = f"{len(seen)} of {len(source.stems)} frames"
        return f"{count} are in the model's training list: accuracy is left out."
    return ""


def build_report(
    facts: RunFacts,
    sent: Sequence[Sent],
    unreadable: Sequence[str],
    recording: Recording,
    node: Mapping[str, str],
    usage: Sequence[Usage] = (),
) -> dict[str, Any]:
    """Put a run into figures.

    Args:
        facts: About the run.
        sent: Frames that were sent.
        unreadable: Frames that could not be.
        recording: What came back.
        node: The node's last diagnostics.
        usage: The node's process over time.

    Returns:
        The content of report.json; `miou`, `iou` and the accuracies in percent, None without a score.
    """
    books = account(sent, recording.answers)
    reasons = _reasons(facts, books)
    latency = sorted(books.latency_ms.values())
    start_ns = sent[0].sent_ns if sent else 0
    return {
        "created": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "headline": f"{books.answered} of {books.sent} frames answered ({books.answered_percent:.1f} %"
        + (f", at least {facts.min_answered:g} % asked for)" if facts.min_answered else ")"),
        "passed": not reasons,
        "reasons": reasons,
        **_accuracy(facts, recording, books.answered),
        "frames": {
            "source": facts.source_length,
            "sent": books.sent,
            "answered": books.answered,
            "dropped": books.dropped,
            "unmatched": books.unmatched,
            "duplicates": books.duplicates,
            "scored": len(recording.scored),
            "unreadable": len(unreadable),
        },
        "answered_percent": round(books.answered_percent, 2),
        "min_answered_percent": facts.min_answered,
        "latency_ms": {
            **{name: _round(percentile(latency, share)) for name, share in _PERCENTILES.items()},
            "mean": _round(sum(latency) / len(latency) if latency else None),
            "max": _round(latency[-1] if latency else None),
        },
        "stages_ms": _stages(node),
        "rates_hz": {
            "asked": _round(facts.asked_rate),
            "sent": _round(rate_of([frame.sent_ns for frame in sent])),
            "answered": _round(rate_of([at_ns for _, at_ns in recording.answers])),
            "one_by_one": _round(facts.one_by_one_rate),
        },
        "model": facts.model,
        "engine": node.get("engine"),
        "device": node.get("device"),
        "precision": node.get("precision"),
        "notice": facts.notice,
        "classes": {
            name: "#{:02x}{:02x}{:02x}".format(*color)
            for name, color in zip(facts.classes.names, facts.classes.palette, strict=True)
        },
        "source": {
            "name": facts.source,
            "part": _part(books.sent + len(unreadable) - facts.broken, facts.source_length),
            "size": "x".join(map(str, recording.size)) if recording.size else None,
        },
        "unreadable": list(unreadable),
        "command": facts.command,
        "machine": machine(),
        "versions": versions(),
        "node": dict(node),
        "timeline": [_moment(frame, books, start_ns) for frame in sent],
        "usage": [
            {
                "t_s": round((sample.at_ns - start_ns) / 1e9, 2),
                "cpu_percent": round(sample.cpu_percent, 1),
                "memory_mb": round(sample.memory_mb, 1),
            }
            for sample in usage
            if sample.at_ns >= start_ns
        ],
    }


def _reasons(facts: RunFacts, books: Account) -> list[str]:
    """Why the run failed; empty when it did not."""
    reasons = []
    if facts.node_exit is not None:
        reasons.append(f"the node ended during the run with exit code {facts.node_exit}")
    if not books.sent:
        reasons.append("no frame was sent")
    elif not books.answered and not facts.min_answered:
        reasons.append("no frame was answered")
    elif books.answered_percent < facts.min_answered:
        reasons.append(
            f"the node answered {books.answered_percent:.1f} % of the frames, less than "
            f"{facts.min_answered:g} %: lower the rate, or take a smaller model or input"
        )
    if books.unmatched:
        reasons.append(f"{books.unmatched} masks carry a stamp that no frame has")
    return reasons


def _part(taken: int, length: int | None) -> str | None:
    """Which part of the source was replayed; None for all of it, or where its length is not known."""
    return f"first {taken} of {length} frames" if length and taken < length else None


def _accuracy(facts: RunFacts, recording: Recording, answered: int) -> dict[str, Any]:
    note = facts.accuracy_note
    if not note and not recording.scored:
        note = "Nothing was scored: no mask met ground truth of its stamp."
    if note:
        keys = ("miou", "iou", "pixel_accuracy", "class_accuracy", "confusion")
        return dict.fromkeys(keys) | {"accuracy_note": note}
    note = (
        f"{len(recording.scored)} published masks against ground truth of exactly their stamp; void pixels "
        "are left out. Frames that were dropped are not in it."
    )
    if (missing := answered - len(recording.scored)) > 0:
        note += f" Nor are {missing} answered frames that met no ground truth of their stamp."
    counts = recording.matrix.counts.tolist()
    return {**recording.matrix.summary(), "confusion": counts, "accuracy_note": note}


def _stages(node: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """The node's own stage times: diagnostics have them as `STAGE_ms.p50`."""
    stages: dict[str, dict[str, float]] = {}
    for key, value in node.items():
        stage, separator, name = key.partition("_ms.")
        if separator and name in _PERCENTILES:
            stages.setdefault(stage, {})[name] = float(value)
    return stages


def _moment(frame: Sent, books: Account, start_ns: int) -> dict[str, Any]:
    return {
        "frame": frame.name,
        "stamp_ns": frame.stamp_ns,
        "t_s": round((frame.sent_ns - start_ns) / 1e9, 3),
        "latency_ms": _round(books.latency_ms.get(frame.stamp_ns)),
    }


def _round(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)
