"""Region, threshold, ignored parts, published ids and scale of a mask."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID
from sernet_core.relabel import Labeling
from sernet_ros.finish import Finish, IgnoreMask, Region

PLAIN = Labeling.of(CAMVID)
IMAGE = np.zeros((6, 8, 3), np.uint8)
REMAP = Path(__file__).parents[2] / "config/autoware_labels.csv"


def test_the_plain_mask_passes_untouched() -> None:
    answer = np.full((6, 8), 3, np.uint8)
    mask, confidence = Finish(PLAIN).mask(answer, None, IMAGE)
    assert mask is answer and confidence is None
    assert Finish(PLAIN).scaled(mask) is mask


@pytest.mark.parametrize(
    ("region", "rows", "columns"),
    [
        (Region(), (0, 6), (0, 8)),
        (Region(2, 1, 3, 4), (1, 5), (2, 5)),
        (Region(2, 1, 0, 0), (1, 6), (2, 8)),
        (Region(5, 4, 100, 100), (4, 6), (5, 8)),
    ],
)
def test_outside_the_region_pixels_are_unlabeled(region: Region, rows, columns) -> None:
    window = region.of(IMAGE)
    part = IMAGE[window]
    assert part.shape[:2] == (rows[1] - rows[0], columns[1] - columns[0])
    mask, confidence = Finish(PLAIN, region).mask(
        np.full(part.shape[:2], 4, np.uint8), np.full(part.shape[:2], 200, np.uint8), IMAGE
    )
    expected = np.full((6, 8), 255)
    expected[rows[0] : rows[1], columns[0] : columns[1]] = 4
    assert (mask == expected).all() and (confidence == np.where(expected == 4, 200, 0)).all()


def test_a_region_outside_the_image_is_told() -> None:
    with pytest.raises(InputError, match=r"begins at \(8, 0\), outside of the image of 8x6"):
        Region(8, 0, 2, 2).of(IMAGE)


def test_threshold_ignore_and_remap_come_in_this_order(tmp_path: Path) -> None:
    picture = np.zeros((12, 16), np.uint8)
    picture[8:] = 255  # the lower third, at twice the size
    cv2.imwrite(str(tmp_path / "bonnet.png"), picture)
    finish = Finish(Labeling.read(REMAP, CAMVID), ignore=IgnoreMask(tmp_path / "bonnet.png"), threshold=0.5)
    confidence = np.full((6, 8), 255, np.uint8)
    confidence[:, :2], confidence[:, 2] = 127, 128
    mask, confidence = finish.mask(np.full((6, 8), 3, np.uint8), confidence, IMAGE)
    assert confidence is not None
    assert (mask[:4, :2] == 0).all(), "not confident: void, which Autoware calls 0"
    assert (mask[:4, 2:] == 9).all(), "road"
    assert (mask[4:] == 0).all() and not confidence[4:].any(), "ignored"
    assert (confidence[:4, 2] == 128).all()


def test_the_ignore_mask_survives_changes_of_size(tmp_path: Path) -> None:
    picture = np.indices((12, 16)).sum(0).astype(np.uint8) % 2
    cv2.imwrite(str(tmp_path / "fine.png"), picture)
    ignore = IgnoreMask(tmp_path / "fine.png")
    ignore.at(3, 4)
    assert (ignore.at(12, 16) == picture).all()


def test_a_colour_picture_may_be_the_ignore_mask(tmp_path: Path) -> None:
    picture = np.zeros((6, 8, 3), np.uint8)
    picture[0, 0] = (0, 0, 9)
    cv2.imwrite(str(tmp_path / "m.png"), picture)
    assert np.argwhere(IgnoreMask(tmp_path / "m.png").at(6, 8)).tolist() == [[0, 0]]
    with pytest.raises(ConfigError, match=r"ignore_mask: .*none.png: cannot be read"):
        IgnoreMask(tmp_path / "none.png")


def test_scaled_masks_hold_the_nearest_pixels() -> None:
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8)
    half = Finish(PLAIN, scale=0.5).scaled(mask)
    assert half.tolist() == mask[1::2, 1::2].tolist()
    # Centres in units of the mask's pixels: 0.67, 2, 3.33, 4.67, 6, 7.33, and down 0.75, 2.25, 3.75, 5.25.
    assert (
        Finish(PLAIN, scale=0.7).scaled(mask).tolist() == mask[[0, 2, 3, 5]][:, [0, 2, 3, 4, 6, 7]].tolist()
    )
    assert Finish(PLAIN, scale=0.01).scaled(mask).shape == (1, 1)
