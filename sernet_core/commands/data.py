"""Check and describe a data set.

Says how the folder is laid out, what each split holds, how the classes are shared out, and what is wrong,
file by file: images or labels that are missing or cannot be read, other sizes, values that are no class,
frames that are in two parts. The exit code is 1 when something is. --out gets data.json and sheet.jpg, a
picture of some frames with their labels.

example:
  sernet data $SERNET_DATA/camvid --out out/data
  sernet data cityscapes --split val --sample 50
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sernet_core.datasets.check import TreeReport

_QUALITY = 85  # of the sheet's JPEG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet data`."""
    parser.add_argument("root", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="NAME",
        help="look at this split alone; may be repeated",
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=0,
        metavar="N",
        help="read N frames of each split, evenly spread (default: all of them)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for data.json and sheet.jpg")


def run(args: argparse.Namespace) -> int:
    """Check, print and write; 1 when something is wrong."""
    from sernet_core.datasets.check import check_tree
    from sernet_core.errors import ConfigError
    from sernet_core.storage import make_folder

    if args.sample < 0:
        raise ConfigError(f"--sample: needs 0 (all) or more, got {args.sample}")
    if args.out:
        make_folder(args.out)
    tree = check_tree(args.root, args.split, sample=args.sample)
    print("\n".join(_describe(tree)))
    if args.out:
        for path in _write(args.out, tree):
            print(f"written: {path}")
    return 1 if tree.problems else 0


def _describe(tree: TreeReport) -> list[str]:
    lines = [
        f"{tree.root}",
        f"  layout    {tree.layout}",
        f"  classes   {len(tree.classes)} of {tree.classes.name}",
    ]
    for split in tree.splits:
        sizes = ", ".join(f"{count} of {size}" for size, count in split.sizes.most_common(4))
        read = "" if split.read == split.frames else f", {split.read} read"
        lines.append(f"  {split.name:<9} {split.frames} frames{read}{f' ({sizes})' if sizes else ''}")
        if split.sequences:
            parts = ", ".join(f"{name} {count}" for name, count in split.sequences.items())
            lines.append(f"            by name: {parts}")
        lines += [f"            note: {note}" for note in split.notes]
    lines += ["", *_shares(tree), ""]
    lines += [f"  wrong     {problem}" for problem in tree.problems] or ["  nothing is wrong"]
    return lines


def _shares(tree: TreeReport) -> list[str]:
    """Table of the classes' shares by split."""
    splits = [split for split in tree.splits if split.pixels.any()]
    if not splits:
        return ["  nothing is labelled"]
    columns = [split.shares(tree.classes) for split in splits]
    lines = [f"  {'share, %':<16}" + "".join(f"{split.name:>12}" for split in splits)]
    for name in tree.classes.names:
        lines.append(f"  {name:<16}" + "".join(f"{shares[name]:>12.2f}" for shares in columns))
    void = [100 * split.void / (split.void + int(split.pixels.sum())) for split in splits]
    return [*lines, f"  {'void, of all':<16}" + "".join(f"{share:>12.2f}" for share in void)]


def _write(out: Path, tree: TreeReport) -> list[Path]:
    import json

    import cv2
    import numpy as np

    from sernet_core.labels import IGNORE
    from sernet_core.report import Exhibit, contact_sheet
    from sernet_core.storage import write_atomically

    written = [out / "data.json"]
    text = json.dumps(tree.summary(), indent=2) + "\n"
    write_atomically(written[0], lambda path: path.write_text(text, encoding="utf-8"))
    rows = [
        Exhibit(
            f"{split}: {sample.stem}",
            sample.image,
            np.full(sample.image.shape[:2], IGNORE, np.uint8) if sample.label is None else sample.label,
        )
        for split, sample in tree.samples
    ]
    if rows:
        page = contact_sheet(rows, tree.classes, f"{tree.root} ({tree.layout})", mask="labels")
        data = cv2.imencode(
            ".jpg", np.ascontiguousarray(page[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        )[1]
        written.append(out / "sheet.jpg")
        write_atomically(written[1], lambda path: data.tofile(path))
    return written
