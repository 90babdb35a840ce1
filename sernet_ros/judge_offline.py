"""Recordings through a network in this process, or in several that share them; no ROS."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sernet_core.default_model import AUTO
from sernet_core.devices import resolve_device
from sernet_core.engines.choose import contenders
from sernet_core.engines.registry import engine_class
from sernet_core.errors import ConfigError, SernetError
from sernet_ros.class_map import truth_map
from sernet_ros.evaluation import Evaluation, Played
from sernet_ros.jobs import find_jobs
from sernet_ros.offline import OfflineRun, play
from sernet_ros.results import Progress, clear, prepare, say
from sernet_ros.shards import join_shards
from sernet_ros.startup import FAILED
from sernet_ros.verdicts import Verdicts, judge_each

if TYPE_CHECKING:
    from sernet_core.runtime import Segmenter
    from sernet_ros.interrupts import Interrupts
    from sernet_ros.shards import Shard


def judge_offline(options: argparse.Namespace, command: str, began: float, interrupts: Interrupts) -> int:
    """Segment recordings one after the other; returns the exit code.

    Args:
        options: The command line of evaluate_bag.
        command: The same as it was typed.
        began: When the program began, on the monotonic clock.
        interrupts: Holds signals back while results are written.
    """
    with join_shards() as shard:
        if shard.count > 1 and options.record:
            raise ConfigError("--record writes one file: leave torchrun away")
        if shard.count > 1 and options.engine == AUTO:
            raise ConfigError("--engine auto: each process would choose for itself; name the engine")
        if shard.first:
            prepare(options.out)
        return _judge_all(options, command, began, shard, interrupts)


def _judge_all(
    options: argparse.Namespace, command: str, began: float, shard: Shard, interrupts: Interrupts
) -> int:
    from sernet_core.runtime import Segmenter

    jobs, missing = find_jobs(options)
    if shard.first:
        for job in jobs:
            clear(job.out)
    segmenter = Segmenter.load(
        options.model or AUTO,
        device=options.device or "auto",
        engine=options.engine or _default_engine(options),
        precision=options.precision or "auto",
        threads=options.threads or 0,
        input_size=options.input_size or "model",
    )
    info = segmenter.info
    evaluations = [
        Evaluation(
            options,
            command,
            job,
            segmenter.model,
            info,
            truth_map(job.source, info.classes, options.class_map),
        )
        for job in jobs
    ]
    verdicts = Verdicts(len(jobs) + missing, codes=[FAILED] * missing)
    judge_each(
        evaluations,
        verdicts,
        lambda evaluation: _judge(segmenter, evaluation, shard, verdicts, interrupts),
    )
    # What is left to do is short.
    interrupts.ignore()
    return shard.first_decides(lambda: verdicts.finish(options.out, info.classes, time.monotonic() - began))


def _default_engine(options: argparse.Namespace) -> str:
    """Eager; where it does not have the precision that was asked for, the first engine that has."""
    device, precision = resolve_device(options.device or "auto"), options.precision or "auto"
    able = contenders(device, precision) if engine_class("eager").obstacle(device, precision) else []
    return able[0] if able else "eager"


def _judge(
    segmenter: Segmenter, evaluation: Evaluation, shard: Shard, verdicts: Verdicts, interrupts: Interrupts
) -> int:
    job, began = evaluation.job, time.monotonic()
    source = job.source
    error: SernetError | None = None
    run = OfflineRun()
    with interrupts.held():
        if shard.first:
            say("source", f"{source.name}, {source.length or '?'} frames at {source.rate:g} Hz")
        shard.first_decides(lambda: _prepared(job.out))
    began_ns = time.monotonic_ns()
    try:
        part = shard.part(source, evaluation.options.frames)
        with evaluation.recording(video=part is None) as recording:
            total = min(filter(None, (evaluation.options.frames, source.length)), default=None)
            with Progress(total, source.name, quiet=not shard.first) as progress:
                run = play(source, segmenter, recording, evaluation.options.frames, part, progress)
    except SernetError as caught:
        error = caught
    with interrupts.held():
        # Those who share a job must know of an error before they wait for each other.
        shard.raise_any(error)
        run = shard.gather(run, recording, began_ns)

        def leave() -> int:
            node = {name: str(getattr(segmenter, name)) for name in ("engine", "device", "precision")}
            played = Played(run.log, node, run.usage, interrupted=run.interrupted, failures=run.failures)
            report = evaluation.report(played, recording)
            code = evaluation.leave(report, recording, began, run.interrupted)
            verdicts.add(job, report)
            return code

        return shard.first_decides(leave)


def _prepared(out: Path) -> int:
    prepare(out)
    return 0
