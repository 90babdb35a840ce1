"""The same frames with the same model on every path: the mIoU must be the same, live or not.

    python scripts/measure_paths.py ~/camvid --split val
    python scripts/measure_paths.py ~/camvid --split val --frames 10 --model mine.safetensors

The split becomes a recording, which goes through the live node in lock-step and in real time, and through
`evaluate_bag --offline`; `sernet evaluate` reads the split itself. Ends with exit code 1 when a path on which
every frame was answered differs from `sernet evaluate` by more than --tolerance.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATHS = {
    "live node, lock-step": ("--rate", "lockstep"),
    "live node, real time": (),
    "offline": ("--offline",),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, metavar="DIR", help="data set: SPLIT/images, SPLIT/labels, SPLIT.txt"
    )
    parser.add_argument("--split", default="val")
    parser.add_argument("--frames", type=int, metavar="N", help="the first N frames alone")
    parser.add_argument("--model", default="sernet-r50-camvid", help="default: %(default)s")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--engine", default="eager", help="on all paths (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="on all paths (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=0.1, help="points of mIoU (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("out/paths"), help="the reports (default: %(default)s)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="measure_paths_") as folder:
        tree, bag = first_frames(options, Path(folder, options.data.name)), Path(folder, "bag")
        run("sernet_ros.make_bag", tree, "--split", options.split, "--out", bag)
        common = ("--model", options.model, "--device", options.device, "--engine", options.engine)
        common = (*common, "--precision", options.precision)
        scored = options.out / "evaluate"
        run("sernet_core.cli", "evaluate", "--data", tree, "--split", options.split, *common, "--out", scored)
        reports: dict[str, dict[str, Any]] = {}
        for name, words in PATHS.items():
            out = options.out / name.replace(", ", "_").replace(" ", "_")
            # In real time a slow machine may answer nothing, which counts as failed there but not here.
            run("sernet_ros.evaluate_bag", bag, *words, *common, "--out", out, may_fail=not words)
            reports[name] = json.loads((out / "report.json").read_text())
    return judge(json.loads((scored / "metrics.json").read_text())["miou"], reports, options.tolerance)


def first_frames(options: argparse.Namespace, tree: Path) -> Path:
    """The data set, or a tree with links to the first frames of its split."""
    data, split = options.data.expanduser().resolve(), options.split
    if options.frames is None:
        return data
    stems = (data / f"{split}.txt").read_text().split()[: options.frames]
    for kind in ("images", "labels"):
        (tree / split / kind).mkdir(parents=True)
        for path in (path for stem in stems for path in (data / split / kind).glob(f"{stem}.*")):
            (tree / split / kind / path.name).symlink_to(path)
    (tree / f"{split}.txt").write_text("\n".join(stems) + "\n")
    return tree


def run(module: str, *words: object, may_fail: bool = False) -> None:
    """Run a program of this source tree to its end; with `may_fail` exit code 1 is no error."""
    print(f"\n{module}: {' '.join(map(str, words))}", flush=True)
    code = subprocess.call([sys.executable, "-m", module, *map(str, words)], cwd=ROOT)
    if code > may_fail:
        sys.exit(f"{module} ended with exit code {code}")


def judge(expected: float, reports: dict[str, dict[str, Any]], tolerance: float) -> int:
    """Print the table; 1 when a path differs."""
    print(f"\n{'path':<24}{'mIoU, %':>10}{'differs':>10}{'answered':>14}{'p50, ms':>10}{'p95, ms':>10}")
    print(f"{'sernet evaluate':<24}{expected:>10.4f}")
    failed = False
    for name, report in reports.items():
        frames, latency, miou = report["frames"], report["latency_ms"], report["miou"]
        answered = f"{frames['answered']} of {frames['sent']}"
        # Only real time may drop frames: there the node answers what it can.
        whole = frames["answered"] == frames["sent"]
        failed |= not whole and "real time" not in name
        if miou is None:
            print(f"{name:<24}{'-':>10}{'-':>10}{answered:>14}   {report['accuracy_note']}")
            failed |= whole
            continue
        failed |= whole and abs(miou - expected) > tolerance
        figures = f"{miou:>10.4f}{miou - expected:>+10.4f}{answered:>14}"
        print(f"{name:<24}{figures}{latency['p50']:>10.1f}{latency['p95']:>10.1f}")
    print("failed: the paths differ" if failed else f"all within {tolerance:g} points")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
