"""Publishes recorded or synthetic frames as a camera would: `ros2 run sernet_ros replay SOURCE`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sernet_core.errors import InputError, SernetError
from sernet_ros.ahead import read_ahead
from sernet_ros.fastdds import use_profile
from sernet_ros.interrupts import Interrupts
from sernet_ros.matching import Sent, unreadable_entry
from sernet_ros.options import (
    LOCKSTEP,
    LONGEST,
    add_bag_arguments,
    add_synthetic_arguments,
    check_speed,
    file_path,
    number,
    parse_factor,
    parse_rate,
    synthetic_options,
    topic_choice,
    whole_number,
)
from sernet_ros.sources import Picture, Source, Unreadable, open_source
from sernet_ros.startup import BAD_REQUEST, MISSING_PACKAGE, explain_missing

if TYPE_CHECKING:
    from sernet_ros.camera import Camera, CameraOptions

EPILOG = """\
examples:
  replay ~/drive.mp4                               a video at its own rate
  replay ~/frames --rate 10 --loop                 a folder of images, over and over
  replay ~/camvid --split val                      a data set, with its ground truth on `ground_truth`
  replay ~/bags/drive --speed 0.5                  a recording at half its speed, with the recorded stamps
  replay synthetic --condition night --frames 300  the procedural street, with exact ground truth
  replay ~/drive.mp4 --ros-args -r image:=/camera/image_raw -r __ns:=/front

topics: `image` (rgb8 or bgr8), `ground_truth` (mono8 class ids, 255 = void, the same header), and
/clock with --clock.
A data set is the plain tree SPLIT/images/STEM.png, SPLIT/labels/STEM.png, SPLIT.txt under one folder.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the replayer.

    Args:
        argv: Command line without the program's name; that of the process when None.

    Returns:
        0 when frames were published, 2 for a request that cannot be met.
    """
    interrupts = Interrupts(0, signal.SIGINT, signal.SIGTERM)
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from rclpy.utilities import remove_ros_args

        from sernet_ros.camera import Camera
    except (ImportError, OSError) as error:
        print(explain_missing("replay", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE

    arguments = list(sys.argv if argv is None else ["replay", *argv])
    options = build_parser().parse_args(remove_ros_args(arguments)[1:])
    camera = None
    try:
        interrupts.begin()
        check_speed(options.rate, options.speed)
        source = open_source(options.source, options.split, synthetic_options(options), topic_choice(options))
        with closing(_Log(options.log)) as log:
            profile = use_profile()
            with interrupts.held():
                # Signals stay Python's: no context may vanish between two calls.
                rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
                camera = Camera(_camera_options(options))
            camera.get_logger().info(profile)
            for note in source.notes:
                camera.get_logger().warning(note)
            _replay(camera, source, options, log)
    except SernetError as error:
        print(f"replay: error: {error}", file=sys.stderr)
        return BAD_REQUEST
    except KeyboardInterrupt:
        return 0
    finally:
        interrupts.ignore()
        if camera is not None:
            camera.destroy_node()
        rclpy.try_shutdown()
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line of the replayer."""
    parser = argparse.ArgumentParser(
        prog="replay",
        description="Publish images, a video, a data set, a recording or the synthetic street like a camera.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="video, folder of images, data set, recording (bag), or 'synthetic'"
    )
    what = parser.add_argument_group("what to publish")
    what.add_argument("--split", help="part of the data set, e.g. val")
    what.add_argument("--frames", type=whole_number(1), metavar="N", help="stop after N frames")
    what.add_argument("--loop", action="store_true", help="start over at the end, until Ctrl-C or --frames")
    add_bag_arguments(parser)
    add_synthetic_arguments(parser)
    _add_time_arguments(parser.add_argument_group("pace and time"))
    _add_message_arguments(parser.add_argument_group("messages and middleware"))
    return parser


