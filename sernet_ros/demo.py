"""The road from camera to mask, live: `python -m sernet_ros.demo` leaves a report, pictures and a video."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import cv2

from sernet_core.errors import EngineError, InputError, SernetError
from sernet_core.labels import ClassSet
from sernet_core.report import OverlayVideo, contact_sheet, render_page
from sernet_ros.live_report import RunFacts, accuracy_note, build_report
from sernet_ros.matching import throughput
from sernet_ros.options import (
    LOCKSTEP,
    add_bag_arguments,
    add_synthetic_arguments,
    bag_words,
    parse_rate,
    synthetic_options,
    topic_choice,
    whole_number,
)
from sernet_ros.recording import Recording
from sernet_ros.sources import SYNTHETIC, Source, open_source
from sernet_ros.startup import MISSING_PACKAGE, explain_missing

if TYPE_CHECKING:
    from sernet_ros.live_run import LiveRun

FAILED, BAD_REQUEST, INTERRUPTED = 1, 2, 130
AUTO = "auto"
SHEET, VIDEO, PAGE, FIGURES = "contact_sheet.jpg", "overlay.webm", "report.html", "report.json"
LOGS = ("node.log", "replay.log", "frames.jsonl")
_TRIAL_FRAMES = 10
_TRIAL_TIMEOUT = 5.0  # seconds for one frame
_SHARE = 0.65  # of the throughput measured one by one: recorder and replayer need processor time, too
_FEWEST = 20  # frames of an automatic run, however slow the node is
_PROBE_SIZE = 2**20  # bytes that a folder must take before a run starts
_EMBED_LIMIT = 12 * 2**20  # bytes of video that a page may carry
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
    words = list(sys.argv[1:] if argv is None else argv)
    options = build_parser().parse_args(words)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Under nohup a closed terminal is ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        import sernet_core.checkpoint  # noqa: F401
        import sernet_ros.live_run  # noqa: F401
    except (ImportError, OSError) as error:
        print(explain_missing("demo", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE
    try:
        return _run(options, shlex.join(["python", "-m", "sernet_ros.demo", *words]))
    except SernetError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return FAILED if isinstance(error, EngineError) else BAD_REQUEST
    except KeyboardInterrupt:
        print("demo: interrupted; its processes have ended", file=sys.stderr)
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """The command line of the demo."""
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Start the segmenter and a replayed camera as processes over DDS; report what came back.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the results (out/demo)")
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
    length.add_argument("--seconds", type=float, default=70.0, help="stop after about so long (default: 70)")
    parser.add_argument("--model", default="sernet-r50-camvid", help="checkpoint: a name or a path")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME:=VALUE",
        help="a parameter of the node; may be repeated",
    )
    parser.add_argument("--params-file", type=Path, help="parameter file of the node")
    parser.add_argument(
        "--min-answered",
        type=float,
        default=90.0,
        metavar="PERCENT",
        help="fail when fewer frames are answered (default: 90)",
    )
    parser.add_argument(
        "--ready-timeout",
        type=float,
        default=120.0,
        metavar="S",
        help="wait S seconds for the node (default: 120)",
    )
    add_bag_arguments(parser)
    add_synthetic_arguments(parser)
    return parser


def _run(options: argparse.Namespace, command: str) -> int:
    from sernet_core.checkpoint import read_info
    from sernet_ros.live_run import LiveRun

    began = time.monotonic()
    info = read_info(options.model)
    source = open_source(options.source, options.split, synthetic_options(options), topic_choice(options))
    note = accuracy_note(source, info)
    out = _prepare(options.out)
    parameters = [
        f"model:={options.model}",
        f"device:={options.device}",
        "input_qos:=reliable",
        *options.param,
    ]
    with LiveRun(out, parameters, options.params_file) as live:
        _say("source", f"{source.name}, {source.length or '?'} frames at {source.rate:g} Hz")
        _say("transport", live.domain)
        live.wait_until_active(options.ready_timeout, lambda words: _say("node", words))
        _say("node", f"ready after {time.monotonic() - began:.0f} s")
        pace = _choose_pace(live, source, options)
        with OverlayVideo(out / VIDEO, min(60.0, max(1.0, source.rate))) as video:
            recording = Recording(info.classes, video, with_truth=not note)
            with _Progress(pace.frames) as progress:
                outcome = live.replay(_replay_arguments(options, pace), recording, progress)
        node, last_words = live.node_values, live.last_words()
    facts = RunFacts(
        model=_name(options.model),
        classes=info.classes,
        notice=info.notice,
        source=source.name,
        accuracy_note=note,
        asked_rate=pace.rate,
        one_by_one_rate=pace.one_by_one,
        min_answered=options.min_answered,
        node_exit=outcome.node_exit,
        command=command,
    )
    report = build_report(facts, outcome.log.sent, outcome.log.unreadable, recording, node, outcome.usage)
    if outcome.node_exit is not None:
        print(f"demo: the node's last words:\n{last_words}", file=sys.stderr)
    with _writing_to(out):
        _leave_results(out, report, recording, info.classes, source.rate)
    _summarise(out, report, time.monotonic() - began)
    return 0 if report["passed"] else FAILED


def _name(model: str) -> str:
    """What people call a model: the last part of a path."""
    return Path(model).stem if Path(model).suffix else model


def _prepare(out: Path) -> Path:
    """Make the folder of the results, without those of an earlier run, and see that it can be written."""
    with _writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        for name in (SHEET, VIDEO, PAGE, FIGURES, *LOGS):
            # What an earlier run left must not pass for the result of this one.
            (out / name).unlink(missing_ok=True)
        with TemporaryFile(dir=out) as probe:
            probe.write(bytes(_PROBE_SIZE))
    return out


@contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    """Tell of a folder that takes no files in words."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{out}: not a folder that can be written ({error.strerror}); choose another with --out"
        ) from error


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
        arguments = [*_replay_arguments(options, trial), "--answer-timeout", str(_TRIAL_TIMEOUT)]
        sent = live.replay(arguments).log.sent
        one_by_one = throughput(sent)
        if one_by_one is None:
            raise EngineError(
                f"the node answered none of {len(sent)} frames within {_TRIAL_TIMEOUT:g} s each:\n"
                + live.last_words()
            )
        rate = min(source.rate, _SHARE * one_by_one)
        _say("pace", f"one by one the node does {one_by_one:.2f} Hz: replaying at {rate:.2f} Hz")
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
        *bag_words(options),
        "--condition",
        options.condition,
        "--seed",
        str(options.seed),
        "--size",
        f"{width}x{height}",
    ]
    return arguments


