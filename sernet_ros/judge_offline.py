"""Recordings through a network in this process, or in several that share them; no ROS."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from sernet_core.default_model import AUTO
from sernet_core.errors import ConfigError
from sernet_ros.class_map import truth_map
from sernet_ros.evaluation import Evaluation, Played, finish
from sernet_ros.jobs import find_jobs
from sernet_ros.offline import play
from sernet_ros.results import Progress, prepare, say
from sernet_ros.shards import join_shards
from sernet_ros.startup import INTERRUPTED

if TYPE_CHECKING:
    from sernet_core.runtime import Segmenter
    from sernet_ros.shards import Shard


def judge_offline(options: argparse.Namespace, command: str, began: float) -> int:
    """Segment recordings one after the other; returns the exit code.

    Args:
        options: The command line of evaluate_bag.
        command: The same as it was typed.
        began: When the program began, on the monotonic clock.
    """
    with join_shards() as shard:
        if shard.count > 1 and options.record:
            raise ConfigError("--record writes one file: leave torchrun away")
        if shard.first:
            prepare(options.out)
        return shard.agree(_judge_all(options, command, began, shard))


def _judge_all(options: argparse.Namespace, command: str, began: float, shard: Shard) -> int:
    from sernet_core.runtime import Segmenter

    jobs = find_jobs(options)
    segmenter = Segmenter.load(
        options.model or AUTO,
        device=options.device or "auto",
        precision=options.precision or "auto",
        threads=options.threads or 0,
        input_size=options.input_size or "model",
    )
    info = segmenter.info
    truths = [truth_map(job.source, info.classes, options.class_map) for job in jobs]
    reports: list[dict[str, Any]] = []
    codes: list[int] = []
    for job, truth in zip(jobs, truths, strict=True):
        evaluation = Evaluation(options, command, job, segmenter.model, info, truth)
        report, code = _judge(segmenter, evaluation, shard)
        reports.append(report)
        codes.append(code)
        if code == INTERRUPTED:
            break
    if shard.first:
        return finish(options.out, jobs, reports, codes, info.classes, began)
    return max(codes)


def _judge(segmenter: Segmenter, evaluation: Evaluation, shard: Shard) -> tuple[dict[str, Any], int]:
    options, job, began = evaluation.options, evaluation.job, time.monotonic()
    source = job.source
    if shard.first:
        say("source", f"{source.name}, {source.length or '?'} frames at {source.rate:g} Hz")
        prepare(job.out)
    part = shard.part(source, options.frames)
    shard.wait()
    began_ns = time.monotonic_ns()
    with evaluation.recording(video=part is None) as recording:
        total = min(filter(None, (options.frames, source.length)), default=None)
        with Progress(total, source.name, quiet=not shard.first) as progress:
            run = play(source, segmenter, recording, options.frames, part, progress)
    run = shard.gather(run, recording, began_ns)
    node = {name: str(getattr(segmenter, name)) for name in ("engine", "device", "precision")}
    played = Played(run.log, node, run.usage, interrupted=run.interrupted, failures=run.failures)
    report = evaluation.report(played, recording)
    if not shard.first:
        return report, INTERRUPTED if run.interrupted else 0
    return report, evaluation.leave(report, recording, began, run.interrupted)
