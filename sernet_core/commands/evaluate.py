"""Score a model on a split with ground truth.

The first row, "single scale", scores the very masks that the live node publishes with the same model, engine
and precision (the report of a run names them). With --out the folder gets
report.html (one page that needs nothing else), metrics.json, metrics.csv (a line a row), frames.csv (a line a
frame) and worst.jpg.

example:
  sernet evaluate --model sernet-r50-camvid --data $SERNET_DATA/camvid --split val --out out/val
  sernet evaluate --data $SERNET_DATA/camvid --flip --scales 0.75 1 1.25 --out out/val      six passes a frame
  sernet evaluate --data synthetic --split val
  sernet evaluate --model RUN/model.safetensors --data camvid --split train --only 0001TP    what was left out
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sernet_core.commands.options import (
    add_data_arguments,
    add_model_arguments,
    load_segmenter,
    open_data,
    whole,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet evaluate`."""
    add_model_arguments(parser)
    add_data_arguments(parser, split="val")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the page and the tables")
    parser.add_argument(
        "--flip",
        action="store_true",
        help="a further row: mean of the probabilities of each frame and its mirror image (one more pass)",
    )
    parser.add_argument(
        "--scales",
        type=float,
        nargs="+",
        default=[],
        metavar="S",
        help="a further row: mean over these scales of the network's input (a pass each; with --flip also "
        "one over both)",
    )
    parser.add_argument(
        "--band",
        type=float,
        default=0.005,
        metavar="SHARE",
        help="width of the boundary IoU's band as a share of the diagonal (default: 0.005; its authors take "
        "0.02 for photographs of objects)",
    )
    parser.add_argument(
        "--worst",
        type=whole(0),
        default=8,
        metavar="N",
        help="how many of the worst frames to show (default: 8)",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table and write the results."""
    import sernet_core.peers.registry  # noqa: F401 (makes the checkpoints of peers readable)
    from sernet_core.evaluate.page import write_page
    from sernet_core.evaluate.results import metrics_of, table, write_results
    from sernet_core.evaluate.rows import make_rows
    from sernet_core.evaluate.run import evaluate_rows
    from sernet_core.evaluate.split import check_split
    from sernet_core.storage import make_folder

    rows = make_rows(flip=args.flip, scales=args.scales)
    dataset = open_data(args)
    segmenter = load_segmenter(args)
    check_split(dataset, segmenter.info, segmenter.model)  # before there is a folder for nothing
    if args.out:
        make_folder(args.out)
    evaluation = evaluate_rows(segmenter, dataset, rows, band=args.band, worst=args.worst if args.out else 0)
    metrics = metrics_of(evaluation, dataset, segmenter)
    print(table(metrics))
    if args.out:
        written = write_results(args.out, metrics, evaluation)
        page = write_page(args.out, metrics, evaluation)
        print(f"\nwritten: {page}, {', '.join(path.name for path in written)}")
    return 0
