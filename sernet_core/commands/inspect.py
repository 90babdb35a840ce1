"""Look inside of a model.

With an image: what the five attention-boosting modules (AbM) add, and the features before and after DbN, AfN1
and AfN2, as pictures and on a page. With --data: whether the gates follow the quality of the masks over a
split, and with --without what the trained network loses when a part is switched off.

example:
  sernet inspect street.jpg --model sernet-r50-camvid --out out/inspect
  sernet inspect --data $SERNET_DATA/camvid --split val --without --out out/gates
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sernet_core.commands.options import DATA_HELP, DEFAULT_MODEL, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet inspect`."""
    parser.add_argument("image", type=Path, nargs="?", help="a picture to look at")
    parser.add_argument("--data", metavar="DIR", help=f"instead of a picture: {DATA_HELP}")
    parser.add_argument("--split", default="val", help="part of the data set (default: val)")
    parser.add_argument(
        "--every",
        type=whole(1),
        default=1,
        metavar="N",
        help="with --data: take every N-th frame (default: 1)",
    )
    parser.add_argument(
        "--without",
        action="store_true",
        help="also run without AbM, DbN, AfN1 and AfN2 in turn (about one and a half more passes a frame)",
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"path or name of a model (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--input-size", default="model", metavar="SIZE", help="model, source or WxH (default: model)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/inspect"), metavar="DIR", help="folder for the results"
    )


def run(args: argparse.Namespace) -> int:
    """Look, and write what was seen."""
    import torch

    from sernet_core.datasets import open_dataset
    from sernet_core.devices import resolve_device
    from sernet_core.engines.base import Source
    from sernet_core.engines.cache import EngineCache, default_folder
    from sernet_core.errors import ConfigError
    from sernet_core.inspection.probe import Probe
    from sernet_core.inspection.write import inspect_image, inspect_split

    if (args.image is None) == (args.data is None):
        raise ConfigError("give either an image or --data")
    if args.threads < 0:
        raise ConfigError(f"--threads: needs 0 (automatic) or more, got {args.threads}")
    if args.threads:
        torch.set_num_threads(args.threads)
    device = resolve_device(args.device)
    probe = Probe(Source.load(args.model, EngineCache(default_folder()), device=device), args.input_size)
    if args.image is not None:
        words = inspect_image(probe, args.model, args.image, args.out, without=args.without)
    else:
        dataset = open_dataset(args.data, args.split)
        words = inspect_split(probe, args.model, dataset, args.out, without=args.without, every=args.every)
    print(words)
    return 0
