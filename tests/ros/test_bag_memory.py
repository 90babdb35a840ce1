"""Large recordings stream: what is in memory does not grow with what was read. Needs no ROS."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from sernet_core.labels import CAMVID
from sernet_core.report import OverlayVideo
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.offline import play
from sernet_ros.recording import Recording
from sernet_ros.sources import Picture, Source, open_source

SIZE = (400, 300)
COUNT = 500  # 240 MB with their ground truth
MEGABYTE = 2**20


class Constant:
    """Answers every frame alike, and looks at the memory meanwhile."""

    classes = CAMVID

    def __init__(self) -> None:
        self.memory_mb: list[float] = []

    def prepare(self, height: int, width: int) -> None:
        pass

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        self.memory_mb.append(psutil.Process().memory_info().rss / MEGABYTE)
        return SimpleNamespace(mask=np.full(image.shape[:2], 3, np.uint8), confidence=None)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_memory_stays_flat_while_a_recording_streams(tmp_path: Path, storage: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    truth = np.full((SIZE[1], SIZE[0]), 3, np.uint8)
    frames = lambda: (Picture("n", image, truth) for _ in range(COUNT))  # noqa: E731
    path = tmp_path / "large"
    write_bag(Source("noise", 30.0, COUNT, CAMVID, frames), RecordingOptions(storage=storage), path)
    assert sum(each.stat().st_size for each in path.iterdir()) > 220 * MEGABYTE

    segmenter = Constant()
    with OverlayVideo(tmp_path / "v.webm", 30.0, max_width=32) as video:
        recording = Recording(CAMVID, video, with_truth=True, frames=True)
        run = play(open_source(str(path)), segmenter, recording)
    assert len(run.log.sent) == len(recording.scored) == COUNT
    assert recording.matrix.miou == 100.0
    early, late = max(segmenter.memory_mb[: COUNT // 4]), max(segmenter.memory_mb)
    assert late - early < 24, f"{early:.0f} MB after a quarter, {late:.0f} MB at the end"
