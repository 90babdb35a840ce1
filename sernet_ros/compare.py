"""Two reports side by side, with intervals: `ros2 run sernet_ros compare A B`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sernet_core.errors import SernetError
from sernet_core.storage import make_folder, write_atomically
from sernet_ros.options import file_path, number, whole_number
from sernet_ros.startup import BAD_REQUEST, FAILED, MISSING_PACKAGE, explain_missing

EPILOG = """\
examples:
  compare out/old out/new                              differences by class, and what of them is noise
  compare out/old out/new --max-drop 0.5               for CI: fails when the mIoU fell by more
  compare out/fp32 out/int8 --max-class-drop 2 --out out/int8_against_fp32
  compare out/a out/b --block 15                       a video at 15 Hz: whole seconds are drawn, not frames

A and B are folders that evaluate_bag left (report.json, frames.csv). A drop counts as one when it is larger
than the limit and the interval leaves out zero. Exit codes: 0; 1 a regression; 2 the reports do not fit.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Compare two reports.

    Args:
        argv: Command line without the program's name; that of the process when None.

    Returns:
        0, 1 for a regression beyond a limit, 2 for reports that cannot be compared.
    """
    options = build_parser().parse_args(argv)
    try:
        from sernet_core.report.versus import render_comparison
        from sernet_ros.comparison import Limits, compare, read_run, table
    except (ImportError, OSError) as error:
        print(explain_missing("compare", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE
    try:
        runs = read_run(options.first), read_run(options.second)
        limits = Limits(options.max_drop, options.max_class_drop, options.max_slower)
        comparison = compare(*runs, limits, draws=options.draws, block=options.block)
        if options.out:
            _write(make_folder(options.out), comparison, render_comparison(comparison))
    except SernetError as error:
        print(f"compare: error: {error}", file=sys.stderr)
        return BAD_REQUEST
    print(table(comparison))
    for reason in comparison["regressions"]:
        print(f"compare: regression: {reason}", file=sys.stderr)
    return FAILED if comparison["regressions"] else 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="compare",
        description="Compare two reports of evaluate_bag: models, engines, precisions or releases.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", metavar="A", type=file_path, help="folder of the report to compare with")
    parser.add_argument("second", metavar="B", type=file_path, help="folder of the new report")
    parser.add_argument(
        "--out", type=file_path, metavar="DIR", help="folder for compare.json and compare.html"
    )
    parser.add_argument(
        "--max-drop", type=number(0.0, 100.0), metavar="POINTS", help="largest drop of the mIoU"
    )
    parser.add_argument(
        "--max-class-drop", type=number(0.0, 100.0), metavar="POINTS", help="of any class's IoU"
    )
    parser.add_argument(
        "--max-slower", type=number(0.0, 1e6), metavar="PERCENT", help="of the median latency"
    )
    parser.add_argument(
        "--draws", type=whole_number(100), default=4000, metavar="N", help="bootstrap draws (default: 4000)"
    )
    parser.add_argument(
        "--block",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="neighbouring frames that are drawn together, as those of a video look alike (default: 1)",
    )
    return parser


def _write(out: Path, comparison: Mapping[str, Any], page: str) -> None:
    text = json.dumps(comparison, indent=2) + "\n"
    write_atomically(out / "compare.json", lambda target: target.write_text(text))
    write_atomically(out / "compare.html", lambda target: target.write_text(page))


if __name__ == "__main__":
    sys.exit(main())
