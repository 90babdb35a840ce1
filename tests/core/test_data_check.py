"""`sernet data`: what a tree holds, and every fault in it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import layout_trees as trees
import numpy as np
import pytest

from sernet_core.cli import main
from sernet_core.datasets.check import check_tree
from sernet_core.errors import ConfigError


def test_describes_each_split(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path, (7, 7, 7, 26))
    tree = check_tree(root)
    train, test = (next(s for s in tree.splits if s.name == name) for name in ("train", "test"))
    assert (train.frames, train.read, dict(train.sizes)) == (4, 4, {"48x32": 4})
    assert train.sequences == {"aachen": 2, "bochum": 2}
    shares = train.shares(tree.classes)
    assert shares["road"] == 75 and shares["car"] == 25 and sum(shares.values()) == 100
    assert not test.labelled and test.shares(tree.classes) == {} and "no ground truth" in test.notes
    assert "as published, this part has 2975 frames" in train.notes
    assert not tree.problems
    assert {split for split, _ in tree.samples} == {"train", "val", "test"}


def test_every_fault_is_told_with_its_file(tmp_path: Path) -> None:
    root = trees.segnet(tmp_path)
    (root / "train/0001TP_1.png").write_bytes(b"rubbish")
    cv2.imwrite(str(root / "trainannot/0016E5_2.png"), np.full((32, 48), 77, np.uint8))
    for number in (4, 5):
        trees.write_image(root / f"val/0016E5_{number}.png")
    cv2.imwrite(str(root / "valannot/0016E5_5.png"), np.zeros((8, 8), np.uint8))
    (root / "val.txt").write_text("0016E5_3\n0016E5_4\n0016E5_5\n0016E5_5\n0016E5_6\n0016E5_2\n")
    tree = check_tree(root)
    found = "\n".join(tree.problems)
    for words in (
        "train: 1 frame(s) of train are in val too, the first is 0016E5_2",
        f"train: {root}/train/0001TP_1.png: not an image",
        f"train: {root}/trainannot/0016E5_2.png: ids [77]",
        "val: 0016E5_5 is there twice",
        f"val: {root}/val/0016E5_6.png: no such image",
        f"val: {root}/valannot/0016E5_4.png: no such label",
        f"val: {root}/valannot/0016E5_5.png: 8x8 pixels, its image has 48x32",
    ):
        assert words in found


def test_void_frames_and_mixed_sizes_are_notes(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path, (0, 1, 2))
    trees.write_image(root / "leftImg8bit/test/berlin/berlin_000009_000019_leftImg8bit.png", (64, 32))
    notes = {split.name: split.notes for split in check_tree(root).splits}
    assert "2 frame(s) have no labelled pixel, the first is lindau_000000_000019" in notes["val"]
    assert "frames are of several sizes" in notes["test"]


def test_classes_without_a_pixel_are_notes(tmp_path: Path) -> None:
    notes = {split.name: split.notes for split in check_tree(trees.segnet(tmp_path)).splits}
    assert any(note.startswith("no pixel of Building, Pole, Pavement") for note in notes["train"])


def test_labels_of_no_frame_are_notes(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path)  # beside its labels lie others of the same frames, which are not meant
    assert not [note for split in check_tree(root).splits for note in split.notes if "of no frame" in note]
    lost = root / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    lost.unlink()
    notes = {split.name: split.notes for split in check_tree(root, ["train", "val"]).splits}
    words = "1 label(s) are of no frame of any split, the first is"
    assert [note for note in notes["train"] if words in note and "aachen_000000_000019" in note]
    assert not [note for note in notes["val"] if words in note]


def test_a_sample_is_spread_evenly(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path)
    tree = check_tree(root, ["train"], sample=2, shown=2)
    assert [split.name for split in tree.splits] == ["train"]
    assert (tree.splits[0].frames, tree.splits[0].read) == (4, 2)
    assert [s.stem for _, s in tree.samples] == ["aachen_000000_000019", "bochum_000001_000019"]
    with pytest.raises(ConfigError, match="Did you mean 'train'"):
        check_tree(root, ["trian"])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root, out = trees.bdd100k(tmp_path / "bdd"), tmp_path / "out"
    assert main(["data", str(root), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "BDD100K" in text and "nothing is wrong" in text and "traffic light" in text
    report = json.loads((out / "data.json").read_text())
    assert report["splits"]["val"]["shares"]["road"] == pytest.approx(100 / 3, abs=1e-3)
    sheet = cv2.imread(str(out / "sheet.jpg"))
    assert sheet is not None and sheet.shape[1] == 3 * 330 + 10
    (root / "images/10k/val/7d06fefd-f7be05a6.jpg").write_bytes(b"")
    assert main(["data", str(root)]) == 1
    assert "7d06fefd-f7be05a6.jpg: the file is empty" in capsys.readouterr().out
