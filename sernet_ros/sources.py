"""What a replayed camera can see: images, a video, a split of a data set, a recording, the synthetic street.

A source is iterated in order, more than once if need be, and yields a `Picture` for each frame that can be
read and an `Unreadable` for each that cannot, so that one damaged file does not end a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sernet_core.errors import ConfigError, InputError, unknown_name
from sernet_ros.bag.formats import is_bag
from sernet_ros.bag.topics import TopicChoice

# What needs OpenCV or NumPy is imported where it is used: the command lines are read without them.
if TYPE_CHECKING:
    import numpy as np

    from sernet_core.labels import ClassSet

SYNTHETIC = "synthetic"
DEFAULT_RATE = 15.0


@dataclass(frozen=True)
class Picture:
    """One frame.

    Attributes:
        name: What a reader finds it by in its source.
        image: uint8 (H, W, 3) RGB.
        truth: uint8 (H, W) class ids with 255 = void, or None.
        stamp_ns: Stamp of the header, where it was recorded with one.
        at_ns: When it was received, where it was recorded.
        frame_id: Of the header, where it was recorded with one.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray | None = None
    stamp_ns: int | None = None
    at_ns: int | None = None
    frame_id: str | None = None


@dataclass(frozen=True)
class Unreadable:
    """A frame that could not be read, and why; `breaks_off`: with it all that should have followed."""

    name: str
    reason: str
    breaks_off: bool = False


@dataclass(frozen=True)
class Source:
    """A sequence of frames.

    Attributes:
        name: What a reader recognises it by, e.g. "camvid/val".
        rate: The rate at which the source was taken, in Hz; 15 where it does not say.
        length: Number of frames, None where it is not known.
        classes: Class set of the ground truth, None where there is none.
        frames: Starts over at the first frame each time it is called.
        stems: Names of all frames where they come from a data set.
        recorded: Whether pictures have the stamps and the times of a recording.
        with_truth: Whether there is ground truth, be it of classes that are not named.
        notes: What is unusual about it, for people.
    """

    name: str
    rate: float
    length: int | None
    classes: ClassSet | None
    frames: Callable[[], Iterator[Picture | Unreadable]]
    stems: Sequence[str] = ()
    recorded: bool = False
    with_truth: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class SyntheticOptions:
    """Which drive through the synthetic street; `town` None is the town that training never sees."""

    town: str | None = None
    condition: str = "day"
    seed: int = 1_000_000
    size: tuple[int, int] = (480, 360)
    rate: float = DEFAULT_RATE
    frames: int = 150


def open_source(
    where: str,
    split: str | None = None,
    synthetic: SyntheticOptions | None = None,
    topics: TopicChoice | None = None,
) -> Source:
    """Open a source by the path or name that a user gave.

    Args:
        where: Folder of images, root of a data set, image file, video file, recording, or "synthetic".
        split: Part of the data set, e.g. "val".
        synthetic: Options of the synthetic drive.
        topics: Topics of a recording, where they are not to be found by type.

    Raises:
        InputError: Nothing is there, or nothing in it can be shown.
        ConfigError: The split, the town, the condition or the topic does not exist.
    """
    if where == SYNTHETIC and split is None:
        return _synthetic(synthetic or SyntheticOptions())
    from sernet_core.datasets import splits_of
    from sernet_core.media import is_image, list_images

    path = Path(where).expanduser()
    if where == SYNTHETIC or (path.is_dir() and (split is not None or splits_of(path))):
        return _dataset(where if where == SYNTHETIC else path, split)
    if split is not None:
        raise ConfigError(
            f"--split {split}: {where} is no data set; leave --split away or give the root folder of one"
        )
    if path.exists() and is_bag(path):
        from sernet_ros.bag.source import open_bag  # needs rosbags, which the others do not

        return open_bag(path, topics or TopicChoice())
    if path.is_dir():
        return _images(path.resolve().name, list_images(path))
    if path.is_file():
        return _images(path.name, [path]) if is_image(path) else _video(path)
    raise InputError(
        f"{where}: no such file or folder; give a video, a folder of images, a recording, the root of a "
        f"data set (with --split) or the word '{SYNTHETIC}'"
    )


def _synthetic(options: SyntheticOptions) -> Source:
    from sernet_core import synthetic
    from sernet_core.labels import CAMVID
    from sernet_core.synthetic import EVALUATION_CONDITIONS, HELD_OUT_TOWN, TOWNS

    town = options.town or HELD_OUT_TOWN
    if town not in TOWNS:
        raise ConfigError(unknown_name("synthetic town", town, TOWNS))
    if options.condition not in EVALUATION_CONDITIONS:
        raise ConfigError(unknown_name("condition", options.condition, EVALUATION_CONDITIONS))
    sequence = synthetic.Sequence(
        town, options.condition, options.seed, size=options.size, rate=options.rate, frames=options.frames
    )

    def frames() -> Iterator[Picture]:
        for index in range(len(sequence)):
            frame = sequence[index]
            yield Picture(f"{town}_{index:05d}", frame.image, frame.label)

    name = f"{SYNTHETIC}/{town}/{options.condition}/{options.seed}"
    return Source(name, options.rate, len(sequence), CAMVID, frames)


def _dataset(root: str | Path, split: str | None) -> Source:
    from sernet_core.datasets import open_dataset, splits_of

    if split is None:
        splits = splits_of(root)
        if len(splits) != 1:
            raise ConfigError(
                f"{root} is a data set with the splits {', '.join(splits)}: choose one with --split"
            )
        split = splits[0]
    dataset = open_dataset(root, split)

    def frames() -> Iterator[Picture | Unreadable]:
        for index, stem in enumerate(dataset.stems):
            try:
                sample = dataset[index]
            except InputError as error:
                yield Unreadable(stem, str(error))
            else:
                yield Picture(sample.stem, sample.image, sample.label)

    classes = dataset.classes if dataset.labelled else None
    return Source(dataset.name, DEFAULT_RATE, len(dataset), classes, frames, tuple(dataset.stems))


def _images(name: str, paths: list[Path]) -> Source:
    from sernet_core.media import read_image

    def frames() -> Iterator[Picture | Unreadable]:
        for path in paths:
            try:
                yield Picture(path.name, read_image(path))
            except InputError as error:
                yield Unreadable(path.name, str(error))

    return Source(name, DEFAULT_RATE, len(paths), None, frames)


def _video(path: Path) -> Source:
    from sernet_core.media import Video

    video = Video(path)

    def frames() -> Iterator[Picture | Unreadable]:
        count = 0
        for image in video:
            yield Picture(f"{path.stem}_{count:06d}", image)
            count += 1
        # Containers count loosely: one frame short is rounding, more is a file that breaks off.
        if video.length is not None and count < video.length - 1:
            yield Unreadable(path.name, f"breaks off after {count} of {video.length} frames")

    return Source(path.name, video.rate or DEFAULT_RATE, video.length, None, frames)
