"""Remap files, and the names and colours of published masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sernet_core.errors import ConfigError
from sernet_core.labels import AUTOWARE, CAMVID, overlay
from sernet_core.relabel import Labeling

FILE = Path(__file__).parents[2] / "config/autoware_labels.csv"
ALL = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_autoware_gets_the_ids_and_names_that_it_reads() -> None:
    labeling = Labeling.read(FILE, CAMVID)
    relabeled = labeling.relabel(ALL).ravel()
    assert relabeled[:11].tolist() == [15, 1, 3, 9, 10, 14, 5, 2, 7, 6, 8]
    assert not relabeled[11:].any()
    assert labeling.names == dict(enumerate(AUTOWARE.names))
    assert labeling.colors[9].tolist() == list(CAMVID.palette[3])


def test_without_a_file_nothing_changes() -> None:
    labeling = Labeling.of(CAMVID)
    assert labeling.relabel(ALL) is ALL
    assert labeling.names == dict(enumerate(CAMVID.names))
    image = np.full((16, 16, 3), 100, np.uint8)
    assert (labeling.overlay(image, ALL, 0.4) == overlay(image, ALL, CAMVID, 0.4)).all()
    assert (labeling.overlay(image, ALL, 0.4).reshape(256, 3)[11:] == 100).all()


@pytest.mark.parametrize("palette", [[], [0xFFFFFF] * 16])
def test_pixels_without_a_class_keep_the_image_though_void_has_a_name(palette: list[int]) -> None:
    labeling = Labeling.read(FILE, CAMVID)
    labeling = labeling.with_palette(palette) if palette else labeling
    image = np.full((16, 16, 3), 100, np.uint8)
    blended = labeling.overlay(image, labeling.relabel(ALL), 0.4).reshape(256, 3)
    assert (blended[:11] != 100).any(1).all() and (blended[11:] == 100).all()


def test_void_as_one_of_the_classes_has_its_colour(tmp_path: Path) -> None:
    path = tmp_path / "remap.csv"
    path.write_text(FILE.read_text().replace("void,0,unknown", "void,15,sky"))
    labeling = Labeling.read(path, CAMVID)
    image = np.full((16, 16, 3), 100, np.uint8)
    blended = labeling.overlay(image, labeling.relabel(ALL), 0.4)
    assert (blended.reshape(256, 3)[11:] == blended[0, 0]).all() and (blended[0, 0] != 100).all()


def test_a_palette_is_one_24_bit_colour_a_class() -> None:
    labeling = Labeling.of(CAMVID).with_palette([0x112233 + index for index in range(11)])
    assert labeling.colorize(ALL)[0, :2].tolist() == [[0x11, 0x22, 0x33], [0x11, 0x22, 0x34]]
    assert not labeling.colorize(ALL)[1:].any()
    with pytest.raises(ConfigError, match=r"has 3 colours, the masks have 11 classes: Sky, Building"):
        labeling.with_palette([1, 2, 3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("Sky,15,sky\n", ""), "says nothing about Sky"),
        (lambda text: text.replace("Sky,", "Skye,"), "Did you mean 'Sky'"),
        (lambda text: text.replace("Sky,15", "Car,15"), "csv:19: Car stands twice"),
        (lambda text: text.replace("Sky,15", "Sky,14"), "csv:19: id 14 is called 'sky', before 'vegetation'"),
        (lambda text: text.replace("Sky,15", "Sky,256"), "csv:19: needs an id from 0 to 255"),
        (lambda text: text.replace("Sky,15", "Sky,high"), "whole numbers in 'to'"),
        (lambda text: text.replace("from,to,name", "a,b,c"), "needs the columns from,to,name"),
        (lambda text: "from,to,name\n", "has no rows"),
    ],
)
def test_a_file_that_does_not_fit_is_told(tmp_path: Path, change, words: str) -> None:
    path = tmp_path / "remap.csv"
    path.write_text(change(FILE.read_text()))
    with pytest.raises(ConfigError, match=words):
        Labeling.read(path, CAMVID)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Labeling.read(tmp_path / "none.csv", CAMVID)
