"""`sernet predict` on an image, a folder and a video."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import cv2
import layout_trees as trees
import numpy as np
import pytest

from sernet_core.cli import main
from sernet_core.labels import CAMVID, overlay
from sernet_core.media import read_image
from sernet_core.runtime import Segmenter


def run(model: Path, source: Path, out: Path, *more: str) -> int:
    return main(["predict", str(source), "--model", str(model), "--out", str(out), *more])


def test_image(small_model: Path, tree: Path, tmp_path: Path) -> None:
    source, out = tree / "val/images/f0.png", tmp_path / "out"
    assert run(small_model, source, out, "--alpha", "0.3") == 0
    image = read_image(source)
    mask = cv2.imread(str(out / "f0_mask.png"), cv2.IMREAD_UNCHANGED)
    assert (mask == Segmenter.load(small_model).segment(image).mask).all()
    assert (read_image(out / "f0_overlay.png") == overlay(image, mask, CAMVID, 0.3)).all()


def test_folder_with_a_broken_image(
    small_model: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tree / "val/images/f1.png").write_bytes(b"rubbish")
    assert run(small_model, tree / "val/images", tmp_path / "out") == 2
    assert "1 of 3 image(s) could not be used (2 done)" in capsys.readouterr().err
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"{stem}_{kind}.png" for stem in ("f0", "f2") for kind in ("mask", "overlay")}


def test_video(small_model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "drive.avi", tmp_path / "out"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for shade in (0, 80, 160, 240):
        writer.write(np.full((64, 96, 3), shade, np.uint8))
    writer.release()
    assert run(small_model, source, out, "--masks") == 0
    capture = cv2.VideoCapture(str(out / "drive_overlay.webm"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert [capture.read()[0] for _ in range(5)] == [True] * 4 + [False]
    assert len(list(out.glob("*_mask.png"))) == 4


@pytest.mark.parametrize("name", ["nowhere", "empty", "broken.mp4"])
def test_bad_sources(small_model: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    assert run(small_model, tmp_path / name, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert name in error and "Traceback" not in error


def test_a_full_disk_is_one_line(
    small_model: Path,
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert run(small_model, tree / "val/images", tmp_path / "out") == 2
    assert "f0_mask.png: cannot be written: No space left on device\n" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_bad_alpha(small_model: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(small_model, tree / "val/images", tmp_path / "out", "--alpha", "1.5") == 2
    assert "from 0 to 1" in capsys.readouterr().err


def test_a_split_of_a_data_set(small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root, out = trees.cityscapes(tmp_path / "cities"), tmp_path / "out"
    command = ["predict", str(root), "--model", str(small_model), "--input-size", "96x64", "--out", str(out)]
    assert main([*command, "--split", "test"]) == 0
    assert {path.name for path in out.iterdir()} == {
        f"berlin_{n:06d}_000019_{kind}.png" for n in (0, 1) for kind in ("mask", "overlay")
    }
    assert main(command) == 2
    assert "choose one of its splits, test, train, val" in capsys.readouterr().err
