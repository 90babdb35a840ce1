"""Class sets, palettes, overlays and remaps."""

from __future__ import annotations

import numpy as np
import pytest

from sernet_core.errors import ConfigError
from sernet_core.labels import AUTOWARE, CAMVID, CITYSCAPES, ClassSet, class_set, overlay


def test_sizes_and_order() -> None:
    assert [len(classes) for classes in (CAMVID, CITYSCAPES, AUTOWARE)] == [11, 19, 16]
    assert CAMVID.names[3] == "Road" and CITYSCAPES.names[13] == "car" and AUTOWARE.names[10] == "sidewalk"


@pytest.mark.parametrize("classes", [CAMVID, CITYSCAPES, AUTOWARE], ids=lambda classes: classes.name)
def test_colours_tell_classes_apart(classes: ClassSet) -> None:
    assert len(set(classes.palette)) == len(classes)
    assert class_set(classes.name) is classes


def test_colorize_leaves_unlabeled_black() -> None:
    mask = np.array([[0, 3], [255, 10]], np.uint8)
    colors = CAMVID.colorize(mask)
    assert colors.dtype == np.uint8 and colors.shape == (2, 2, 3)
    assert colors[0, 1].tolist() == [128, 64, 128] and colors[1, 0].tolist() == [0, 0, 0]


def test_overlay_blends_and_spares_unlabeled() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[3, 3], [255, 3]], np.uint8)
    blended = overlay(image, mask, CAMVID, 0.5)
    assert blended[0, 0].tolist() == [114, 82, 114]
    assert blended[1, 0].tolist() == [100, 100, 100]
    assert (overlay(image, mask, CAMVID, 0.0) == image).all()


def test_wrong_sets_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'camvid'"):
        class_set("camvit")
    with pytest.raises(ConfigError, match="2 names but 1 colours"):
        ClassSet("x", ("a", "b"), ((0, 0, 0),))
    with pytest.raises(ConfigError, match="stands twice"):
        ClassSet("x", ("a", "a"), ((0, 0, 0), (1, 1, 1)))
    for color in ((256, 0, 0), (-1, 0, 0), (5,), (0.5, 0, 0)):
        with pytest.raises(ConfigError, match="b has"):
            ClassSet("x", ("a", "b"), ((0, 0, 0), color))  # type: ignore[arg-type]
    for names in ((1, "a"), ("", "a")):
        with pytest.raises(ConfigError, match="must be words"):
            ClassSet("x", names, ((0, 0, 0), (1, 1, 1)))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Pole"):
        CAMVID.id_of("Pol")


def test_the_first_difference_is_named() -> None:
    other = ClassSet("x", (*CAMVID.names[:10], "Cyclist"), CAMVID.palette)
    assert CAMVID.difference(other) == "id 10 is Bicyclist in camvid and Cyclist in x"
    shorter = ClassSet("y", CAMVID.names[:10], CAMVID.palette[:10])
    assert shorter.difference(CAMVID) == "id 10 is no class in y and Bicyclist in camvid"
    assert CAMVID.difference(ClassSet("z", CAMVID.names, CAMVID.palette[::-1])) == ""
