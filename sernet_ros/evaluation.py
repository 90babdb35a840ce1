"""The two ways to judge a model: on a recording through the live node, on several offline."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sernet_core.commands.options import DEFAULT_MODEL
from sernet_core.errors import ConfigError, EngineError
from sernet_core.report import OverlayVideo
from sernet_ros.bag.record import record_answers
from sernet_ros.class_map import TruthMap, truth_map
from sernet_ros.frame_report import add_frames
from sernet_ros.live_report import RunFacts, build_report, overlap_note
from sernet_ros.matching import ReplayLog
from sernet_ros.offline import play
from sernet_ros.options import LOCKSTEP, bag_words, topic_choice
from sernet_ros.recording import Recording
from sernet_ros.results import VIDEO, Progress, leave_results, model_name, prepare, say, summarise, writing_to
from sernet_ros.sources import Source, open_source
from sernet_ros.startup import FAILED, INTERRUPTED

if TYPE_CHECKING:
    from sernet_core.checkpoint import CheckpointInfo
    from sernet_core.runtime import Segmenter
    from sernet_ros.interrupts import Interrupts
    from sernet_ros.live_run import LiveRun
    from sernet_ros.meter import Usage
    from sernet_ros.shards import Shard

_WARM_UP = 5  # frames
# One frame, with a stamp that no recorded one has: a late answer to it must not count.
_FIRST = ("--frames", "1", "--rate", LOCKSTEP, "--answer-timeout", "5", "--stamps", "now")


@dataclass
class _Played:
    """What was played, live or offline."""

    log: ReplayLog
    node: dict[str, str]
    usage: Sequence[Usage] = ()
    node_exit: int | None = None
    interrupted: bool = False
    failures: Sequence[str] = field(default_factory=list)


def judge_live(options: argparse.Namespace, command: str, began: float, interrupts: Interrupts) -> int:
    """Replay one recording into a node over DDS; returns the exit code."""
    from sernet_core.checkpoint import read_info
    from sernet_ros.live_run import LiveRun

    source = _open(options.bags[0], options)
    # What needs no node is checked before one is started.
    info = None if options.running and not options.model else read_info(options.model or DEFAULT_MODEL)
    with ExitStack() as stack:
        with interrupts.held():
            live = stack.enter_context(_live_run(LiveRun, options))
        say("source", f"{source.name}, {source.length or '?'} frames at {source.rate:g} Hz")
        say("transport", live.domain)
        live.wait_until_active(options.ready_timeout, lambda words: say("node", words))
        # A frame of the source's size makes the node build its engine for it, if it has one to build.
        live.replay([*_replay_words(options), *_FIRST])
        live.wait_for_engine(options.ready_timeout, lambda words: say("node", words))
        if options.rate != LOCKSTEP:
            # The first frames through a new engine are slow: what they hold up must not count as dropped.
            live.replay([*_replay_words(options), *_FIRST, "--frames", str(_WARM_UP)])
        say("node", f"ready after {time.monotonic() - began:.0f} s")
        model = options.model or live.node_values.get("model") or DEFAULT_MODEL
        info = info or read_info(model)
        truth = truth_map(source, info.classes, options.class_map)
        with _keeping(options, options.out, source, info, truth) as recording:
            total = min(filter(None, (options.frames, source.length)), default=None)
            with Progress(total) as progress:
                outcome = live.replay(_replay_words(options), recording, progress, keep=True)
        node, last_words = live.node_values, live.last_words()
    played = _Played(
        outcome.log, node, outcome.usage, node_exit=outcome.node_exit, interrupted=outcome.interrupted
    )
    report = _report(options, command, source, model, info, truth, played, recording)
    if outcome.node_exit is not None:
        print(f"evaluate_bag: the node's last words:\n{last_words}", file=sys.stderr)
    return _leave(options.out, report, recording, info, source, began, outcome.interrupted)


def _live_run(make: type[LiveRun], options: argparse.Namespace) -> LiveRun:
    from sernet_ros.recorder import Topics

    if options.running:
        namespace = "/" + options.running.strip("/")
        running = Topics(
            namespace,
            options.node_image,
            mask=options.node_mask,
            overlay=options.node_overlay,
            confidence=options.node_confidence,
        )
        return make(options.out, running=running, confidence=bool(options.record))
    settings: dict[str, Any] = {
        "model": options.model or DEFAULT_MODEL,
        "device": options.device,
        "precision": options.precision,
        "input_size": options.input_size,
        "threads": options.threads,
        "input_qos": "reliable",
    }
    if options.rate == LOCKSTEP:
        # A mask that comes late is one all the same: no clock decides about the result.
        settings["inference_timeout"] = min(600.0, max(0.01, options.answer_timeout))
    if options.record:
        settings["publish_confidence"] = "true"
    parameters = [f"{name}:={value}" for name, value in settings.items()]
    words = [*parameters, *options.param]
    return make(options.out, words, options.params_file, confidence=bool(options.record))


def _replay_words(options: argparse.Namespace) -> list[str]:
    words = [options.bags[0], "--rate", str(options.rate), "--speed", str(options.speed)]
    words += ["--answer-timeout", str(options.answer_timeout), "--stamps", "recorded", *bag_words(options)]
    for name in ("frames", "split"):
        value = getattr(options, name)
        words += [f"--{name}", str(value)] if value is not None else []
    return words


def judge_offline(options: argparse.Namespace, command: str, began: float) -> int:
    """Segment recordings in this process, one after the other; returns the exit code."""
    from sernet_ros.shards import join_shards

    with join_shards() as shard:
        if shard.count > 1 and options.record:
            raise ConfigError("--record writes one file: leave torchrun away")
        if shard.first:
            prepare(options.out)
        return shard.agree(_judge_part(options, command, began, shard))


def _judge_part(options: argparse.Namespace, command: str, began: float, shard: Shard) -> int:
    from sernet_core.runtime import Segmenter
    from sernet_ros.summary import leave_summary

    sources = [_open(bag, options) for bag in options.bags]
    segmenter = Segmenter.load(
        options.model or DEFAULT_MODEL,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        input_size=options.input_size,
    )
    truths = [truth_map(source, segmenter.classes, options.class_map) for source in sources]
    folders = _folders(options.out, sources)
    reports: list[dict[str, Any]] = []
    codes: list[int] = []
    for source, truth, out in zip(sources, truths, folders, strict=True):
        started = time.monotonic()
        report, code = _offline(options, command, source, segmenter, truth, out, started, shard)
        reports.append(report)
        codes.append(code)
        if code == INTERRUPTED:
            break
    if len(sources) > 1 and shard.first:
        leave_summary(options.out, reports, folders, segmenter.classes, len(sources))
        say("summary", str(options.out / "summary.html"))
        say("took", f"{time.monotonic() - began:.0f} s in all")
    return INTERRUPTED if INTERRUPTED in codes else max(codes)


def _offline(
    options: argparse.Namespace,
    command: str,
    source: Source,
    segmenter: Segmenter,
    truth: TruthMap,
    out: Path,
    began: float,
    shard: Shard,
) -> tuple[dict[str, Any], int]:
    if shard.first:
        say("source", f"{source.name}, {source.length or '?'} frames at {source.rate:g} Hz")
        prepare(out)
    info, part = segmenter.info, shard.part(source, options.frames)
    shard.wait()
    began_ns = time.monotonic_ns()
    with _keeping(options, out, source, info, truth, video=part is None) as recording:
        total = min(filter(None, (options.frames, source.length)), default=None)
        with Progress(total, source.name, quiet=not shard.first) as progress:
            run = play(source, segmenter, recording, options.frames, part, progress)
    run = shard.gather(run, recording, began_ns)
    node = {name: str(getattr(segmenter, name)) for name in ("engine", "device", "precision")}
    played = _Played(run.log, node, run.usage, interrupted=run.interrupted, failures=run.failures)
    report = _report(options, command, source, segmenter.model, info, truth, played, recording)
    if not shard.first:
        return report, INTERRUPTED if run.interrupted else 0
    return report, _leave(out, report, recording, info, source, began, run.interrupted)


def _open(where: str, options: argparse.Namespace) -> Source:
    source = open_source(where, options.split, None, topic_choice(options))
    for note in source.notes:
        print(f"evaluate_bag: {note}", file=sys.stderr)
    return source


def _folders(out: Path, sources: Sequence[Source]) -> list[Path]:
    """A folder of results for each source: below `out` when there are several, numbered when names agree."""
    if len(sources) == 1:
        return [out]
    names = [source.name.replace("/", "_") for source in sources]
    return [out / (name if names.count(name) == 1 else f"{index}_{name}") for index, name in enumerate(names)]


@contextmanager
def _keeping(
    options: argparse.Namespace,
    out: Path,
    source: Source,
    info: CheckpointInfo,
    truth: TruthMap,
    video: bool = True,
) -> Iterator[Recording]:
    """What takes the answers, with the files that are written meanwhile: the video, and the new recording."""
    scored = not truth.note and not overlap_note(source, info)
    with ExitStack() as stack:
        rate = min(60.0, max(1.0, source.rate))
        film = stack.enter_context(OverlayVideo(out / VIDEO, rate)) if video else None
        sink = None
        if options.record:
            sink = stack.enter_context(
                record_answers(
                    Path(options.bags[0]).expanduser(),
                    topic_choice(options),
                    options.record,
                    info.classes,
                    lambda words: say("record", words),
                )
            )
            for note in sink.notes:
                say("record", note)
        yield Recording(info.classes, film, scored, truth.table, frames=True, sink=sink)


def _report(
    options: argparse.Namespace,
    command: str,
    source: Source,
    model: str,
    info: CheckpointInfo,
    truth: TruthMap,
    played: _Played,
    recording: Recording,
) -> dict[str, Any]:
    live = not options.offline
    rate = options.rate if isinstance(options.rate, float) else source.rate * options.speed
    log = played.log
    facts = RunFacts(
        model=model_name(model),
        classes=info.classes,
        notice=info.notice,
        source=source.name,
        accuracy_note=truth.note or overlap_note(source, info),
        asked_rate=rate if live and options.rate != LOCKSTEP else None,
        one_by_one_rate=None,
        min_answered=options.min_answered,
        node_exit=played.node_exit,
        command=command,
        source_length=source.length,
        broken=len(log.broken),
    )
    report = build_report(facts, log.sent, log.unreadable, recording, played.node, played.usage)
    if not live:
        _as_offline(report, source)
    report["notes"] = [*source.notes, *played.failures]
    report["partial"] = _partial(source, played)
    report["reasons"] += [f"the recording is not whole: {words}" for words in log.broken]
    report["passed"] = not report["reasons"]
    assert recording.frames
    add_frames(report, log.sent, recording.frames)
    return report


def _as_offline(report: dict[str, Any], source: Source) -> None:
    """Put a report in the words of an offline run, where nobody published, and in the recording's time."""
    report["offline"] = True
    report["accuracy_note"] = report["accuracy_note"].replace("published masks", "masks")
    stamps = [moment["stamp_ns"] for moment in report["timeline"]]
    in_order = stamps == sorted(stamps)
    for index, moment in enumerate(report["timeline"]):
        seconds = (moment["stamp_ns"] - stamps[0]) / 1e9 if in_order else index / source.rate
        moment["t_s"] = round(seconds, 3)


def _partial(source: Source, played: _Played) -> str | None:
    """Says what part of the recording a report is about; None for all of it."""
    count, total = len(played.log.sent), source.length or "?"
    if played.interrupted:
        return f"Interrupted after {count} of {total} frames"
    if played.log.broken:
        return f"The recording breaks off: {count} frames were read"
    return None


def _leave(
    out: Path,
    report: dict[str, Any],
    recording: Recording,
    info: CheckpointInfo,
    source: Source,
    began: float,
    interrupted: bool,
) -> int:
    if not report["timeline"] and not interrupted:
        raise EngineError("; ".join(report["unreadable"]) or f"{source.name}: not one frame was read")
    with writing_to(out):
        leave_results(out, report, recording, info.classes, source.rate)
    summarise("evaluate_bag", out, report, time.monotonic() - began)
    if interrupted:
        return INTERRUPTED
    return 0 if report["passed"] else FAILED