def _add_time_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--rate",
        type=parse_rate,
        default="source",
        help="Hz, 'source' (its own rate; 15 where it has none; the default; a recording's own moments), or "
        "'lockstep': the next frame when the last one is answered",
    )
    group.add_argument(
        "--speed",
        type=parse_factor,
        metavar="FACTOR",
        help="of the source's own rate (default: 1), with --rate source alone",
    )
    group.add_argument(
        "--answers",
        default="semantic_mask",
        metavar="TOPIC",
        help="images that answer frames in lock-step (default: %(default)s)",
    )
    group.add_argument(
        "--answer-timeout",
        type=number(0.0, LONGEST),
        default=10.0,
        metavar="S",
        help="go on without an answer after S seconds (default: 10)",
    )
    group.add_argument(
        "--stamps",
        choices=("auto", "now", "recorded"),
        default="auto",
        help="now: the wall clock, as a camera stamps; recorded: those of a recording, else 1 s + index / "
        "rate in every run; auto (default): recorded for a recording, else now",
    )
    group.add_argument(
        "--clock",
        action="store_true",
        help="publish /clock, 40 times a second, for nodes with use_sim_time",
    )


def _add_message_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--encoding", choices=("rgb8", "bgr8"), default="rgb8")
    group.add_argument("--frame-id", help="frame_id of the header (default: as recorded, else camera)")
    group.add_argument("--qos", choices=("reliable", "sensor_data"), default="reliable")
    group.add_argument("--depth", type=whole_number(1), default=5, help="queue of the publisher (default: 5)")
    group.add_argument("--durability", choices=("volatile", "transient_local"), default="volatile")
    group.add_argument(
        "--wait", type=whole_number(0), default=0, metavar="N", help="wait for N subscribers first"
    )
    group.add_argument(
        "--wait-timeout",
        type=number(0.0, LONGEST),
        default=60.0,
        metavar="S",
        help="give up waiting after S seconds (default: 60)",
    )
    group.add_argument(
        "--log", type=file_path, metavar="FILE", help="write a JSON line for each published frame"
    )


