"""What the ids of a recorded ground truth mean to a model; needs no ROS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID, CITYSCAPES, ClassSet
from sernet_ros.class_map import truth_map
from sernet_ros.sources import Source


def source(classes: ClassSet | None, with_truth: bool = True) -> Source:
    return Source("s", 1.0, 0, classes, lambda: iter(()), with_truth=with_truth)


def test_what_the_source_says_is_believed() -> None:
    assert truth_map(source(CAMVID), CAMVID, None).table is None
    assert truth_map(source(CAMVID), CAMVID, None).note == ""
    assert "no ground truth" in truth_map(source(None, with_truth=False), CAMVID, "camvid").note
    assert "does not say what the ids" in truth_map(source(None), CAMVID, None).note
    assert "classes of cityscapes" in truth_map(source(CITYSCAPES), CAMVID, None).note


def test_a_named_class_set_must_be_the_models() -> None:
    assert truth_map(source(None), CAMVID, "camvid").note == ""
    with pytest.raises(ConfigError, match="map them with a CSV file"):
        truth_map(source(None), CAMVID, "cityscapes")


def test_a_file_maps_ids_to_classes_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("# ours to CamVid's\nid,name\n7,Road\n26,Car\n8,void\n11,Building\n")
    found = truth_map(source(None), CAMVID, str(path))
    assert found.table is not None and found.note == ""
    np.testing.assert_array_equal(found.table[[7, 26, 8, 11, 0, 255]], [3, 8, 255, 1, 255, 255])


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("id,name\n7,Raod\n", ConfigError, "entry 1: unknown class of camvid 'Raod'. Did you mean 'Road'"),
        ("id,name\n7,Road\n7,Car\n", InputError, "entry 2: id 7 stands twice"),
        ("id,name\n256,Road\n", InputError, "id 256 stands twice or is not from 0 to 255"),
        ("number,class\n7,Road\n", InputError, "needs the columns id,name"),
        ("id,name\nseven,Road\n", InputError, "needs the columns id,name"),
        ("", InputError, "maps nothing"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(error, match=words):
        truth_map(source(None), CAMVID, str(tmp_path / "map.csv"))
