"""What a replayed camera can see: a folder of images, a video, a split of a data set, the synthetic street.

A source is iterated in order, more than once if need be, and yields a `Picture` for each frame that can be
read and an `Unreadable` for each that cannot, so that one damaged file does not end a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sernet_core.errors import ConfigError, InputError, unknown_name
from sernet_core.labels import ClassSet

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
SYNTHETIC = "synthetic"
DEFAULT_RATE = 15.0


@dataclass(frozen=True)
class Picture:
    """One frame: image uint8 (H, W, 3) RGB; truth uint8 (H, W) class ids with 255 = void, or None."""

    name: str
    image: np.ndarray
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class Unreadable:
    """A frame that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Source:
    """A sequence of frames.

    Attributes:
        name: What a reader recognises it by, e.g. "camvid/val".
        rate: The rate at which the source was taken, in Hz; 15 where it does not say.
        length: Number of frames, None where it is not known.
        classes: Class set of the ground truth, None where there is none.
        frames: Starts over at the first frame each time it is called.
    """

    name: str
    rate: float
    length: int | None
    classes: ClassSet | None
    frames: Callable[[], Iterator[Picture | Unreadable]]


@dataclass(frozen=True)
class SyntheticOptions:
    """Which drive through the synthetic street; `town` None is the town that training never sees."""

    town: str | None = None
    condition: str = "day"
    seed: int = 1_000_000
    size: tuple[int, int] = (480, 360)
    rate: float = DEFAULT_RATE
    frames: int = 150


def open_source(where: str, split: str | None = None, synthetic: SyntheticOptions | None = None) -> Source:
    """Open a source by the path or name that a user gave.

    Args:
        where: Folder of images, root of a data set, image file, video file, or "synthetic".
        split: Part of the data set, e.g. "val".
        synthetic: Options of the synthetic drive.

    Raises:
        InputError: Nothing is there, or nothing in it can be shown.
        ConfigError: The split, the town or the condition does not exist.
    """
    if where == SYNTHETIC and split is None:
        return _synthetic(synthetic or SyntheticOptions())
    path = Path(where).expanduser()
    if where == SYNTHETIC or (path.is_dir() and (split is not None or _splits(path))):
        return _dataset(where if where == SYNTHETIC else path, split)
    if split is not None:
        raise ConfigError(
            f"--split {split}: {where} is no data set; leave --split away or give the root folder of one"
        )
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _images(path.name, [path]) if path.suffix.lower() in IMAGE_SUFFIXES else _video(path)
    raise InputError(
        f"{where}: no such file or folder; give a video, a folder of images, the root of a data set "
        f"(with --split) or the word '{SYNTHETIC}'"
    )


def _synthetic(options: SyntheticOptions) -> Source:
    from sernet_core.labels import CAMVID
    from sernet_core.synthetic import CONDITIONS, HELD_OUT_TOWN, TOWNS, Sequence

    town = options.town or HELD_OUT_TOWN
    if town not in TOWNS:
        raise ConfigError(unknown_name("synthetic town", town, TOWNS))
    if options.condition not in CONDITIONS:
        raise ConfigError(unknown_name("condition", options.condition, CONDITIONS))
    sequence = Sequence(
        town, options.condition, options.seed, size=options.size, rate=options.rate, frames=options.frames
    )

    def frames() -> Iterator[Picture]:
        for index in range(len(sequence)):
            frame = sequence[index]
            yield Picture(f"{town}_{index:05d}", frame.image, frame.label)

    name = f"{SYNTHETIC}/{town}/{options.condition}/{options.seed}"
    return Source(name, options.rate, len(sequence), CAMVID, frames)


def _splits(root: Path) -> list[str]:
    return sorted(path.parent.name for path in root.glob("*/images") if path.is_dir())


def _dataset(root: str | Path, split: str | None) -> Source:
    from sernet_core.datasets import open_dataset

    if split is None:
        splits = _splits(Path(root))
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

    labelled = root == SYNTHETIC or (Path(root) / split / "labels").is_dir()
    return Source(dataset.name, DEFAULT_RATE, len(dataset), dataset.classes if labelled else None, frames)


def _folder(folder: Path) -> Source:
    paths = [path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES]
    if not paths:
        raise InputError(f"{folder}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
    return _images(folder.resolve().name, sorted(paths, key=_natural))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order in which people count: frame2 before frame10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name.lower())
    ]


def _images(name: str, paths: list[Path]) -> Source:
    def frames() -> Iterator[Picture | Unreadable]:
        for path in paths:
            yield _read(path)

    return Source(name, DEFAULT_RATE, len(paths), None, frames)


def _read(path: Path) -> Picture | Unreadable:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        return Unreadable(path.name, f"cannot be read: {error.strerror}")
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        return Unreadable(path.name, "not an image that can be decoded (is the file whole?)")
    return Picture(path.name, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _video(path: Path) -> Source:
    capture = cv2.VideoCapture(str(path))
    opened, rate = capture.isOpened(), capture.get(cv2.CAP_PROP_FPS)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    readable = opened and capture.grab()
    capture.release()
    if not readable:
        raise InputError(
            f"{path}: not a video that can be decoded, nor an image ({', '.join(IMAGE_SUFFIXES)})"
        )
    length = count if count > 0 else None

    def frames() -> Iterator[Picture | Unreadable]:
        video = cv2.VideoCapture(str(path))
        index = 0
        try:
            while (step := video.read())[0]:
                yield Picture(f"{path.stem}_{index:06d}", cv2.cvtColor(step[1], cv2.COLOR_BGR2RGB))
                index += 1
        finally:
            video.release()
        # Containers count loosely: one frame short is rounding, more is a file that breaks off.
        if length is not None and index < length - 1:
            yield Unreadable(path.name, f"breaks off after {index} of {length} frames")

    return Source(path.name, rate if 0.1 <= rate <= 1000.0 else DEFAULT_RATE, length, None, frames)
