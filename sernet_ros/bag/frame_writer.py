"""Frames of any source into a new recording, as a camera would have left them."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sernet_core.errors import InputError
from sernet_ros.bag.formats import CAMERA_INFO_TYPE, COMPRESSED_TYPE, IMAGE_TYPE, STRING_TYPE, typestore
from sernet_ros.bag.messages import TruthInfo, compressed_message, header, image_message
from sernet_ros.bag.topics import CAMERA_INFO, COMPRESSED, INFO, TRUTH
from sernet_ros.bag.writer import BagWriter
from sernet_ros.sources import Picture, Source, Unreadable


@dataclass(frozen=True)
class RecordingOptions:
    """How frames are recorded.

    Attributes:
        storage: One of `STORAGES`.
        images: One of `IMAGES`.
        quality: Of JPEG, 1 to 100.
        zstd: Compress the chunks.
        prefix: Of the topic names.
        frame_id: Of every header.
        rate: Hz of the stamps; None: the source's own.
        start_ns: First stamp.
        hfov: Horizontal field of view in degrees; None: not known.
    """

    storage: str = "mcap"
    images: str = "raw"
    quality: int = 90
    zstd: bool = False
    prefix: str = "/camera"
    frame_id: str = "camera"
    rate: float | None = None
    start_ns: int = 10**9
    hfov: float | None = None


@dataclass(frozen=True)
class Written:
    """What is in a new recording, and what could not be."""

    frames: int
    rate: float
    unreadable: tuple[str, ...]


def write_bag(
    source: Source, options: RecordingOptions, out: Path, frames: int | None = None, repeat: int = 1
) -> Written:
    """Write frames into a new recording.

    Args:
        source: The frames; those of a recording keep their stamps, unless a rate is given.
        options: How to record them.
        out: Folder of the recording.
        frames: Stop after so many; None: after the last.
        repeat: How often the source is read.

    Raises:
        InputError: `out` exists or cannot be written, or not one frame could be read.
    """
    rate = options.rate or source.rate
    unreadable: list[str] = []
    count = 0
    with BagWriter(out, options.storage, options.zstd) as writer:
        recorder = _Recorder(writer, options, source)
        with closing(_read(source, repeat, frames)) as pictures:
            for picture in pictures:
                if isinstance(picture, Unreadable):
                    unreadable.append(f"{picture.name}: {picture.reason}")
                    continue
                if count == 0:
                    recorder.begin(picture)
                keeps = picture.stamp_ns is not None and options.rate is None and repeat == 1
                counted_ns = options.start_ns + round(count * 1e9 / rate)
                recorder.record(picture, (picture.stamp_ns or 0) if keeps else counted_ns)
                count += 1
                if count == frames:
                    break
        if not count:
            raise InputError(f"{source.name}: not one frame could be read; {'; '.join(unreadable[:1])}")
    return Written(count, rate, tuple(unreadable))


def _read(source: Source, repeat: int, frames: int | None) -> Generator[Picture | Unreadable, None, None]:
    from tqdm import tqdm

    total = source.length * repeat if source.length else None
    with tqdm(total=min(total, frames) if total and frames else total or frames, unit="frame",
              desc=source.name, leave=False, disable=None) as bar:  # fmt: skip
        for _ in range(repeat):
            for picture in source.frames():
                yield picture
                bar.update()


class _Recorder:
    """Writes the messages of a frame."""

    def __init__(self, writer: BagWriter, options: RecordingOptions, source: Source) -> None:
        self._writer = writer
        self._options = options
        self._source = source
        prefix = options.prefix
        self._image = f"{prefix}/image_raw" + ("" if options.images == "raw" else COMPRESSED)
        self._camera, self._truth, self._info = (f"{prefix}/{name}" for name in (CAMERA_INFO, TRUTH, INFO))

    def begin(self, picture: Picture) -> None:
        """Announce the topics, and say once what the class ids mean."""
        options, source = self._options, self._source
        self._writer.add(self._image, IMAGE_TYPE if options.images == "raw" else COMPRESSED_TYPE)
        self._writer.add(self._camera, CAMERA_INFO_TYPE)
        if source.classes is None and not source.with_truth:
            return
        self._writer.add(self._truth, IMAGE_TYPE)
        if source.classes is not None:
            self._writer.add(self._info, STRING_TYPE, latched=True)
            text = TruthInfo(source.classes, source.name, tuple(source.stems)).to_json()
            start_ns = (picture.stamp_ns or options.start_ns) if options.rate is None else options.start_ns
            self._writer.write(self._info, start_ns, typestore().types[STRING_TYPE](data=text))

    def record(self, picture: Picture, stamp_ns: int) -> None:
        """Write one frame; the ground truth first, so that it is there when the image comes."""
        options = self._options
        if picture.truth is not None:
            self._writer.write(
                self._truth, stamp_ns, image_message(picture.truth, stamp_ns, options.frame_id)
            )
        self._writer.write(self._camera, stamp_ns, _camera_info(picture, stamp_ns, options))
        if options.images == "raw":
            message = image_message(picture.image, stamp_ns, options.frame_id)
        else:
            message = compressed_message(
                picture.image, stamp_ns, options.frame_id, options.images, options.quality
            )
        self._writer.write(self._image, stamp_ns, message)


def _camera_info(picture: Picture, stamp_ns: int, options: RecordingOptions) -> Any:
    """A pinhole without distortion; all zeros, as the message has it for "uncalibrated", without --hfov."""
    types = typestore().types
    height, width = picture.image.shape[:2]
    focal = width / 2 / math.tan(math.radians(options.hfov) / 2) if options.hfov else 0.0
    x, y = ((width - 1) / 2, (height - 1) / 2) if focal else (0.0, 0.0)
    one = 1.0 if focal else 0.0
    region = types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return types[CAMERA_INFO_TYPE](
        header=header(stamp_ns, options.frame_id),
        height=height,
        width=width,
        distortion_model="plumb_bob" if focal else "",
        d=np.zeros(5 if focal else 0),
        k=np.array([focal, 0, x, 0, focal, y, 0, 0, one]),
        r=np.eye(3).reshape(-1) * one,
        p=np.array([focal, 0, x, 0, 0, focal, y, 0, 0, 0, one, 0]),
        binning_x=0,
        binning_y=0,
        roi=region,
    )
