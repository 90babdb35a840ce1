"""Options that several executables share: what to show, and how to write a rate, a size or a count."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path

from sernet_core.errors import ConfigError
from sernet_ros.bag.topics import TopicChoice
from sernet_ros.sources import SyntheticOptions

LOCKSTEP = "lockstep"
LONGEST = 86400.0  # seconds that one may ask to wait


def add_synthetic_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that choose a drive through the synthetic street; the demo has the same."""
    default = SyntheticOptions()
    group = parser.add_argument_group("synthetic source")
    group.add_argument("--town", help="default: the one that training never sees")
    group.add_argument(
        "--condition", default=default.condition, help="day (default), dusk, rain, night or fog"
    )
    group.add_argument("--seed", type=int, default=default.seed, help="which drive (default: %(default)s)")
    group.add_argument(
        "--size", type=parse_size, default=default.size, metavar="WxH", help="default: 480x360"
    )


def add_bag_arguments(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Options that choose the topics of a recording.

    Args:
        parser: Gets them.
        several: Whether more than one camera may be chosen; the values are lists then.
    """
    group = parser.add_argument_group("recording as a source")
    action = "append" if several else "store"
    image, truth = "images to show (default: found by type where there is one)", ""
    if several:
        image = "images of a camera (default: found by type where there is one); may be repeated"
        truth = " of that camera"
        group.add_argument("--all-cameras", action="store_true", help="every camera that is found by type")
    group.add_argument("--image-topic", metavar="TOPIC", action=action, help=image)
    group.add_argument(
        "--truth-topic",
        metavar="TOPIC",
        action=action,
        help=f"ground truth{truth}, mono8 class ids (default: the topic .../ground_truth); '': leave it out",
    )


def topic_choice(options: argparse.Namespace) -> TopicChoice:
    """The topics that the options of `add_bag_arguments` ask for."""
    return TopicChoice(options.image_topic, options.truth_topic)


def bag_words(choice: TopicChoice) -> list[str]:
    """A choice of topics as words of a command line with the options of `add_bag_arguments`."""
    words = []
    for name, value in (("--image-topic", choice.image), ("--truth-topic", choice.truth)):
        # Joined, for a value may be empty.
        words += [f"{name}={value}"] if value is not None else []
    return words


def synthetic_options(options: argparse.Namespace) -> SyntheticOptions:
    """The drive that the options of `add_synthetic_arguments` and --frames ask for."""
    frames = options.frames or SyntheticOptions().frames
    return SyntheticOptions(options.town, options.condition, options.seed, options.size, frames=frames)


def parse_rate(text: str) -> float | str:
    """Type of --rate: Hz, or one of the words."""
    if text in ("source", LOCKSTEP):
        return text
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 1000.0:
        raise argparse.ArgumentTypeError(
            f"'{text}' is neither 'source' nor 'lockstep' nor a rate of 0.001 to 1000 Hz"
        )
    return rate


def parse_factor(text: str) -> float:
    """Type of an option that multiplies a rate."""
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0.001 <= factor <= 1000.0:
        raise argparse.ArgumentTypeError(f"'{text}' is no factor of 0.001 to 1000")
    return factor


def check_speed(rate: float | str, speed: float | None) -> None:
    """Refuse --speed where the pace is not the source's own: what is accepted must not be ignored.

    Raises:
        ConfigError: It is given beside another rate.
    """
    if speed is not None and rate != "source":
        raise ConfigError(
            f"--speed {speed:g} is a factor of the source's own rate, which --rate {rate} replaces: "
            "leave one of the two away"
        )


def parse_size(text: str) -> tuple[int, int]:
    """Type of --size: width and height."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no size like 480x360") from None
    return width, height


def file_path(text: str) -> Path:
    """Type of an option that names a file or a folder: `~` is the home, even where no shell has put it."""
    return Path(os.path.expanduser(text))  # that of Path raises for the home of nobody


def whole_number(least: int) -> Callable[[str], int]:
    """Type of an option that counts, from `least` on."""

    def whole(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return whole


def number(least: float, most: float) -> Callable[[str], float]:
    """Type of an option that measures, from `least` to `most`."""

    def measure(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {least:g} to {most:g}")
        return value

    return measure