class _Log:
    """Takes the lines of --log and hands them on at once: whoever started the replayer follows it.

    Raises:
        InputError: The file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        try:
            self._file = path.open("wb", buffering=0) if path else None
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, line: str) -> None:
        """Append a line."""
        if self._file is None:
            return
        try:
            self._file.write(line.encode() + b"\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self._path}: cannot be written ({error.strerror}); choose another with --log")


def _replay(camera: Camera, source: Source, options: argparse.Namespace, log: _Log) -> None:
    if options.wait:
        camera.wait_for_subscribers(options.wait, options.wait_timeout)
    with read_ahead(_endless(source) if options.loop else source.frames) as pictures:
        result = _publish_all(camera, pictures, source, options, log)
    camera.drain()
    camera.get_logger().info(
        f"{source.name}: sent {result.sent} frames"
        + (f" at {result.rate:.2f} Hz" if result.rate else "")
        + f", {result.skipped} unreadable skipped, {result.late} late"
    )
    if not result.sent:
        raise InputError(f"{source.name}: not one frame could be read")


@dataclass
class _Result:
    """Counts, and no more: a loop may go on for weeks."""

    sent: int = 0
    first_ns: int = 0
    last_ns: int = 0
    skipped: int = 0
    late: int = 0

    def add(self, sent_ns: int) -> None:
        """Count a frame that was sent at a moment of the monotonic clock."""
        self.first_ns = self.first_ns if self.sent else sent_ns
        self.last_ns = sent_ns
        self.sent += 1

    @property
    def rate(self) -> float | None:
        """Mean rate in Hz; None for fewer than two frames."""
        span = self.last_ns - self.first_ns
        return (self.sent - 1) * 1e9 / span if span else None


def _publish_all(
    camera: Camera,
    pictures: Iterator[Picture | Unreadable],
    source: Source,
    options: argparse.Namespace,
    log: _Log,
) -> _Result:
    lockstep = options.rate == LOCKSTEP
    speed = options.speed or 1.0
    rate = options.rate if isinstance(options.rate, float) else source.rate * speed
    as_recorded = options.rate == "source" and source.recorded
    pace = Pace(rate)
    moments = _Moments(source, rate, options.stamps)
    result = _Result()
    for picture, following in _with_next(_progress(pictures, options, source)):
        if isinstance(picture, Unreadable):
            result.skipped += 1
            camera.get_logger().warning(f"skipped {picture.name}: {picture.reason}")
            log.write(json.dumps(unreadable_entry(picture.name, picture.reason, picture.breaks_off)))
            continue
        if not lockstep:
            gap = moments.gap(picture) / speed if as_recorded else None
            time.sleep(max(0.0, pace.next(time.monotonic(), gap) - time.monotonic()))
        stamps = moments.stamps(result.sent, picture, following)
        stamp_ns, sent_ns = camera.publish(picture, *stamps)
        answered_ns = camera.wait_for_answer(stamp_ns, options.answer_timeout) if lockstep else None
        log.write(Sent(result.sent, picture.name, stamp_ns, sent_ns, answered_ns).to_json())
        result.add(sent_ns)
        if result.sent == options.frames:
            break
    result.late = pace.late
    return result


class Pace:
    """Moments at which frames are due, on the monotonic clock.

    A frame that is late by more than one period moves the schedule: a camera skips, it never catches up in
    a burst. `late` counts those.
    """

    def __init__(self, rate: float) -> None:
        self._period = 1.0 / rate
        self._due: float | None = None
        self.late = 0

    def next(self, now: float, gap: float | None = None) -> float:
        """Moment in seconds at which the next frame is due; in the past when it is late.

        Args:
            now: The monotonic clock.
            gap: Seconds after the frame before; None: one period.
        """
        if self._due is None:
            self._due = now
            return now
        self._due += self._period if gap is None else gap
        if now - self._due > self._period:
            self.late += 1
            self._due = now
        return self._due


class _Moments:
    """Stamps of the frames, and the time between them as it was recorded."""

    def __init__(self, source: Source, rate: float, stamps: str) -> None:
        self._rate = rate
        self._recorded = stamps == "recorded" or (stamps == "auto" and source.recorded)
        self._last_ns: int | None = None

    def gap(self, picture: Picture) -> float:
        """Seconds since the frame before was received; never negative."""
        now_ns = picture.at_ns or 0
        last_ns, self._last_ns = self._last_ns, now_ns
        return 0.0 if last_ns is None else max(0.0, (now_ns - last_ns) / 1e9)

    def stamps(
        self, index: int, picture: Picture, following: Picture | Unreadable | None
    ) -> tuple[int | None, int | None]:
        """Stamp of a frame and of the next one; None where the wall clock decides."""
        if not self._recorded:
            return None, None
        if picture.stamp_ns is None:
            return self._counted(index), self._counted(index + 1)
        return picture.stamp_ns, following.stamp_ns if isinstance(following, Picture) else None

    def _counted(self, index: int) -> int:
        return 10**9 + round(index * 1e9 / self._rate)


def _with_next(
    pictures: Iterator[Picture | Unreadable],
) -> Iterator[tuple[Picture | Unreadable, Picture | Unreadable | None]]:
    """Each item with the one after it, and None after the last."""
    before = next(pictures, None)
    while before is not None:
        following = next(pictures, None)
        yield before, following
        before = following


def _endless(source: Source) -> Callable[[], Iterator[Picture | Unreadable]]:
    def frames() -> Iterator[Picture | Unreadable]:
        readable, shift = True, 0
        # A source that has nothing left to show would be searched for ever.
        while readable:
            readable = False
            first_ns = last_ns = 0
            for picture in source.frames():
                if (
                    isinstance(picture, Picture)
                    and picture.stamp_ns is not None
                    and picture.at_ns is not None
                ):
                    first_ns, last_ns = first_ns or picture.at_ns, picture.at_ns
                    picture = replace(picture, stamp_ns=picture.stamp_ns + shift, at_ns=picture.at_ns + shift)
                readable = readable or isinstance(picture, Picture)
                yield picture
            # A recording goes on where it has ended, one period later.
            shift += last_ns - first_ns + round(1e9 / source.rate)

    return frames


def _progress(
    pictures: Iterator[Picture | Unreadable], options: argparse.Namespace, source: Source
) -> Iterator[Picture | Unreadable]:
    if not sys.stderr.isatty():
        return pictures
    from tqdm import tqdm

    total = options.frames or (None if options.loop else source.length)
    return iter(tqdm(pictures, total=total, unit="frame", desc=source.name))


def _camera_options(options: argparse.Namespace) -> CameraOptions:
    from sernet_ros.camera import CameraOptions

    return CameraOptions(
        frame_id=options.frame_id,
        encoding=options.encoding,
        reliable=options.qos == "reliable",
        latched=options.durability == "transient_local",
        depth=options.depth,
        clock=options.clock,
        answers=options.answers if options.rate == LOCKSTEP else None,
    )


if __name__ == "__main__":
    sys.exit(main())
