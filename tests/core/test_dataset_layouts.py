"""Data sets in the layouts that people have are recognised and read, and what is wrong is said by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import layout_trees as trees
import numpy as np
import pytest
from PIL import Image

from sernet_core.datasets import open_dataset, splits_of
from sernet_core.datasets.camvid32 import CAMVID32
from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID, CITYSCAPES

IGNORE = 255


def label_of(root: Path, split: str, index: int = 0) -> list[int]:
    """Ids in the first row of a frame's label."""
    sample = open_dataset(root, split)[index]
    assert sample.label is not None and sample.label.shape == sample.image.shape[:2]
    assert (sample.label == sample.label[0]).all()
    return sample.label[0].tolist()


def test_segnet(tmp_path: Path) -> None:
    root = trees.segnet(tmp_path)
    assert splits_of(root) == ["train", "val"]
    dataset = open_dataset(root, "train")
    assert dataset.classes is CAMVID and dataset.stems == ["0016E5_2", "0001TP_1"]  # as listed
    assert label_of(root, "train")[:4] == [0, 3, 10, IGNORE]
    (root / "train.txt").write_text("train/0001TP_1.png trainannot/0016E5_2.png\n")
    with pytest.raises(InputError, match=r"train\.txt:1: pairs the image 0001TP_1 with the label 0016E5_2"):
        open_dataset(root, "train")


def test_camvid_original_merges_32_classes(tmp_path: Path) -> None:
    names = {  # Brostow et al. 2009, table of colours; merged as is usual
        (64, 192, 0): "Building", (0, 0, 64): "Pole", (192, 0, 64): "Road", (64, 192, 128): "Pavement",
        (192, 192, 0): "Tree", (0, 64, 64): "SignSymbol", (192, 128, 192): "Car",
        (192, 128, 64): "Pedestrian",
        (192, 0, 192): "Bicyclist", (128, 128, 128): "Sky", (64, 64, 128): "Fence",
    }  # fmt: skip
    root = trees.camvid(tmp_path, [*names, (0, 0, 0)])
    assert splits_of(root) == ["train", "test", "all"]
    assert open_dataset(root, "train").stems == ["0001TP_006690", "0006R0_f00930"]
    assert open_dataset(root, "test").stems == ["Seq05VD_f00000"]
    assert len(open_dataset(root, "all")) == 3
    assert label_of(root, "test")[:12] == [*map(CAMVID.id_of, names.values()), IGNORE]
    assert len(CAMVID32) == 32 and set(CAMVID32.values()) == {*range(11), IGNORE}


def test_camvid_original_without_lists_or_with_other_colours(tmp_path: Path) -> None:
    root = trees.camvid(tmp_path, [(128, 64, 128), (1, 2, 3)], lists=False)
    assert splits_of(root) == ["all"]
    with pytest.raises(InputError, match=r"0001TP_006690_L\.png: 768 pixel\(s\) .* \(1, 2, 3\)"):
        open_dataset(root, "all")[0]


