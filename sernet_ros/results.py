"""What a run leaves in its folder - report, page, pictures, video, table - and in the terminal."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from sernet_core.errors import InputError
from sernet_core.storage import write_atomically

# What needs OpenCV or NumPy is imported where it is used: the command lines are read without them.
if TYPE_CHECKING:
    from sernet_core.labels import ClassSet
    from sernet_core.report import Exhibit
    from sernet_ros.recording import Recording

SHEET, VIDEO, PAGE, FIGURES, TABLE = (
    "contact_sheet.jpg",
    "overlay.webm",
    "report.html",
    "report.json",
    "frames.csv",
)
SUMMARY = ("summary.json", "summary.csv", "summary.html")
LOGS = ("node.log", "replay.log", "view.log", "frames.jsonl")
_PROBE_SIZE = 2**20  # bytes that a folder must take before a run starts
_EMBED_LIMIT = 12 * 2**20  # bytes of video that a page may carry


def model_name(model: str) -> str:
    """What people call a model: the last part of a path."""
    return Path(model).stem if Path(model).suffix else model


def prepare(out: Path) -> Path:
    """Make the folder of the results, without those of an earlier run, and see that it can be written.

    Raises:
        InputError: It cannot.
    """
    clear(out)
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out) as probe:
            probe.write(bytes(_PROBE_SIZE))
    return out


def clear(out: Path) -> None:
    """Remove what an earlier run left in a folder: it must not pass for the result of this one.

    Raises:
        InputError: It cannot be removed.
    """
    with writing_to(out):
        if out.is_dir():
            for name in (SHEET, VIDEO, PAGE, FIGURES, TABLE, *SUMMARY, *LOGS):
                (out / name).unlink(missing_ok=True)


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Tell of a folder that takes no files in words."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{out}: not a folder that can be written ({error.strerror}); choose another with --out"
        ) from error


def leave_results(
    out: Path, report: dict[str, Any], recording: Recording, classes: ClassSet, video_rate: float
) -> None:
    """Write contact sheet, report.json, report.html and, of scored frames, frames.csv; the video is there."""
    from sernet_core.report import render_page, subject
    from sernet_ros.frame_report import write_table

    moments = {moment["stamp_ns"]: moment for moment in report["timeline"]}
    title = f"{report['model']} on {subject(report)}"
    if report["miou"] is not None:
        title += f": {report['miou']:.1f} % mIoU"
    sheet = _sheet(recording.exhibits(), moments, classes, title)
    if sheet:
        (out / SHEET).write_bytes(sheet)
    video_path = out / VIDEO
    video = video_path.read_bytes() if video_path.is_file() else None
    sent_rate = report["rates_hz"]["sent"]
    report["video_note"] = f"The overlays, played at {video_rate:g} frames a second"
    if not report.get("offline"):
        report["video_note"] = (
            f"The overlays as the node published them, played at {video_rate:g} frames a second"
        )
        report["video_note"] += f"; the camera ran at {sent_rate:.2f} Hz" if sent_rate else ""
    report["video_note"] += "."
    write_atomically(out / FIGURES, lambda target: target.write_text(json.dumps(report, indent=2) + "\n"))
    if recording.frames:
        write_table(out / TABLE, report, recording.frames)
    embedded = video if video is not None and len(video) <= _EMBED_LIMIT else None
    further = {
        "The worst frames": _sheet(recording.ranked.worst(), moments, classes, "lowest mIoU of the frame"),
        "Frames near the median": _sheet(
            recording.ranked.median(), moments, classes, "mIoU of the frame nearest to the median"
        ),
    }
    page = render_page(report, sheet, embedded, {name: data for name, data in further.items() if data})
    write_atomically(out / PAGE, lambda target: target.write_text(page))


def _sheet(
    exhibits: Sequence[Exhibit], moments: Mapping[int, Mapping[str, Any]], classes: ClassSet, title: str
) -> bytes | None:
    """A contact sheet as JPEG; None without exhibits."""
    if not exhibits:
        return None
    import cv2

    from sernet_core.report import contact_sheet

    shown = [replace(one, caption=_caption(moments.get(int(one.caption)))) for one in exhibits]
    pixels = cv2.cvtColor(contact_sheet(shown, classes, title), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _caption(moment: Mapping[str, Any] | None) -> str:
    if moment is None or moment["latency_ms"] is None:
        return ""
    words = f"{moment['frame']}   {moment['t_s']:.1f} s   {moment['latency_ms']:.0f} ms"
    return words if moment.get("miou") is None else f"{words}   {moment['miou']:.1f} % mIoU"


def summarise(program: str, out: Path, report: Mapping[str, Any], seconds: float) -> None:
    """Print the figures that matter, and where the rest is."""
    frames, latency, rates = report["frames"], report["latency_ms"], report["rates_hz"]
    print()
    if report.get("partial"):
        say("partial", report["partial"])
    if report["miou"] is None:
        say("accuracy", report["accuracy_note"])
    else:
        masks = "the masks" if report.get("offline") else "what was published"
        say("mIoU", f"{report['miou']:.2f} % of {masks} ({frames['scored']} frames scored)")
    say("frames", f"{report['headline']}; {frames['dropped']} dropped, {frames['unmatched']} unmatched")
    if latency["p50"] is not None:
        say("latency", ", ".join(f"{name} {latency[name]:.0f} ms" for name in ("p50", "p95", "p99")))
    if rates["sent"] and rates["answered"]:
        say("rate", f"{rates['sent']:.2f} Hz sent, {rates['answered']:.2f} Hz answered")
    if report.get("flicker_percent"):
        say("flicker", f"{report['flicker_percent']['median']:.1f} % of the pixels a frame (median)")
    if report["notice"]:
        say("weights", report["notice"])
    say("took", f"{seconds:.0f} s")
    for name in (PAGE, FIGURES, TABLE, SHEET, VIDEO):
        if (out / name).is_file():
            say("left", str(out / name))
    for reason in report["reasons"]:
        print(f"{program}: failed: {reason}", file=sys.stderr)


def say(topic: str, words: str) -> None:
    """A line of the terminal: what it is about, and the words."""
    print(f"{topic:>10}  {words}", flush=True)


class Progress:
    """Frames sent and answered: a bar on a terminal, a line now and then elsewhere."""

    _LINE_PERIOD = 10.0  # seconds

    def __init__(self, total: int | None, topic: str = "replay", quiet: bool = False) -> None:
        self._total = total
        self._topic = topic
        self._next_line = math.inf if quiet else 0.0
        self._bar: Any = None
        if sys.stderr.isatty() and not quiet:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="frame", desc=topic)

    def __call__(self, sent: int, answered: int) -> None:
        if self._bar is not None:
            self._bar.set_postfix(answered=answered, refresh=False)
            self._bar.update(sent - self._bar.n)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + self._LINE_PERIOD
            say(self._topic, f"{sent} of {self._total or '?'} frames sent, {answered} answered")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
