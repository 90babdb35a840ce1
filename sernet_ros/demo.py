"""The road from camera to mask, live: `python -m sernet_ros.demo` leaves a report, pictures and a video."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sernet_core.errors import EngineError, SernetError
from sernet_ros.interrupts import Interrupts
from sernet_ros.matching import throughput
from sernet_ros.options import (
    LOCKSTEP,
    LONGEST,
    add_bag_arguments,
    add_synthetic_arguments,
    bag_words,
    file_path,
    number,
    parse_rate,
    synthetic_options,
    topic_choice,
    whole_number,
)
from sernet_ros.results import VIDEO, Progress, leave_results, model_name, prepare, say, summarise, writing_to
from sernet_ros.sources import SYNTHETIC, Source, open_source
from sernet_ros.startup import BAD_REQUEST, FAILED, INTERRUPTED, MISSING_PACKAGE, explain_missing

# What needs OpenCV, NumPy, torch or ROS is imported once `main` has seen that it is there.
if TYPE_CHECKING:
    from sernet_ros.live_run import LiveRun

AUTO = "auto"
_TRIAL_FRAMES = 12
_TRIAL_WARM_UP = 4  # of them: the replayer draws its first frames while the node works on them
_TRIAL_TIMEOUT = 5.0  # seconds for one frame
# A recording's own stamps come in the run itself: a late answer to the trial must not count there.
_TRIAL = ("--answer-timeout", str(_TRIAL_TIMEOUT), "--stamps", "now")
_SHARE = 0.6  # of the throughput measured one by one: recorder and replayer need processor time, too
_FEWEST = 20  # frames of an automatic run, however slow the node is
EPILOG = """\
examples:
  demo                                   the synthetic street, at a rate that the node sustains
  demo --source ~/drive.mp4              your own video
  demo --source ~/camvid --split val     a data set, scored against its ground truth
  demo --source ~/camvid --split val --rate 15 --min-answered 0    at the camera's pace, drops reported
  demo --source ~/camvid --split val --rate lockstep               every frame, one after the other
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Args:
        argv: Command line without the program's name; that of the process when None.

    Returns:
        0 when enough frames were answered, 1 when not or when the node failed, 2 for a request that cannot
        be met, 130 after Ctrl-C, SIGTERM or the end of the terminal.
    """
    interrupts = Interrupts(INTERRUPTED, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    words = list(sys.argv[1:] if argv is None else argv)
    options = build_parser().parse_args(words)
    try:
        import sernet_core.checkpoint  # noqa: F401
        import sernet_ros.live_run  # noqa: F401
    except (ImportError, OSError) as error:
        print(explain_missing("demo", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE
    try:
        interrupts.begin()
        return _run(options, shlex.join(["python", "-m", "sernet_ros.demo", *words]), interrupts)
    except SernetError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return FAILED if isinstance(error, EngineError) else BAD_REQUEST
    except KeyboardInterrupt:
        print("demo: interrupted; its processes have ended", file=sys.stderr)
        return INTERRUPTED
    finally:
        interrupts.ignore()


def build_parser() -> argparse.ArgumentParser:
    """The command line of the demo."""
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Start the segmenter and a replayed camera as processes over DDS; report what came back.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=file_path, default=Path("out/demo"), help="folder of the results (out/demo)"
    )
    parser.add_argument(
        "--source",
        default=SYNTHETIC,
        help="video, folder of images, data set, recording, or 'synthetic' (default)",
    )
    parser.add_argument("--split", help="part of the data set, e.g. val")
    parser.add_argument(
        "--rate",
        type=lambda text: text if text == AUTO else parse_rate(text),
        default=AUTO,
        help="Hz; 'auto' (default): what the node sustains, at most the source's own; 'source': the source's "
        "own; 'lockstep': the next frame when the last one is answered",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--frames", type=whole_number(1), metavar="N", help="stop after N frames")
    length.add_argument(
        "--seconds",
        type=number(0.1, LONGEST),
        default=70.0,
        metavar="S",
        help="stop after about so long (default: 70)",
    )
    # Without defaults: what is not given is left to the parameter file, or to the node's own defaults.
    parser.add_argument("--model", help="checkpoint: a name, a path or auto (default: auto)")
    parser.add_argument("--device", help="auto (default), cpu or cuda:N")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME:=VALUE",
        help="a parameter of the node; may be repeated",
    )
    parser.add_argument(
        "--params-file",
        type=file_path,
        help="parameter file of the node; --model, --device and --param outdo it",
    )
    parser.add_argument(
        "--min-answered",
        type=number(0.0, 100.0),
        default=90.0,
        metavar="PERCENT",
        help="fail when fewer frames are answered (default: 90)",
    )
    parser.add_argument(
        "--ready-timeout",
        type=number(0.0, LONGEST),
        default=120.0,
        metavar="S",
        help="wait S seconds for the node (default: 120)",
    )
    parser.add_argument(
        "--view",
        type=whole_number(0),
        nargs="?",
        const=8080,
        metavar="PORT",
        help="meanwhile show it in the browser, on http://127.0.0.1:8080/ or another port",
    )
    add_bag_arguments(parser)
    add_synthetic_arguments(parser)
    return parser


def _run(options: argparse.Namespace, command: str, interrupts: Interrupts) -> int:
    from sernet_core.checkpoint import read_info
    from sernet_core.default_model import chosen_model
    from sernet_core.report import OverlayVideo
    from sernet_ros.given_parameters import check_given
    from sernet_ros.judged_node import check_words
    from sernet_ros.live_report import RunFacts, accuracy_note, build_report
    from sernet_ros.live_run import LiveRun
    from sernet_ros.recording import Recording

    began = time.monotonic()
    check_given(options.param, options.params_file)
    check_words(options.param)
    if options.model or not options.params_file:
        # Before a node is started.
        read_info(chosen_model(options.model or AUTO, options.device or "auto"))
    source = open_source(options.source, options.split, synthetic_options(options), topic_choice(options))
    out = prepare(options.out)
    given = {name: value for name in ("model", "device") if (value := getattr(options, name)) is not None}
    parameters = [*(f"{name}:={value}" for name, value in given.items()), *options.param]
    with ExitStack() as stack:
        with interrupts.held():
            live = stack.enter_context(LiveRun(out, parameters, options.params_file))
        say("source", f"{source.name}, {source.length or '?'} frames at {source.rate:g} Hz")
        say("transport", live.domain)
        live.wait_until_active(options.ready_timeout, lambda words: say("node", words))
        model = live.model
        live.check_node()
        info = read_info(model)
        note = accuracy_note(source, info)
        # A frame of the source's size makes the node build its engine for it, if it has one to build.
        live.replay([*_replay_arguments(options, _Pace(None, 1)), *_TRIAL])
        live.wait_for_engine(options.ready_timeout, lambda words: say("node", words))
        say("node", f"ready after {time.monotonic() - began:.0f} s")
        if options.view is not None:
            say("view", live.show(options.view))
        pace = _choose_pace(live, source, options)
        with OverlayVideo(out / VIDEO, min(60.0, max(1.0, source.rate))) as video:
            recording = Recording(info.classes, video, with_truth=not note)
            with Progress(pace.frames) as progress:
                outcome = live.replay(_replay_arguments(options, pace), recording, progress)
        node, last_words = live.node_values, live.last_words()
    facts = RunFacts(
        model=model_name(model),
        classes=info.classes,
        notice=info.notice,
        source=source.name,
        accuracy_note=note,
        asked_rate=pace.rate,
        one_by_one_rate=pace.one_by_one,
        min_answered=options.min_answered,
        node_exit=outcome.node_exit,
        command=command,
        source_length=source.length,
        broken=len(outcome.log.broken),
    )
    report = build_report(facts, outcome.log.sent, outcome.log.unreadable, recording, node, outcome.usage)
    if outcome.node_exit is not None:
        print(f"demo: the node's last words:\n{last_words}", file=sys.stderr)
    with writing_to(out):
        leave_results(out, report, recording, info.classes, source.rate)
    summarise("demo", out, report, time.monotonic() - began)
    return 0 if report["passed"] else FAILED


@dataclass(frozen=True)
class _Pace:
    """Rate in Hz (None: lock-step), number of frames (None: all), and throughput one by one if measured."""

    rate: float | None
    frames: int | None
    one_by_one: float | None = None


def _choose_pace(live: LiveRun, source: Source, options: argparse.Namespace) -> _Pace:
    if options.rate == LOCKSTEP:
        return _Pace(None, options.frames or source.length)
    one_by_one = None
    rate = options.rate if isinstance(options.rate, float) else source.rate
    if options.rate == AUTO:
        trial = _Pace(None, min(_TRIAL_FRAMES, source.length or _TRIAL_FRAMES))
        sent = live.replay([*_replay_arguments(options, trial), *_TRIAL]).log.sent
        one_by_one = throughput(sent[_TRIAL_WARM_UP:] or sent)
        if one_by_one is None:
            raise EngineError(
                f"the node answered none of {len(sent)} frames within {_TRIAL_TIMEOUT:g} s each:\n"
                + live.last_words()
            )
        rate = min(source.rate, _SHARE * one_by_one)
        say("pace", f"one by one the node does {one_by_one:.2f} Hz: replaying at {rate:.2f} Hz")
    frames = options.frames or max(_FEWEST, int(rate * options.seconds))
    return _Pace(rate, frames if options.frames else min(frames, source.length or frames), one_by_one)


def _replay_arguments(options: argparse.Namespace, pace: _Pace) -> list[str]:
    arguments = [options.source, "--rate", LOCKSTEP if pace.rate is None else f"{pace.rate:.4f}"]
    if pace.frames:
        arguments += ["--frames", str(pace.frames)]
    if options.split:
        arguments += ["--split", options.split]
    if options.town:
        arguments += ["--town", options.town]
    width, height = options.size
    arguments += [
        *bag_words(topic_choice(options)),
        "--condition",
        options.condition,
        "--seed",
        str(options.seed),
        "--size",
        f"{width}x{height}",
    ]
    return arguments


if __name__ == "__main__":
    sys.exit(main())
