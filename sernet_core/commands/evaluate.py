"""Score a model.

example:
  sernet evaluate --model sernet-r50-camvid --data $SERNET_DATA/camvid --split val --out out/val
  sernet evaluate --data synthetic --split val
  sernet evaluate --model RUN/model.safetensors --data camvid --split train --only 0001TP    what was left out
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sernet_core.commands.options import add_data_arguments, add_model_arguments, load_segmenter, open_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet evaluate`."""
    add_model_arguments(parser)
    add_data_arguments(parser, split="val")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for metrics.json")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    from sernet_core.evaluate import evaluate, metrics_of, table, write_metrics
    from sernet_core.storage import make_folder

    if args.out:
        make_folder(args.out)
    dataset = open_data(args)
    segmenter = load_segmenter(args)
    metrics = metrics_of(evaluate(segmenter, dataset), dataset, segmenter)
    print(table(metrics))
    if args.out:
        print(f"\nwritten: {write_metrics(args.out, metrics)}")
    return 0
