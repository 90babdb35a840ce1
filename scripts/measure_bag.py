"""Streams a large recording through reader, matcher and report, and shows that memory stays flat.

    python scripts/measure_bag.py --gigabytes 10           in this process, with a segmenter that does nothing
    python scripts/measure_bag.py --gigabytes 1 --live     through the live node, with random weights

The recording is made by repetition and removed afterwards. Without --live every frame is answered with the
same mask, so that what is measured is everything else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sernet_core.labels import CAMVID
from sernet_core.report import OverlayVideo
from sernet_ros.bag.formats import STORAGES
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.bag.reader import Bag
from sernet_ros.frame_report import add_frames
from sernet_ros.live_report import RunFacts, build_report
from sernet_ros.offline import play
from sernet_ros.recording import Recording
from sernet_ros.results import leave_results
from sernet_ros.sources import Picture, Source, open_source

ROOT = Path(__file__).resolve().parents[1]
SIZE = (960, 720)
NETWORK_SIZE = (128, 96)
PERIOD = 0.5  # seconds between two looks at the memory
MARKS = (0.1, 0.25, 0.5, 0.75, 1.0)


class Constant:
    """Answers every frame with road."""

    classes = CAMVID

    def prepare(self, height: int, width: int) -> None:
        """Nothing to build."""

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        return SimpleNamespace(mask=np.full(image.shape[:2], 3, np.uint8), confidence=None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--storage", choices=STORAGES, default=STORAGES[0])
    parser.add_argument("--live", action="store_true", help="through the node, in lock-step")
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
        read = sum(len(item.data) for item in Bag(path).messages(Bag(path).topics) if hasattr(item, "data"))
        took = time.monotonic() - began
        print(f"read alone, nothing decoded: {took:.1f} s, {read / 1e9 / took:.2f} GB/s")
        began = time.monotonic()
        memory, report = judge_live(path, out) if options.live else judge(path, out)
        took = time.monotonic() - began
    frames = report["frames"]
    print(f"judged in {took:.0f} s, {size / took:.3f} GB/s: {frames['answered']} of {frames['sent']} frames")
    for name, values in memory.items():
        marks = [values[round(part * (len(values) - 1))] for part in MARKS]
        print(f"{name}, MB after 10, 25, 50, 75 and 100 %: {', '.join(f'{one:.0f}' for one in marks)}")
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


def judge(path: Path, out: Path) -> tuple[dict[str, Sequence[float]], dict]:
    """Memory of this process over time, and the report."""
    source = open_source(str(path))
    with OverlayVideo(out / "overlay.webm", 30.0, max_width=160) as video:
        recording = Recording(CAMVID, video, with_truth=True, frames=True)
        run = play(source, Constant(), recording)
    facts = RunFacts("constant", CAMVID, "", source.name, "", None, None, 0.0, None, "")
    report = build_report(facts, run.log.sent, run.log.unreadable, recording, {}, run.usage)
    add_frames(report, run.log.sent, recording.frames)
    leave_results(out, report, recording, CAMVID, source.rate)
    return {"reader, matcher and report": [sample.memory_mb for sample in run.usage]}, report


def judge_live(path: Path, out: Path) -> tuple[dict[str, Sequence[float]], dict]:
    """Memory of the three processes over time, from when the replay of the whole began, and the report."""
    from sernet_core.checkpoint import CheckpointInfo, save_checkpoint
    from sernet_core.network import NetworkConfig, build_network

    config, model = NetworkConfig(depth=18), out / "random.safetensors"
    save_checkpoint(model, build_network(config), CheckpointInfo(config, CAMVID, NETWORK_SIZE))
    command = [sys.executable, "-m", "sernet_ros.evaluate_bag", str(path), "--out", str(out)]
    command += ["--model", str(model), "--param", "engine:=eager", "--rate", "lockstep", "--device", "cpu"]
    looks: list[dict[str, tuple[int, float]]] = []
    with subprocess.Popen(command, cwd=ROOT) as process:
        while process.poll() is None:
            looks.append(look(psutil.Process(process.pid)))
            time.sleep(PERIOD)
    assert process.returncode == 0, "evaluate_bag failed"
    # A replay of one frame comes first, for the engine; the last replayer is that of the whole.
    whole = [one["replayer"][0] for one in looks if "replayer" in one][-1]
    looks = [one for one in looks if one.get("replayer", (0,))[0] == whole and len(one) == 3]
    memory = {name: [one[name][1] for one in looks] for name in looks[0]}
    return memory, json.loads((out / "report.json").read_text())


def look(program: psutil.Process) -> dict[str, tuple[int, float]]:
    """Process id and resident memory, in MB, of evaluate_bag and what it has started."""
    found = {"recorder, matcher and report": program}
    try:
        for child in program.children(recursive=True):
            words = child.cmdline()
            for name, module in (("node", "sernet_ros.node"), ("replayer", "sernet_ros.replay")):
                found |= {name: child} if module in words else {}
        return {name: (one.pid, one.memory_info().rss / 2**20) for name, one in found.items()}
    except psutil.Error:  # it has just ended
        return {}


if __name__ == "__main__":
    sys.exit(main())
