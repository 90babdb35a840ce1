"""Options that several subcommands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sernet_core.runtime import Segmenter

DEFAULT_MODEL = "sernet-r50-camvid"
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


def frame_size(text: str) -> tuple[int, int]:
    """Width and height of "WxH"."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and max(len(width), len(height)) <= MAX_DIGITS):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not WxH of at most {MAX_DIGITS} digits each, e.g. 960x720"
        )
    return int(width), int(height)
