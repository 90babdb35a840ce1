"""Streams a large recording through reader, matcher and report, and shows that memory stays flat.

    python scripts/measure_bag.py --gigabytes 10

The recording is made by repetition and removed afterwards. The segmenter answers every frame with the same
mask, so that what is measured is everything else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sernet_core.labels import CAMVID
from sernet_core.report import OverlayVideo
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.frame_report import add_frames
from sernet_ros.live_report import RunFacts, build_report
from sernet_ros.offline import play
from sernet_ros.recording import Recording
from sernet_ros.results import leave_results
from sernet_ros.sources import Picture, Source, open_source

SIZE = (960, 720)


class Constant:
    """Answers every frame with road."""

    classes = CAMVID

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        return SimpleNamespace(mask=np.full(image.shape[:2], 3, np.uint8), confidence=None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="measure_bag_") as folder:
        path, out = Path(folder, "large"), Path(folder, "out")
        out.mkdir()
        frame_bytes = SIZE[0] * SIZE[1] * 4
        count = max(4, round(options.gigabytes * 1e9 / frame_bytes))
        began = time.monotonic()
        write_bag(noise(count), RecordingOptions(storage=options.storage), path)
        size = sum(each.stat().st_size for each in path.iterdir()) / 1e9
        print(
            f"{count} frames, {size:.2f} GB, {options.storage}: written in {time.monotonic() - began:.0f} s"
        )
        began = time.monotonic()
        usage, report = judge(path, out)
        took = time.monotonic() - began
    memory = [sample.memory_mb for sample in usage]
    marks = [memory[round(part * (len(memory) - 1))] for part in (0.1, 0.25, 0.5, 0.75, 1.0)]
    print(f"judged in {took:.0f} s, {size / took:.3f} GB/s; {report['frames']['answered']} frames answered")
    print("memory, MB, after 10, 25, 50, 75 and 100 %: " + ", ".join(f"{mark:.0f}" for mark in marks))
    return 0


def noise(count: int) -> Source:
    """Frames of which no two are alike."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    truth = rng.integers(0, len(CAMVID), (SIZE[1], SIZE[0]), np.uint8)

    def frames():
        for index in range(count):
            yield Picture(f"n{index}", np.roll(image, index, axis=1), truth)

    return Source("noise", 30.0, count, CAMVID, frames)


def judge(path: Path, out: Path) -> tuple[list, dict]:
    """Usage of this process, and the report."""
    source = open_source(str(path))
    with OverlayVideo(out / "overlay.webm", 30.0, max_width=160) as video:
        recording = Recording(CAMVID, video, with_truth=True, frames=True)
        run = play(source, Constant(), recording)
    facts = RunFacts("constant", CAMVID, "", source.name, "", None, None, 0.0, None, "")
    report = build_report(facts, run.log.sent, run.log.unreadable, recording, {}, run.usage)
    add_frames(report, run.log.sent, recording.frames)
    leave_results(out, report, recording, CAMVID, source.rate)
    return run.usage, report


if __name__ == "__main__":
    sys.exit(main())