def _leave_results(
    out: Path, report: dict[str, Any], recording: Recording, classes: ClassSet, video_rate: float
) -> None:
    """Write the contact sheet, report.json and report.html; the video is there already."""
    moments = {moment["stamp_ns"]: moment for moment in report["timeline"]}
    exhibits = [
        replace(shown, caption=_caption(moments.get(int(shown.caption)))) for shown in recording.exhibits()
    ]
    sheet = None
    if exhibits:
        title = f"{report['model']} on {report['source']['name']}"
        if report["miou"] is not None:
            title += f": {report['miou']:.1f} % mIoU"
        pixels = cv2.cvtColor(contact_sheet(exhibits, classes, title), cv2.COLOR_RGB2BGR)
        sheet = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        (out / SHEET).write_bytes(sheet)
    video_path = out / VIDEO
    video = video_path.read_bytes() if video_path.is_file() else None
    sent_rate = report["rates_hz"]["sent"]
    report["video_note"] = (
        f"The overlays as the node published them, played at {video_rate:g} frames a second"
        + (f"; the camera ran at {sent_rate:.2f} Hz." if sent_rate else ".")
    )
    (out / FIGURES).write_text(json.dumps(report, indent=2) + "\n")
    embedded = video if video is not None and len(video) <= _EMBED_LIMIT else None
    (out / PAGE).write_text(render_page(report, sheet, embedded))


def _caption(moment: Mapping[str, Any] | None) -> str:
    if moment is None or moment["latency_ms"] is None:
        return ""
    return f"{moment['frame']}   {moment['t_s']:.1f} s   {moment['latency_ms']:.0f} ms"


def _summarise(out: Path, report: Mapping[str, Any], seconds: float) -> None:
    frames, latency, rates = report["frames"], report["latency_ms"], report["rates_hz"]
    print()
    if report["miou"] is None:
        _say("accuracy", report["accuracy_note"])
    else:
        _say("mIoU", f"{report['miou']:.2f} % of what was published ({frames['scored']} frames scored)")
    _say("frames", f"{report['headline']}; {frames['dropped']} dropped, {frames['unmatched']} unmatched")
    if latency["p50"] is not None:
        _say("latency", ", ".join(f"{name} {latency[name]:.0f} ms" for name in ("p50", "p95", "p99")))
    if rates["sent"] and rates["answered"]:
        _say("rate", f"{rates['sent']:.2f} Hz sent, {rates['answered']:.2f} Hz answered")
    if report["notice"]:
        _say("weights", report["notice"])
    _say("took", f"{seconds:.0f} s")
    for name in (PAGE, FIGURES, SHEET, VIDEO):
        if (out / name).is_file():
            _say("left", str(out / name))
    for reason in report["reasons"]:
        print(f"demo: failed: {reason}", file=sys.stderr)


def _say(topic: str, words: str) -> None:
    print(f"{topic:>10}  {words}", flush=True)


class _Progress:
    """Frames sent and answered: a bar on a terminal, a line now and then elsewhere."""

    _LINE_PERIOD = 10.0  # seconds

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._next_line = 0.0
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="frame", desc="replay")

    def __call__(self, sent: int, answered: int) -> None:
        if self._bar is not None:
            self._bar.set_postfix(answered=answered, refresh=False)
            self._bar.update(sent - self._bar.n)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + self._LINE_PERIOD
            _say("replay", f"{sent} of {self._total or '?'} frames sent, {answered} answered")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


if __name__ == "__main__":
    sys.exit(main())