def test_cityscapes(tmp_path: Path) -> None:
    every = tuple(range(34))
    root = trees.cityscapes(tmp_path, every)
    assert splits_of(root) == ["test", "train", "val"]
    dataset = open_dataset(root, "train")
    assert dataset.classes is CITYSCAPES
    assert dataset.stems == [f"{city}_{n:06d}_000019" for city in ("aachen", "bochum") for n in (0, 1)]
    found = label_of(root, "val")[:34]
    assert [value for value in found if value != IGNORE] == list(range(19))
    # The benchmark's own table, by name.
    for name, number in {"road": 7, "wall": 12, "traffic sign": 20, "train": 31, "bicycle": 33}.items():
        assert found[number] == CITYSCAPES.id_of(name)
    test = open_dataset(root, "test")
    assert not test.labelled and test[1].label is None
    (root / "gtFine/val/lindau/lindau_000001_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(InputError, match=r"lindau_000001_000019_gtFine_labelIds\.png: no such label"):
        open_dataset(root, "val")


def test_cityscapes_refuses_values_that_are_no_id(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path, (7, 34, 255))
    with pytest.raises(
        InputError, match=r"labelIds\.png: ids \[34, 255\] are no class of cityscapes \(0..33"
    ):
        open_dataset(root, "val")[0]


def test_bdd100k(tmp_path: Path) -> None:
    root = trees.bdd100k(tmp_path)
    assert splits_of(root) == ["test", "train", "val"]
    assert open_dataset(root, "val").classes is CITYSCAPES
    assert label_of(root, "train")[:4] == [0, 13, 18, IGNORE]
    assert not open_dataset(root, "test").labelled


@pytest.mark.parametrize(
    ("images", "labels", "ending"),
    [
        ("images/{split}", "masks/{split}", ""),
        ("{split}", "{split}_labels", "_L"),
        ("images/{split}", "annotations/{split}", "_mask"),
    ],
)
@pytest.mark.parametrize(
    "values", [(0, 1, 2), ((10, 20, 30), (0, 0, 0), (200, 100, 50))], ids=["ids", "colours"]
)
def test_folders(tmp_path: Path, images: str, labels: str, ending: str, values: tuple) -> None:
    root = trees.folders(tmp_path / "mine", images, labels, values, ending)
    assert splits_of(root) == ["train", "val"]
    classes = open_dataset(root, "val").classes
    assert (classes.name, classes.names) == ("mine", ("ground", "thing"))
    assert label_of(root, "train")[:3] == [0, IGNORE, 1]


def test_folders_with_lists(tmp_path: Path) -> None:
    root = trees.folders(tmp_path, "images", "labels", (0, 1, 2))
    (root / "val.txt").write_text("val0.jpg\n")
    assert splits_of(root) == ["all", "val"]
    assert open_dataset(root, "val").stems == ["val0"] and len(open_dataset(root, "all")) == 2


def test_a_plain_tree_with_colours_by_its_class_file(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(trees.CLASSES)
    trees.write_image(tmp_path / "val/images/a.png")
    trees.write_label(tmp_path / "val/labels/a.png", [(200, 100, 50), (10, 20, 30)])
    assert label_of(tmp_path, "val")[:2] == [1, 0]


# The palette of Pascal VOC (Everingham et al., 2010): of its first ids, and of void.
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), *[(0, 0, 128)] * 251, (224, 224, 192)]


def test_labels_with_a_palette_hold_its_indices(tmp_path: Path) -> None:
    trees.write_image(tmp_path / "val/images/a.png")
    for values in ([0, 2, 3, 255], [0, 1]):  # the second is stored in one bit a pixel
        trees.write_indexed(tmp_path / "val/labels/a.png", values, VOC[: max(values) + 1])
        assert label_of(tmp_path, "val")[: len(values)] == values
    trees.write_indexed(tmp_path / "val/labels/a.png", [0, 11], VOC)
    with pytest.raises(InputError, match=r"a\.png: ids \[11\] are no class of camvid"):
        open_dataset(tmp_path, "val")[0]


@pytest.mark.parametrize(
    ("classes", "indices", "palette", "expected"),
    [
        ("a,9,9,9\nb,8,8,8\nc,7,7,7", [0, 2, 255], VOC, [0, 2, IGNORE]),  # colours of its own
        ("a,0,0,0\nb,128,0,0\nc,0,128,0", [0, 2, 255], VOC, [0, 2, IGNORE]),  # the same ones
        ("a,0,128,0\nb,0,0,0\nvoid,128,0,0", [0, 1, 2], VOC, [1, IGNORE, 0]),  # in another order
        ("a,9,9,9\nb,8,8,8\nvoid,0,0,0", [0, 1], [(0, 0, 0), (8, 8, 8)], [IGNORE, 1]),  # coloured, but small
    ],
)
def test_a_palette_counts_where_it_means_other_classes(
    tmp_path: Path, classes: str, indices: list[int], palette: list, expected: list[int]
) -> None:
    (tmp_path / "classes.csv").write_text(f"name,r,g,b\n{classes}\n")
    trees.write_image(tmp_path / "val/images/a.png")
    trees.write_indexed(tmp_path / "val/labels/a.png", indices, palette)
    assert label_of(tmp_path, "val")[: len(expected)] == expected


