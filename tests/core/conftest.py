"""Small networks, trees and data that the tests of sernet_core share."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sernet_core.checkpoint import CheckpointInfo, save_checkpoint
from sernet_core.encoder import DEPTHS
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors run fastest, and repeatably, on one thread."""
    torch.set_num_threads(1)


@pytest.fixture
def slim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth 18 with an eighth of its weights: a run of a few steps mostly makes, copies and stores these."""
    monkeypatch.setitem(DEPTHS, 18, replace(DEPTHS[18], widths=(64, 72, 80, 96)))


@pytest.fixture(autouse=True)
def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run leaves the same files whether TensorBoard is installed or not."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real data sets, or a skip that says how to have them."""
    root = os.environ.get("SERNET_DATA")
    if not root:
        pytest.skip("real data not at hand: set SERNET_DATA to the folder that holds camvid/ and weights/")
    return Path(root)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A depth-18 checkpoint with random weights."""
    torch.manual_seed(0)
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_checkpoint(
        path, build_network(config), CheckpointInfo(config, CAMVID, (96, 64), notice="test weights")
    )
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A plain tree with three 96x64 frames in `val`."""
    rng = np.random.default_rng(0)
    root = tmp_path / "tree"
    for folder in ("images", "labels"):
        (root / "val" / folder).mkdir(parents=True)
    for index in range(3):
        image = rng.integers(0, 256, (64, 96, 3), np.uint8)
        label = rng.integers(0, len(CAMVID), (64, 96), np.uint8)
        label[:4] = 255
        cv2.imwrite(str(root / f"val/images/f{index}.png"), image)
        cv2.imwrite(str(root / f"val/labels/f{index}.png"), label)
    (root / "val.txt").write_text("f0\nf1\nf2\n")
    return root
