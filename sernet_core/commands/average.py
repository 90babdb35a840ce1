"""Average the weights of several models into one that costs what one of them does.

For models that were fine-tuned from the same one, with other seeds or settings: their average is often better
than each of them, above all on other streets (docs/training.md has figures). Between models with no common
start there is nothing to expect, and there is a warning. Score what comes out, and calibrate it: its
confidence has lost its temperature.

example:
  sernet average sernet-r50-camvid RUN/model.safetensors --out averaged.safetensors
  sernet evaluate --model averaged.safetensors --data $SERNET_DATA/camvid
"""

from __future__ import annotations

import argparse
import sys

from sernet_core.commands.options import model_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet average`."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="path or name of a model; two or more")
    parser.add_argument(
        "--out", type=model_file, required=True, metavar="FILE", help="file to write, .safetensors"
    )


def run(args: argparse.Namespace) -> int:
    """Average and say what was written."""
    from sernet_core.averaging import average_models, share_a_start
    from sernet_core.checkpoint import load_checkpoint, save_checkpoint

    models = [load_checkpoint(model) for model in args.models]
    network, info = average_models(models)
    if not share_a_start(models):
        print(
            "sernet average: warning: these models have no common start that their files know of; "
            "score the average before you use it",
            file=sys.stderr,
        )
    save_checkpoint(args.out, network, info)
    print(f"written: {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0
