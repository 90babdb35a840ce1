"""Segment pictures or a video.

Each picture gives STEM_mask.png (class ids, 255 = unlabeled) and STEM_overlay.png; a video gives
STEM_overlay.webm and, with --masks, a mask a frame.

example:
  sernet predict street.jpg --out out/predict
  sernet predict drive.mp4 --out out/predict --alpha 0.6
  sernet predict cityscapes --split test
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sernet_core.commands.options import add_model_arguments, load_segmenter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet predict`."""
    parser.add_argument("source", type=Path, help="image, folder of images, data set, or video")
    parser.add_argument("--split", help="where the source is a data set: its part, e.g. test")
    add_model_arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("out/predict"), metavar="DIR", help="folder for the results"
    )
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the colours in the overlay, 0..1")
    parser.add_argument("--masks", action="store_true", help="also write a mask for each frame of a video")


def run(args: argparse.Namespace) -> int:
    """Segment the source and say what was written."""
    from sernet_core.errors import ConfigError
    from sernet_core.predict import predict

    if not 0 <= args.alpha <= 1:
        raise ConfigError(f"--alpha: must be from 0 to 1, got {args.alpha}")
    written = predict(
        load_segmenter(args), args.source, args.out, split=args.split, alpha=args.alpha, masks=args.masks
    )
    print(f"{written} frame(s) segmented, results in {args.out}")
    return 0
