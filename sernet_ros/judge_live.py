"""Recordings through the live node over DDS: one node for all of them, one replay after the other."""

from __future__ import annotations

import argparse
import re
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sernet_core.checkpoint import read_info
from sernet_core.default_model import AUTO, chosen_model
from sernet_core.errors import ConfigError
from sernet_ros.class_map import truth_map
from sernet_ros.evaluation import Evaluation, Played
from sernet_ros.jobs import Job, find_jobs
from sernet_ros.live_run import LiveRun
from sernet_ros.options import LOCKSTEP, bag_words
from sernet_ros.recorder import Topics
from sernet_ros.results import Progress, clear, model_name, prepare, say
from sernet_ros.startup import FAILED
from sernet_ros.verdicts import Verdicts, judge_each

if TYPE_CHECKING:
    from sernet_core.checkpoint import CheckpointInfo
    from sernet_ros.class_map import TruthMap
    from sernet_ros.interrupts import Interrupts

_WARM_UP = 5  # frames
_LEFT_OUT = "{} pictures came faster than they could be written: video, examples and recording lack them"
_EARLIER = "stage times and the node's counts are left out: they would contain the recordings before this one"
_SUMS = re.compile(r"\w+_ms\.|(received|answered|dropped|rejected|failed|incomplete)(\.|$)")
# One frame, with a stamp that no recorded one has: a late answer to it must not count.
_FIRST = ("--frames", "1", "--rate", LOCKSTEP, "--answer-timeout", "5", "--stamps", "now")


def judge_live(options: argparse.Namespace, command: str, began: float, interrupts: Interrupts) -> int:
    """Replay recordings into a node; returns the exit code.

    Args:
        options: The command line of evaluate_bag.
        command: The same as it was typed.
        began: When the program began, on the monotonic clock.
        interrupts: Holds signals back while processes start.
    """
    jobs, missing = find_jobs(options)
    for job in jobs:
        clear(job.out)
    # What needs no node is checked before one is started.
    if options.model or not (options.running or options.params_file):
        _truths(jobs, read_info(_model(options)), options)
    verdicts = Verdicts(len(jobs) + missing, codes=[FAILED] * missing)
    with ExitStack() as stack:
        with interrupts.held():
            live = stack.enter_context(_start(options))
        say("transport", live.domain)
        live.wait_until_active(options.ready_timeout, _tell)
        model = _answering(live, options)
        live.check_node()
        info = read_info(model)
        truths = _truths(jobs, info, options)
        evaluations = [
            Evaluation(options, command, job, model, info, truth)
            for job, truth in zip(jobs, truths, strict=True)
        ]
        judge_each(
            evaluations,
            verdicts,
            lambda evaluation: _judge(
                live, evaluation, verdicts, interrupts, began if evaluation is evaluations[0] else None
            ),
            goes_on=lambda: live.exit_code is None,
        )
        # What is left to do is short.
        interrupts.ignore()
    return verdicts.finish(options.out, info.classes, time.monotonic() - began)


def _model(options: argparse.Namespace) -> str:
    return str(chosen_model(options.model or AUTO, options.device or "auto"))


def _answering(live: LiveRun, options: argparse.Namespace) -> str:
    """The model of the node, which must be the one that was asked for."""
    if not options.running or not options.model:
        return live.model
    if model_name(live.model) != model_name(options.model):
        raise ConfigError(
            f"the node in {options.running} runs {live.model}, not {options.model}: leave --model away"
        )
    # The node may know it by a path that is not known here.
    return str(options.model)


def _truths(jobs: list[Job], info: CheckpointInfo, options: argparse.Namespace) -> list[TruthMap]:
    return [truth_map(job.source, info.classes, options.class_map) for job in jobs]


def _judge(
    live: LiveRun, evaluation: Evaluation, verdicts: Verdicts, interrupts: Interrupts, call: float | None
) -> int:
    """Replay and judge one recording; returns the exit code.

    Args:
        live: The node.
        evaluation: The recording.
        verdicts: Takes the report.
        interrupts: Holds signals back while results are written.
        call: When the program began, on the monotonic clock; None: the node has served another recording.
    """
    began = time.monotonic() if call is None else call
    options, job = evaluation.options, evaluation.job
    words, source = _replay_words(options, job), job.source
    say("source", f"{source.name}, {source.length or '?'} frames at {source.rate:g} Hz")
    if job.out != options.out:
        prepare(job.out)
    # A frame of the source's size makes the node build its engine for it, if it has one to build.
    live.replay([*words, *_FIRST])
    live.wait_for_engine(options.ready_timeout, _tell)
    if options.rate != LOCKSTEP:
        # The first frames through a new engine are slow: what they hold up must not count as dropped.
        live.replay([*words, *_FIRST, "--frames", str(_WARM_UP)])
    say("node", f"ready after {time.monotonic() - began:.0f} s")
    with evaluation.recording() as recording:
        total = min(filter(None, (options.frames, source.length)), default=None)
        with Progress(total) as progress:
            pace = _given(options, "rate", "speed")
            outcome = live.replay([*words, *pace], recording, progress, keep=True)
    notes, node = [], live.node_values
    if outcome.left_out:
        notes.append(_LEFT_OUT.format(outcome.left_out))
    if call is None:
        notes.append(_EARLIER)
        node = {name: value for name, value in node.items() if not _SUMS.match(name)}
    if outcome.node_exit is not None:
        print(f"evaluate_bag: the node's last words:\n{live.last_words()}", file=sys.stderr)
    played = Played(
        outcome.log,
        node,
        outcome.usage,
        node_exit=outcome.node_exit,
        interrupted=outcome.interrupted,
        failures=notes,
    )
    with interrupts.held():
        report = evaluation.report(played, recording)
        code = evaluation.leave(report, recording, began, outcome.interrupted)
        verdicts.add(job, report)
    return code


def _tell(words: str) -> None:
    say("node", words)


def _start(options: argparse.Namespace) -> LiveRun:
    if options.running:
        namespace = "/" + options.running.strip("/")
        running = Topics(
            namespace,
            options.node_image,
            mask=options.node_mask,
            overlay=options.node_overlay,
            confidence=options.node_confidence,
        )
        return LiveRun(options.out, running=running, confidence=bool(options.record))
    names = ("model", "device", "engine", "precision", "input_size", "threads")
    # What is not asked for here is left to the parameter file.
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.record:
        given["publish_confidence"] = "true"
    defaults = []
    if options.rate == LOCKSTEP:
        # A mask that comes late is one all the same: no clock decides about the result.
        defaults = [f"inference_timeout:={min(600.0, max(0.01, options.answer_timeout))}"]
    return LiveRun(
        options.out,
        [*(f"{name}:={value}" for name, value in given.items()), *options.param],
        options.params_file,
        confidence=bool(options.record),
        defaults=defaults,
    )


def _replay_words(options: argparse.Namespace, job: Job) -> list[str]:
    words = [job.where, "--answer-timeout", str(options.answer_timeout), "--stamps", "recorded"]
    return [*words, *bag_words(job.choice), *_given(options, "frames", "split")]


def _given(options: argparse.Namespace, *names: str) -> list[str]:
    """Options as words of the replayer's command line, without those that are not given."""
    values = {name: value for name in names if (value := getattr(options, name)) is not None}
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]
