"""Options that several subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sernet_core.errors import ConfigError

if TYPE_CHECKING:
    from sernet_core.datasets import Dataset
    from sernet_core.runtime import Segmenter
    from sernet_core.train import Recipe

DEFAULT_MODEL = "sernet-r50-camvid"
DATA_HELP = "folder of a data set (`sernet data DIR` looks at one), or 'synthetic'"
MAX_DIGITS = 5  # of a side in pixels


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model to use, and how to run it."""
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"path or name of a model (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N (default: auto)")
    parser.add_argument(
        "--engine",
        default="eager",
        help="what runs the network: auto, or a name that `sernet engines` lists (default: eager, which is "
        "ready at once and makes the reference's masks)",
    )
    parser.add_argument(
        "--precision", default="auto", help="auto, fp32, bf16, int8 or, on CUDA, fp16 (default: auto)"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--input-size",
        default="model",
        metavar="SIZE",
        help="size the network sees: model (as many pixels as in training), source or WxH (default: model)",
    )


def add_data_arguments(parser: argparse.ArgumentParser, split: str) -> None:
    """Which frames to use; `split` is the part where none is named."""
    parser.add_argument("--data", required=True, metavar="DIR", help=DATA_HELP)
    parser.add_argument("--split", default=split, help=f"part of the data set (default: {split})")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="PREFIX",
        help="only the frames whose names begin so, e.g. one sequence of several: --only 0001TP",
    )


def warn_of_bfloat16(recipe: Recipe, device: str) -> None:
    """Say where a recipe's reduced precision is likely to cost time; `device` is "cpu" or "cuda:N"."""
    from sernet_core.engines.processor import bf16_doubt

    if recipe.precision == "bf16" and device == "cpu" and (doubt := bf16_doubt()):
        print(
            f"warning: precision bf16 may be slower than fp32 here: {doubt}; a new run may take fp32",
            flush=True,
        )


def open_data(args: argparse.Namespace) -> Dataset:
    """The frames that the arguments describe."""
    from sernet_core.datasets import only, open_dataset

    return only(open_dataset(args.data, args.split), args.only)


def load_segmenter(args: argparse.Namespace) -> Segmenter:
    """The segmenter that the arguments describe."""
    from sernet_core.runtime import Segmenter

    return Segmenter.load(
        args.model,
        device=args.device,
        engine=args.engine,
        precision=args.precision,
        threads=args.threads,
        input_size=args.input_size,
    )


def whole(least: int) -> Callable[[str], int]:
    """Type of an option that is a whole number, at least `least`."""

    def parse(text: str) -> int:
        if not (text.isdecimal() and len(text) <= MAX_DIGITS + 4 and int(text) >= least):
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {least}")
        return int(text)

    return parse


def model_file(text: str) -> Path:
    """Path of a model to be written."""
    path = Path(text)
    if path.suffix != ".safetensors":
        raise argparse.ArgumentTypeError(f"'{text}' must end in .safetensors")
    return path


def frame_size(text: str) -> tuple[int, int]:
    """Width and height of "WxH", both at least 1."""
    width, _, height = text.partition("x")
    numbers = width.isdecimal() and height.isdecimal() and max(len(width), len(height)) <= MAX_DIGITS
    if not numbers or min(int(width), int(height)) < 1:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not WxH, each at least 1 and of at most {MAX_DIGITS} digits, e.g. 960x720"
        )
    return int(width), int(height)


def root_and_split(option: str, text: str) -> tuple[str, str]:
    """Data set and part from `DIR:SPLIT`.

    Raises:
        ConfigError: It is not written so.
    """
    root, _, split = text.rpartition(":")
    if not root or not split:
        raise ConfigError(f"{option} {text}: write it as DIR:SPLIT, e.g. {text.strip(':') or 'camvid'}:val")
    return root, split
