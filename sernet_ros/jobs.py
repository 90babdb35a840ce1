"""What one call of evaluate_bag judges: one camera of one recording after the other."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from sernet_core.errors import ConfigError, InputError
from sernet_ros.bag.formats import is_bag
from sernet_ros.bag.layout import Topic
from sernet_ros.bag.topics import TopicChoice, cameras
from sernet_ros.sources import Source, open_source


@dataclass(frozen=True)
class Job:
    """One camera of one recording.

    Attributes:
        where: The recording, as the user gave it.
        choice: Its topics.
        source: Its frames.
        out: Folder of its results.
    """

    where: str
    choice: TopicChoice
    source: Source
    out: Path


def find_jobs(options: argparse.Namespace) -> tuple[list[Job], int]:
    """The cameras that the command line asks for; those of one recording side by side.

    Returns:
        The jobs, and how many more were asked for but cannot be opened: why is told.

    Raises:
        InputError: None can be read.
        ConfigError: A topic is not there, or it is not clear which one is meant.
    """
    found = []
    errors: list[InputError] = []
    for where in options.bags:
        try:
            choices = _choices(where, options)
        except InputError as error:
            errors.append(error)
            continue
        for choice in choices:
            try:
                source = open_source(where, options.split, None, choice)
            except InputError as error:
                errors.append(error)
                continue
            for note in source.notes:
                print(f"evaluate_bag: {note}", file=sys.stderr)
            found.append((where, choice, source))
    if not found:
        raise errors[0]
    for each in errors:
        print(f"evaluate_bag: error: {each}", file=sys.stderr)
    sources = [source for _, _, source in found]
    folders = _folders(options.out, sources) if len(sources) + len(errors) > 1 else [options.out]
    return [Job(*each, folder) for each, folder in zip(found, folders, strict=True)], len(errors)


def _choices(where: str, options: argparse.Namespace) -> list[TopicChoice]:
    images: list[str | None] = list(options.image_topic or [None])
    if options.all_cameras:
        if options.image_topic:
            raise ConfigError("--all-cameras or --image-topic: one of them")
        images = [topic.name for topic in _cameras(where)]
    truths: list[str | None] = list(options.truth_topic or [None])
    if truths in ([None], [""]):
        truths *= len(images)
    if len(truths) != len(images):
        raise ConfigError(
            f"--truth-topic: {len(truths)} for {len(images)} cameras of {where}; give one for each camera in "
            "the same order, or '' once to leave it out for all, or none where they are named ground_truth"
        )
    return [TopicChoice(*pair) for pair in zip(images, truths, strict=True)]


def _cameras(where: str) -> list[Topic]:
    path = Path(where).expanduser()
    if not path.exists() or not is_bag(path):
        raise ConfigError(f"--all-cameras: {where} is no recording")
    from sernet_ros.bag.depth import without_depth  # needs rosbags, which other sources do not
    from sernet_ros.bag.reader import Bag

    topics = without_depth(Bag(path))
    if not (found := cameras(topics)):
        raise ConfigError(f"--all-cameras: {where} holds no camera images; its topics: {', '.join(topics)}")
    return found


def _folders(out: Path, sources: list[Source]) -> list[Path]:
    """A folder of results below `out` for each source, numbered when names agree."""
    names = [source.name.replace("/", "_") for source in sources]
    return [out / (name if names.count(name) == 1 else f"{index}_{name}") for index, name in enumerate(names)]
