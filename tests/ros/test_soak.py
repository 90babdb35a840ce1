"""Memory, threads and files stay flat over many frames, and an idle node idles; `make soak` is all of it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from live import PATIENCE, Live, User, array_of, picture
from segment_process import Process
from sensor_msgs.msg import Image

from sernet_core.checkpoint import SHIPPED, CheckpointInfo, save_checkpoint
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_core.runtime import Segmenter

WHOLE = os.environ.get("SERNET_SOAK") == "whole"
GROWTH = 20e6  # bytes
FEW = 5
"""Threads or files that may come and go by themselves; one kept for each frame would be hundreds."""
BUILDING = 20 * PATIENCE
"""Seconds for `auto`, the default, to build engines and choose one."""
ON_CPU: dict[str, Any] = {"device": "cpu", "patience": BUILDING}
IDLE = 0.05  # of a core: many times what it takes, for slow machines


def soak(one: Live, frames: int, size: tuple[int, int], heard: Sequence[list[Image]]) -> None:
    """Send frames one by one; fails if the process has grown between the first tenth and the end.

    Args:
        one: The node, and a user who looks at the overlay.
        frames: How many.
        size: Height and width.
        heard: What else is received; nothing of it is kept.
    """
    process = psutil.Process()
    pictures = [picture(*size, seed=seed) for seed in range(7)]

    def run(count: int) -> None:
        for number in range(count):
            mask = one.ask(pictures[number % 7])
            assert (mask.height, mask.width) == size
            for images in (one.masks, one.overlays, *heard):
                images.clear()

    def measured() -> tuple[int, int, int]:
        gc.collect()
        return process.memory_info().rss, process.num_threads(), process.num_fds()

    run(frames // 10)
    memory, threads, files = measured()
    run(frames - frames // 10)
    after = measured()
    print(f"{frames} frames: memory {memory / 1e6:.1f} -> {after[0] / 1e6:.1f} MB")
    assert after[0] - memory < GROWTH
    assert after[1] <= threads + FEW and after[2] <= files + FEW
    one.counted("answered", frames)
    values = one.values()
    assert values["failed"] == values["rejected"] == values["incomplete"] == "0"


def small_model(folder: Path) -> Path:
    """A depth-18 network with random weights for 128x96."""
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    model = folder / "small.safetensors"
    save_checkpoint(model, build_network(config), CheckpointInfo(config, CAMVID, (128, 96)))
    return model


@pytest.mark.timeout(3600 if WHOLE else 900)
def test_a_small_network_runs_flat(live, tmp_path: Path) -> None:
    model = str(small_model(tmp_path))
    one: Live = live(load=Segmenter.load, model=model, overlay=True, publish_confidence=True, **ON_CPU)
    confidences = one.listen("confidence", 1)
    soak(one, 10_000 if WHOLE else 1000, (96, 128), [confidences])


@pytest.mark.timeout(3600 if WHOLE else 300)
def test_a_node_without_images_takes_next_to_no_cpu(segment, user, tmp_path: Path) -> None:
    """Active, with a camera and somebody who listens, and at the rate of reports that it has by default."""
    engine = "auto" if WHOLE else "eager"  # auto may build for minutes
    parameters = [f"model:={small_model(tmp_path)}", "device:=cpu", f"engine:={engine}"]
    node: Process = segment(*(word for one in parameters for word in ("-p", one)))
    node.says("active: listens to")
    one: User = user(node)
    one.until(lambda: one.camera.get_subscription_count() > 0 and one.user.count_publishers("semantic_mask"))
    one.until(lambda: one.send(picture()) and one.masks, "it has worked")
    one.until(lambda: one.values().get("engine_state") == "ready", "its engine is built", BUILDING)
    one.until(lambda: "no image for" in one.status.message, "it is idle")
    process = psutil.Process(node.process.pid)

    def cpu_seconds() -> float:
        times = process.cpu_times()
        return times.user + times.system

    began, before = time.monotonic(), cpu_seconds()
    one.until(lambda: time.monotonic() - began > (30.0 if WHOLE else 5.0))
    share = (cpu_seconds() - before) / (time.monotonic() - began)
    print(f"idle, {one.values()['engine']}: {100 * share:.1f} % of a core")
    assert share < IDLE


@pytest.mark.skipif(not WHOLE, reason="takes minutes: make soak")
@pytest.mark.timeout(3600)
def test_the_shipped_network_runs_flat_at_full_size(live) -> None:
    model = SHIPPED / "sernet-r50-camvid.safetensors"
    one: Live = live(load=Segmenter.load, model=str(model), overlay=True, inference_timeout=60.0, **ON_CPU)
    soak(one, 200, (720, 960), [])
    assert np.unique(array_of(one.ask(picture(720, 960)))).max() < len(CAMVID)
