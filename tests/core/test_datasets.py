"""Trees on disk: what is read, and what is refused with the file's name."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sernet_core.datasets import open_dataset
from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID, CITYSCAPES, ClassSet
from sernet_core.media import is_lossy
from sernet_core.synthetic import HELD_OUT_TOWN


def test_reads_pairs_in_the_listed_order(tree: Path) -> None:
    (tree / "val.txt").write_text("f2\nf0.png\n")
    dataset = open_dataset(tree, "val")
    assert dataset.stems == ["f2", "f0"] and len(dataset) == 2
    sample = dataset[0]
    expected = cv2.cvtColor(cv2.imread(str(tree / "val/images/f2.png")), cv2.COLOR_BGR2RGB)
    assert (sample.image == expected).all()
    assert sample.label is not None and (sample.label[:4] == 255).all()
    assert [item.stem for item in dataset] == ["f2", "f0"]


def test_without_list_and_labels(tree: Path) -> None:
    (tree / "val.txt").unlink()
    for path in (tree / "val/labels").iterdir():
        path.unlink()
    (tree / "val/labels").rmdir()
    dataset = open_dataset(tree, "val")
    assert dataset.stems == ["f0", "f1", "f2"] and dataset[1].label is None


def test_classes_file(tree: Path) -> None:
    (tree / "classes.csv").write_text("id,name,r,g,b\n0,a,1,2,3\n1,b,4,5,6\n255,Void,0,0,0\n")
    classes = open_dataset(tree, "val").classes
    assert classes.names == ("a", "b") and classes.palette == ((1, 2, 3), (4, 5, 6))
    with pytest.raises(InputError, match=r"f0\.png: ids .* are no class"):
        open_dataset(tree, "val")[0]


@pytest.mark.parametrize("known", [CAMVID, CITYSCAPES], ids=lambda known: known.name)
def test_known_names_are_known_sets_in_the_colours_of_the_file(tree: Path, known: ClassSet) -> None:
    def write(palette: Iterable[tuple[int, ...]]) -> ClassSet:
        rows = [
            f"{number},{name},{','.join(map(str, color))}"
            for number, (name, color) in enumerate(zip(known.names, palette, strict=True))
        ]
        (tree / "classes.csv").write_text("\n".join(["id,name,r,g,b", *rows]))
        return open_dataset(tree, "val").classes

    assert write(known.palette) is known
    other = write(known.palette[::-1])
    assert (other.name, other.names, other.palette) == (known.name, known.names, known.palette[::-1])


def test_stems_with_dots(tree: Path) -> None:
    for folder in ("images", "labels"):
        for old, new in (("f0", "1403636579.763"), ("f1", "1403636579.863"), ("f2", "b.jpg")):
            (tree / f"val/{folder}/{old}.png").rename(tree / f"val/{folder}/{new}.png")
    (tree / "val.txt").write_text("1403636579.863\nval/images/1403636579.763.png\nb.jpg\n")
    dataset = open_dataset(tree, "val")
    assert dataset.stems == ["1403636579.863", "1403636579.763", "b.jpg"]
    assert all(sample.label is not None for sample in dataset)


def test_a_list_that_is_not_utf8(tree: Path) -> None:
    (tree / "val.txt").write_bytes(b"f0\nf\xe9\n")
    with pytest.raises(InputError, match=r"val\.txt: a list of frames is text in UTF-8"):
        open_dataset(tree, "val")


def test_parts_of_a_tree_share_no_frame(tree: Path) -> None:
    (tree / "train.txt").write_text("g0\nf1.png\n")
    (tree / "notes.txt").write_text("f0\n")  # no part
    with pytest.raises(InputError, match=r"1 frame\(s\) of val are in train too, the first is f1"):
        open_dataset(tree, "val")
    (tree / "val").rename(tree / "trainval")  # a union has frames of both by its nature
    (tree / "val.txt").rename(tree / "trainval.txt")
    assert len(open_dataset(tree, "trainval")) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\n0,a\n", "columns"),
        ("id,name,r,g,b\n1,a,0,0,0\n", "without a gap"),
        ("id,name,r,g,b\n0,a,x,0,0\n", "whole"),
        ("id,name,r,g,b\n0,a,256,0,0\n", r"classes\.csv: .* from 0 to 255, a has \[256"),
        ("id,name,r,g,b\n0,a,-1,0,0\n", r"classes\.csv: .* from 0 to 255, a has \[-1"),
        ("id,name,r,g,b\n0,a,0,0,0\n1,a,0,0,0\n", r"classes\.csv: .*stands twice"),
    ],
)
def test_broken_classes_file(tree: Path, text: str, message: str) -> None:
    (tree / "classes.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        open_dataset(tree, "val")


def test_refusals_name_the_file(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        open_dataset(tmp_path / "nowhere", "val")
    with pytest.raises(ConfigError, match="Did you mean 'val'"):
        open_dataset(tree, "vall")
    (tree / "val.txt").write_text("f0\nf9\n")
    with pytest.raises(InputError, match="f9"):
        open_dataset(tree, "val")
    (tree / "val.txt").write_text("f0\nf0\n")
    with pytest.raises(InputError, match="f0 is there twice"):
        open_dataset(tree, "val")
    (tree / "val.txt").unlink()
    (tree / "val/labels/f1.png").unlink()
    with pytest.raises(InputError, match=r"f1\.png"):
        open_dataset(tree, "val")


def test_broken_frames_name_the_file(tree: Path) -> None:
    dataset = open_dataset(tree, "val")
    (tree / "val/images/f0.png").write_bytes(b"not an image")
    (tree / "val/images/f1.png").write_bytes(b"")
    cv2.imwrite(str(tree / "val/labels/f2.png"), np.zeros((10, 10), np.uint8))
    for index, message in enumerate(
        ["f0.png: not an image", "f1.png: the file is empty", "f2.png: 10x10 pixels"]
    ):
        with pytest.raises(InputError, match=message):
            dataset[index]
    cv2.imwrite(str(tree / "val/labels/f2.png"), np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(InputError, match="one channel"):
        dataset[2]


def test_synthetic_splits() -> None:
    validation = open_dataset("synthetic", "val")
    assert len(validation) == 100 and validation.classes is CAMVID
    sample = validation[30]
    assert sample.label is not None and sample.image.shape == (360, 480, 3)
    assert {sequence.town for sequence in validation._sequences} == {HELD_OUT_TOWN}  # type: ignore[attr-defined]
    assert len(open_dataset("synthetic", "demo")) == 150
    with pytest.raises(ConfigError, match="synthetic split"):
        open_dataset("synthetic", "test")


def test_a_frame_of_the_held_out_town_has_one_name_in_all_splits() -> None:
    val, day, demo, fog = (open_dataset("synthetic", name) for name in ("val", "day", "demo", "fog"))
    assert set(day.stems) < set(val.stems) and not set(fog.stems) & set(val.stems)
    assert len(set(val.stems)) == len(val) and len(set(demo.stems)) == len(demo)
    shared = set(demo.stems) & set(day.stems)
    assert len(shared) == 10, "ten seconds, of which each second's frame is one of two a second"
    assert (demo[15].label == day[2].label).all() and demo.stems[15] == day.stems[2] == "day_001000"


def test_a_mask_that_its_coding_has_changed_is_refused(tree: Path) -> None:
    (tree / "val/labels/f0.png").rename(tree / "f0.png")
    label = cv2.imread(str(tree / "f0.png"), cv2.IMREAD_UNCHANGED)
    for coded in (
        cv2.imencode(".jpg", label)[1],
        cv2.imencode(".webp", label, (cv2.IMWRITE_WEBP_QUALITY, 80))[1],
    ):
        (tree / "val/labels/f0.png").write_bytes(coded.tobytes())  # whatever its name says
        with pytest.raises(InputError, match=r"f0\.png: a label in a lossy format"):
            open_dataset(tree, "val")[0]
    lossless = cv2.imencode(".webp", label, (cv2.IMWRITE_WEBP_QUALITY, 101))[1]
    (tree / "val/labels/f0.png").write_bytes(lossless.tobytes())
    assert not is_lossy(tree / "val/labels/f0.png") and not is_lossy(tree / "nowhere.png")


def test_a_strip_is_named(tree: Path) -> None:
    cv2.imwrite(str(tree / "val/images/f1.png"), np.zeros((3, 200, 3), np.uint8))
    with pytest.raises(InputError, match=r"f1\.png: a frame of 200x3 is longer than 16 times"):
        open_dataset(tree, "val")[1]


def test_a_list_may_begin_with_a_byte_order_mark(tree: Path) -> None:
    (tree / "val.txt").write_text("f2\nf0\n", encoding="utf-8-sig")
    assert open_dataset(tree, "val").stems == ["f2", "f0"]


def test_colours_of_void_must_be_colours(tree: Path) -> None:
    (tree / "classes.csv").write_text("name,r,g,b\na,1,2,3\nb,4,5,6\nvoid,300,0,0\n")
    with pytest.raises(InputError, match=r"from 0 to 255, void has \[300, 0, 0\]"):
        open_dataset(tree, "val")


@pytest.mark.parametrize("other", ["valid", "Validation", "testing", "test"])
def test_parts_by_other_names_share_no_frame(tree: Path, other: str) -> None:
    (tree / "val").rename(tree / "train")
    (tree / "val.txt").unlink(missing_ok=True)
    shutil.copytree(tree / "train", tree / other)
    with pytest.raises(InputError, match=f"frame.s. of train are in {other} too"):
        open_dataset(tree, "train")
    (tree / other).rename(tree / "train_small")  # a part of a part, as people make them
    assert len(open_dataset(tree, "train")) == len(open_dataset(tree, "train_small")) == 3


def test_camvid_is_the_standard_split(data_root: Path) -> None:
    for split, count in (("train", 367), ("val", 101)):
        dataset = open_dataset(data_root / "camvid", split)
        assert len(dataset) == count and dataset.classes is CAMVID
        assert dataset[0].image.shape == (360, 480, 3)


def test_synthetic_conditions() -> None:
    whole, night, fog = (open_dataset("synthetic", name) for name in ("val", "night", "fog"))
    assert len(night) == len(fog) == 25
    assert (night[3].image == whole[78].image).all()
    assert {sequence.condition for sequence in fog._sequences} == {"fog"}  # type: ignore[attr-defined]
    seen = fog[3]
    assert seen.label is not None and (np.unique(seen.label) != 255).sum() > 5
