"""Memory, threads and files stay flat over many frames: a tenth of it here, all of it with `make soak`."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import psutil
import pytest
from live import Live, array_of, picture

from sernet_core.checkpoint import SHIPPED, CheckpointInfo, save_checkpoint
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_core.runtime import Segmenter

WHOLE = os.environ.get("SERNET_SOAK") == "whole"
GROWTH = 20e6  # bytes


def soak(one: Live, frames: int, size: tuple[int, int]) -> None:
    """Send frames one by one; fails if the process has grown between the first tenth and the end."""
    process = psutil.Process()
    pictures = [picture(*size, seed=seed) for seed in range(7)]

    def run(count: int) -> None:
        for number in range(count):
            mask = one.ask(pictures[number % 7])
            assert (mask.height, mask.width) == size
            one.masks.clear()
            one.overlays.clear()

    def measured() -> tuple[int, int, int]:
        gc.collect()
        return process.memory_info().rss, process.num_threads(), process.num_fds()

    run(frames // 10)
    memory, threads, files = measured()
    run(frames - frames // 10)
    after = measured()
    print(f"{frames} frames: memory {memory / 1e6:.1f} -> {after[0] / 1e6:.1f} MB")
    assert after[0] - memory < GROWTH
    assert after[1] <= threads and after[2] <= files
    one.counted("answered", frames)
    values = one.values()
    assert values["failed"] == values["rejected"] == values["incomplete"] == "0"


@pytest.mark.timeout(3600 if WHOLE else 300)
def test_a_small_network_runs_flat(live, tmp_path: Path) -> None:
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    model = tmp_path / "small.safetensors"
    save_checkpoint(model, build_network(config), CheckpointInfo(config, CAMVID, (128, 96)))
    one: Live = live(
        load=Segmenter.load, model=str(model), device="cpu", overlay=True, publish_confidence=True
    )
    one.listen("confidence", 1)
    soak(one, 10_000 if WHOLE else 1000, (96, 128))


@pytest.mark.skipif(not WHOLE, reason="takes minutes: make soak")
@pytest.mark.timeout(3600)
def test_the_shipped_network_runs_flat_at_full_size(live) -> None:
    model = SHIPPED / "sernet-r50-camvid.safetensors"
    one: Live = live(
        load=Segmenter.load, model=str(model), device="cpu", overlay=True, inference_timeout=60.0
    )
    soak(one, 200, (720, 960))
    assert np.unique(array_of(one.ask(picture(720, 960)))).max() < len(CAMVID)