def test_a_coloured_label_with_a_palette_and_a_colour_of_no_class(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(trees.CLASSES)
    trees.write_image(tmp_path / "val/images/a.png")
    trees.write_indexed(tmp_path / "val/labels/a.png", [0, 1], [(200, 100, 50), (1, 2, 3)])
    with pytest.raises(InputError, match=r"colour of no class .* RGB \(1, 2, 3\)"):
        open_dataset(tmp_path, "val")[0]
    damaged = (tmp_path / "val/labels/a.png").read_bytes()[:-40]
    (tmp_path / "val/labels/a.png").write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.png: not an image that can be decoded"):
        open_dataset(tmp_path, "val")[0]


@pytest.mark.parametrize(
    ("classes", "values", "expected"),
    [
        ("background,0,0,0\nroad,255,255,255", [0, 255], [0, 1]),
        ("background,0,0,0\nroad,255,255,255", [0, 1], [0, 1]),  # ids
        ("background,0,0,0\nroad,255,255,255", [255], [1]),
        ("road,255,255,255\nbackground,0,0,0", [0, 255], [1, 0]),
        ("road,255,255,255\nbackground,0,0,0", [0], [1]),
        ("a,0,0,0\nb,90,90,90\nc,255,255,255", [0, 90, 255], [0, 1, 2]),
        ("a,0,0,0\nb,90,90,90\nvoid,255,255,255", [0, 1, 255], [0, 1, IGNORE]),  # ids
        ("background,9,9,9\nroad,8,8,8", [0, 1, 255], [0, 1, IGNORE]),
        ("background,0,0,0\nroad,255,255,255\nsky,0,0,255", [0, 2, 255], [0, 2, IGNORE]),
    ],
)
def test_a_grey_mask_holds_ids_or_greys_of_the_classes(
    tmp_path: Path, classes: str, values: list[int], expected: list[int]
) -> None:
    (tmp_path / "classes.csv").write_text(f"name,r,g,b\n{classes}\n")
    trees.write_image(tmp_path / "val/images/a.png")
    trees.write_label(tmp_path / "val/labels/a.png", values)
    assert label_of(tmp_path, "val")[: len(expected)] == expected


def test_ids_and_greys_are_not_guessed_at(tmp_path: Path) -> None:
    """White is a class, and 255 void: which of them, only a column id can tell."""
    path = tmp_path / "classes.csv"
    trees.write_image(tmp_path / "val/images/a.png")
    trees.write_label(tmp_path / "val/labels/a.png", [0, 1, 255])
    path.write_text("name,r,g,b\nbackground,0,0,0\nroad,255,255,255\n")
    with pytest.raises(
        InputError, match=r"255 is void, as a grey a class of .* give the class file a column id"
    ):
        open_dataset(tmp_path, "val")[0]
    path.write_text("name,r,g,b\nroad,255,255,255\nbackground,0,0,0\n")
    with pytest.raises(InputError, match=r"ids \[1\] are no class .* give the class file a column id"):
        open_dataset(tmp_path, "val")[0]
    path.write_text("name,r,g,b,id\nroad,255,255,255,0\nbackground,0,0,0,1\n")
    assert label_of(tmp_path, "val")[:3] == [0, 1, IGNORE]


def test_a_mask_of_one_bit(tmp_path: Path) -> None:
    trees.write_image(tmp_path / "val/images/a.png")
    (tmp_path / "val/labels").mkdir()
    one_bit = Image.fromarray(np.arange(trees.SIZE[0])[None].repeat(trees.SIZE[1], 0) % 2 == 1)
    one_bit.save(tmp_path / "val/labels/a.png")
    for classes in ("background,0,0,0\nroad,255,255,255", "road,255,255,255\nbackground,0,0,0", ""):
        (tmp_path / "classes.csv").write_text(f"name,r,g,b\n{classes}\n")
        if not classes:
            (tmp_path / "classes.csv").unlink()
        assert label_of(tmp_path, "val")[:2] == ([1, 0] if classes.startswith("road") else [0, 1])


@pytest.mark.parametrize("make", [trees.segnet, trees.bdd100k, trees.cityscapes])
def test_an_empty_part_does_not_harm_the_others_in_any_layout(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    root = make(tmp_path)
    splits = splits_of(root)
    for split in splits[1:]:
        for folder in [path for path in root.rglob(split) if path.is_dir()]:
            for image in [path for path in folder.rglob("*.*") if path.suffix in (".png", ".jpg")]:
                image.unlink()
        (root / f"{split}.txt").unlink(missing_ok=True)
    assert len(open_dataset(root, splits[0])) > 0


def plain_tree(root: Path, *splits: str) -> Path:
    for split in splits:
        trees.write_image(root / split / f"images/{split}0.png")
        trees.write_label(root / split / f"labels/{split}0.png", [0, 1])
    return root


def test_a_folder_without_images_does_not_harm_the_other_parts(tmp_path: Path) -> None:
    root = plain_tree(tmp_path, "val")
    (root / "test/images").mkdir(parents=True)
    assert open_dataset(root, "val").stems == ["val0"]
    with pytest.raises(InputError, match="test/images: no images in this folder"):
        open_dataset(root, "test")


def test_an_empty_list_lists_nothing(tmp_path: Path) -> None:
    root = plain_tree(tmp_path, "train", "val")
    assert open_dataset(root, "train").stems == ["train0"]
    (root / "train.txt").write_text("\n")
    with pytest.raises(InputError, match="split train: there is no frame in it"):
        open_dataset(root, "train")
    assert open_dataset(root, "val").stems == ["val0"]


def test_class_file_with_camvids_32_classes_means_its_eleven(tmp_path: Path) -> None:
    root = trees.folders(tmp_path, "{split}", "{split}_labels", list(CAMVID32), "_L")
    rows = [f"class{number}, {r}, {g}, {b}" for number, (r, g, b) in enumerate(CAMVID32)]
    (root / "class_dict.csv").write_text("\n".join(["name, r, g, b", *rows]))
    assert open_dataset(root, "val").classes is CAMVID
    assert label_of(root, "val")[:32] == list(CAMVID32.values())


def test_two_classes_of_one_colour_cannot_be_told_by_it(tmp_path: Path) -> None:
    root = trees.folders(tmp_path, "images/{split}", "masks/{split}", [(1, 1, 1)])
    (root / "class_dict.csv").write_text("name,r,g,b\na,1,1,1\nb,1,1,1\nc,2,2,2\n")
    with pytest.raises(InputError, match="or of more than one"):
        open_dataset(root, "val")[0]


def test_no_layout_shows_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError) as caught:
        open_dataset(tmp_path, "val")
    text = str(caught.value)
    assert all(word in text for word in ("leftImg8bit", "701_StillsRaw_full", "SPLITannot", "SPLIT/images"))
    trees.bdd100k(tmp_path / "bdd")
    with pytest.raises(InputError, match=f"Did you mean {tmp_path}/bdd"):
        open_dataset(tmp_path, "val")
    with pytest.raises(ConfigError, match=r"unknown split 'vla'. Did you mean 'val'.*images/10k/SPLIT"):
        open_dataset(tmp_path / "bdd", "vla")


@pytest.mark.parametrize("name", ["segnet", "cityscapes", "bdd100k"])
def test_parts_share_no_frame_in_any_layout(tmp_path: Path, name: str) -> None:
    root = getattr(trees, name)(tmp_path)
    dataset = open_dataset(root, "train")
    (image,) = (
        path
        for path in root.rglob(f"{dataset.stems[0]}*")
        if not any(word in str(path.relative_to(root)) for word in ("annot", "gtFine", "labels"))
    )
    other = Path(str(image).replace("train", "val"))
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(image.read_bytes())
    if name == "segnet":
        with (root / "val.txt").open("a") as file:
            file.write(f"\nval/{dataset.stems[0]}.png valannot/{dataset.stems[0]}.png\n")
    with pytest.raises(
        InputError, match=rf"1 frame\(s\) of train are in val too, the first is {dataset.stems[0]}"
    ):
        open_dataset(root, "train")


def test_images_are_read_as_they_are(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path)
    sample = open_dataset(root, "val")[0]
    assert sample.image.shape == (trees.SIZE[1], trees.SIZE[0], 3) and np.ptp(sample.image) > 200
