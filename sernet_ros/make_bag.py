"""Turns any source of frames into a recording: `ros2 run sernet_ros make_bag SOURCE --out BAG`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sernet_core.errors import InputError, SernetError
from sernet_ros.bag.formats import IMAGES, STORAGES
from sernet_ros.options import (
    add_bag_arguments,
    add_synthetic_arguments,
    file_path,
    number,
    parse_rate,
    synthetic_options,
    topic_choice,
    whole_number,
)
from sernet_ros.sources import open_source
from sernet_ros.startup import BAD_REQUEST, INTERRUPTED, MISSING_PACKAGE, explain_missing

# What needs OpenCV or NumPy is imported once `main` has seen that it is there.
if TYPE_CHECKING:
    from sernet_ros.bag.frame_writer import RecordingOptions

EPILOG = """\
examples:
  make_bag ~/camvid --split val --out val           a data set with its ground truth, as val/val.mcap
  make_bag ~/drive.mp4 --out drive --images jpeg    a video, as small as the camera driver would record it
  make_bag synthetic --condition night --frames 300 --out night
  make_bag ~/frames --rate 10 --storage sqlite3 --out frames
  ros2 bag play val & ros2 launch sernet_ros segment.launch.py image:=/camera/image_raw

topics, below --prefix: image_raw (or image_raw/compressed), camera_info; with ground truth: ground_truth
(mono8 class ids, 255 = void, the header of its image) and ground_truth_info (latched; names of the classes).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write a recording.

    Args:
        argv: Command line without the program's name; that of the process when None.

    Returns:
        0 when it is there, 2 for a request that cannot be met, 130 after Ctrl-C; then there is none.
    """
    options = build_parser().parse_args(argv)
    try:
        from sernet_ros.bag.frame_writer import write_bag
    except (ImportError, OSError) as error:
        print(explain_missing("make_bag", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE
    try:
        source = open_source(options.source, options.split, synthetic_options(options), topic_choice(options))
        written = write_bag(source, recording_options(options), options.out, options.frames, options.repeat)
    except SernetError as error:
        print(f"make_bag: error: {error}", file=sys.stderr)
        return BAD_REQUEST
    except KeyboardInterrupt:
        print("make_bag: interrupted; no recording was left", file=sys.stderr)
        return INTERRUPTED
    for words in written.unreadable:
        print(f"make_bag: left out: {words}", file=sys.stderr)
    print(f"{options.out}: {written.frames} frames of {source.name} at {written.rate:g} Hz")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make_bag",
        description="Write images, a video, a data set or the synthetic street into a rosbag2 recording.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="video, folder of images, data set, recording, or 'synthetic'"
    )
    parser.add_argument("--out", type=file_path, required=True, metavar="BAG", help="folder of the recording")
    parser.add_argument("--split", help="part of the data set, e.g. val")
    parser.add_argument("--frames", type=whole_number(1), metavar="N", help="stop after N frames")
    parser.add_argument(
        "--repeat", type=whole_number(1), default=1, metavar="N", help="the whole source N times (default: 1)"
    )
    parser.add_argument(
        "--rate",
        type=parse_rate,
        default="source",
        help="Hz of the stamps (default: the source's own; 15 where it has none)",
    )
    parser.add_argument("--storage", choices=STORAGES, default=STORAGES[0], help="default: %(default)s")
    parser.add_argument("--images", choices=IMAGES, default=IMAGES[0], help="default: %(default)s")
    parser.add_argument(
        "--quality", type=whole_number(1), default=90, metavar="1..100", help="of JPEG (default: 90)"
    )
    parser.add_argument("--zstd", action="store_true", help="compress the chunks (mcap alone)")
    parser.add_argument(
        "--prefix", default="/camera", help="what topic names begin with (default: %(default)s)"
    )
    parser.add_argument("--frame-id", default="camera", help="of every header (default: camera)")
    parser.add_argument(
        "--start",
        type=number(0.0, 2.0**31 - 1),
        metavar="S",
        help="first stamp, in seconds since 1970 (default: now)",
    )
    parser.add_argument(
        "--hfov",
        type=float,
        metavar="DEG",
        help="horizontal field of view for camera_info; without it the camera counts as uncalibrated",
    )
    add_bag_arguments(parser)
    add_synthetic_arguments(parser)
    return parser


def recording_options(options: argparse.Namespace) -> RecordingOptions:
    """The options of the command line.

    Raises:
        InputError: One makes no sense.
    """
    if not options.prefix.startswith("/") or "//" in options.prefix:
        raise InputError(f"--prefix {options.prefix}: must be a name like /camera or /front/camera")
    if options.hfov is not None and not 1.0 <= options.hfov < 180.0:
        raise InputError(f"--hfov {options.hfov:g}: must be from 1 to 180 degrees")
    if options.quality > 100:
        raise InputError(f"--quality {options.quality}: must be from 1 to 100")
    from sernet_ros.bag.frame_writer import RecordingOptions

    return RecordingOptions(
        storage=options.storage,
        images=options.images,
        quality=options.quality,
        zstd=options.zstd,
        prefix=options.prefix.rstrip("/"),
        frame_id=options.frame_id,
        rate=options.rate if isinstance(options.rate, float) else None,
        start_ns=time.time_ns() if options.start is None else round(options.start * 1e9),
        hfov=options.hfov,
    )


if __name__ == "__main__":
    sys.exit(main())
