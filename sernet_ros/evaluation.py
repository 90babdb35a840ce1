"""Judging one camera of a recording, live or offline: files to keep, figures to report, results to leave."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sernet_core.errors import EngineError
from sernet_core.report import OverlayVideo
from sernet_ros.bag.record import record_answers
from sernet_ros.class_map import TruthMap
from sernet_ros.frame_report import add_frames
from sernet_ros.jobs import Job
from sernet_ros.live_report import RunFacts, build_report, overlap_note
from sernet_ros.matching import ReplayLog
from sernet_ros.options import LOCKSTEP
from sernet_ros.recording import Recording
from sernet_ros.results import VIDEO, leave_results, model_name, say, summarise, writing_to
from sernet_ros.sources import Source
from sernet_ros.startup import FAILED, INTERRUPTED

if TYPE_CHECKING:
    from sernet_core.checkpoint import CheckpointInfo
    from sernet_ros.meter import Usage


@dataclass
class Played:
    """What was played, live or offline."""

    log: ReplayLog
    node: dict[str, str]
    usage: Sequence[Usage] = ()
    node_exit: int | None = None
    interrupted: bool = False
    failures: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """One camera of a recording and the model that is judged on it.

    Attributes:
        options: The command line of evaluate_bag.
        command: The same as it was typed.
        job: What is judged.
        model: Name or path of the checkpoint.
        info: Of the checkpoint.
        truth: What the ids of the ground truth are.
    """

    options: argparse.Namespace
    command: str
    job: Job
    model: str
    info: CheckpointInfo
    truth: TruthMap

    @property
    def accuracy_note(self) -> str:
        """Why there is no accuracy; empty where there is."""
        return self.truth.note or overlap_note(self.job.source, self.info)

    @contextmanager
    def recording(self, video: bool = True) -> Iterator[Recording]:
        """What takes the answers, with the files that grow meanwhile: the video, and the new recording."""
        classes, job = self.info.classes, self.job
        with ExitStack() as stack:
            rate = min(60.0, max(1.0, job.source.rate))
            film = stack.enter_context(OverlayVideo(job.out / VIDEO, rate)) if video else None
            sink = None
            if self.options.record:
                where = Path(job.where).expanduser()
                sink = stack.enter_context(
                    record_answers(where, job.choice, self.options.record, classes, _tell_of_record)
                )
                for note in sink.notes:
                    _tell_of_record(note)
            with_truth = not self.accuracy_note
            yield Recording(classes, film, with_truth, self.truth.table, frames=True, sink=sink)

    def report(self, played: Played, recording: Recording) -> dict[str, Any]:
        """The content of report.json."""
        options, source, log = self.options, self.job.source, played.log
        rate = options.rate if isinstance(options.rate, float) else source.rate * (options.speed or 1.0)
        facts = RunFacts(
            model=model_name(self.model),
            classes=self.info.classes,
            notice=self.info.notice,
            source=source.name,
            accuracy_note=self.accuracy_note,
            asked_rate=None if options.offline or options.rate == LOCKSTEP else rate,
            one_by_one_rate=None,
            min_answered=options.min_answered,
            node_exit=played.node_exit,
            command=self.command,
            source_length=source.length,
            broken=len(log.broken),
        )
        report = build_report(facts, log.sent, log.unreadable, recording, played.node, played.usage)
        if options.offline:
            _as_offline(report, source)
        report["notes"] = [*source.notes, *played.failures]
        report["partial"] = _partial(source, played)
        report["reasons"] += [f"the recording is not whole: {words}" for words in log.broken]
        report["passed"] = not report["reasons"]
        assert recording.frames
        add_frames(report, log.sent, recording.frames)
        return report

    def leave(self, report: dict[str, Any], recording: Recording, began: float, interrupted: bool) -> int:
        """Write the results and say what they are; returns the exit code.

        Args:
            report: Of `report`.
            recording: The answers.
            began: When the run began, on the monotonic clock.
            interrupted: Whether the user ended it.

        Raises:
            EngineError: There is nothing to report.
            InputError: The results cannot be written.
        """
        out, source = self.job.out, self.job.source
        if not report["timeline"] and not interrupted:
            raise EngineError("; ".join(report["unreadable"]) or f"{source.name}: not one frame was read")
        with writing_to(out):
            leave_results(out, report, recording, self.info.classes, source.rate)
        summarise("evaluate_bag", out, report, time.monotonic() - began)
        if interrupted:
            return INTERRUPTED
        return 0 if report["passed"] else FAILED


def _tell_of_record(words: str) -> None:
    say("record", words)


def _as_offline(report: dict[str, Any], source: Source) -> None:
    """Put a report in the words of an offline run, where nobody published, and in the recording's time."""
    report["offline"] = True
    report["accuracy_note"] = report["accuracy_note"].replace("published masks", "masks")
    stamps = [moment["stamp_ns"] for moment in report["timeline"]]
    in_order = stamps == sorted(stamps)
    for index, moment in enumerate(report["timeline"]):
        seconds = (moment["stamp_ns"] - stamps[0]) / 1e9 if in_order else index / source.rate
        moment["t_s"] = round(seconds, 3)


def _partial(source: Source, played: Played) -> str | None:
    """Says what part of the recording a report is about; None for all of it."""
    count, total = len(played.log.sent), source.length or "?"
    if played.interrupted:
        return f"Interrupted after {count} of {total} frames"
    if played.log.broken:
        return f"The recording breaks off: {count} frames were read"
    return None
