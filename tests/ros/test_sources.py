"""What the replayer can show; needs no ROS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import noise, write_png

from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID
from sernet_ros.sources import Picture, SyntheticOptions, Unreadable, open_source


def test_images_come_in_the_order_in_which_people_count(folder: tuple[Path, list[np.ndarray]]) -> None:
    source = open_source(str(folder[0]))
    assert (source.length, source.classes, source.rate) == (4, None, 15.0)
    names = [picture.name for picture in source.frames()]
    assert names == ["frame8.png", "frame9.png", "frame10.png", "frame11.png"]
    assert names == [picture.name for picture in source.frames()], "a source can be read again"
    single = list(open_source(str(folder[0] / "frame8.png")).frames())
    assert len(single) == 1 and isinstance(single[0], Picture)
    np.testing.assert_array_equal(single[0].image, folder[1][0])


def test_damaged_image_of_a_folder_is_passed_on(folder: tuple[Path, list[np.ndarray]]) -> None:
    (folder[0] / "frame9.png").write_bytes(b"not a picture")
    (folder[0] / "frame10.png").write_bytes(b"")
    first, second, third, _ = open_source(str(folder[0])).frames()
    assert isinstance(first, Picture)
    assert isinstance(second, Unreadable) and second.name == "frame9.png" and "decoded" in second.reason
    assert isinstance(third, Unreadable) and "empty" in third.reason


def test_data_set_gives_truth_where_there_is_some(tree: tuple[Path, list[np.ndarray]]) -> None:
    source = open_source(str(tree[0]), "val")
    assert (source.classes, source.length) == (CAMVID, 2)
    for picture, label in zip(source.frames(), tree[1], strict=True):
        assert isinstance(picture, Picture) and picture.truth is not None
        np.testing.assert_array_equal(picture.truth, label)
    assert source.stems == ("s0", "s1")
    unlabelled = open_source(str(tree[0]), "demo")
    assert unlabelled.classes is None
    assert [picture.truth for picture in unlabelled.frames() if isinstance(picture, Picture)] == [None]


def test_data_set_in_a_layout_of_others(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_png(tmp_path / part / f"{part}0.png", noise(40, 30))
        write_png(tmp_path / f"{part}annot" / f"{part}0.png", np.full((30, 40), 11, np.uint8))
    source = open_source(str(tmp_path), "val")
    assert (source.classes, source.stems) == (CAMVID, ("val0",))
    (picture,) = source.frames()
    assert isinstance(picture, Picture) and picture.truth is not None and (picture.truth == 255).all()
    with pytest.raises(ConfigError, match="train, val: choose one with --split"):
        open_source(str(tmp_path))


def test_damaged_frame_of_a_data_set_is_passed_on(tree: tuple[Path, list[np.ndarray]]) -> None:
    (tree[0] / "val" / "images" / "s0.png").write_bytes(b"")
    first, second = open_source(str(tree[0]), "val").frames()
    assert isinstance(first, Unreadable) and first.name == "s0" and "empty" in first.reason
    assert isinstance(second, Picture)


def test_video_gives_its_frames_and_rate(tmp_path: Path) -> None:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (64, 48))
    for shade in (30, 90, 150, 210, 250):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2] = shade  # red, in OpenCV's order
        writer.write(frame)
    writer.release()
    source = open_source(str(path))
    assert (source.rate, source.length, source.classes) == (12.5, 5, None)
    pictures = [picture for picture in source.frames() if isinstance(picture, Picture)]
    assert len(pictures) == 5
    reds = [picture.image[..., 0].mean() for picture in pictures]
    assert np.abs(np.subtract(reds, (30, 90, 150, 210, 250))).max() < 12
    assert max(picture.image[..., 2].mean() for picture in pictures) < 20


def test_a_video_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for _ in range(40):
        writer.write(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    *shown, last = open_source(str(path)).frames()
    assert all(isinstance(picture, Picture) for picture in shown)
    assert isinstance(last, Unreadable) and f"breaks off after {len(shown)} of 40" in last.reason


def test_synthetic_street_is_the_same_in_every_run() -> None:
    options = SyntheticOptions(size=(80, 64), frames=2)
    source = open_source("synthetic", None, options)
    assert (source.length, source.classes, source.rate) == (2, CAMVID, 15.0)
    once, again = list(source.frames()), list(open_source("synthetic", None, options).frames())
    for one, other in zip(once, again, strict=True):
        assert isinstance(one, Picture) and isinstance(other, Picture) and one.truth is not None
        assert one.image.shape == (64, 80, 3) and one.truth.shape == (64, 80)
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize(
    ("make", "split", "error", "words"),
    [
        (lambda root: root / "missing", None, InputError, "no such file or folder"),
        (lambda root: root, None, InputError, "no images in this folder .*nor is it the root"),
        (lambda root: root, "val", InputError, r"none of the layouts(.|\n)*SPLIT/images/STEM"),
        (lambda root: root / "film.mp4", None, InputError, "not a video that can be decoded"),
        (lambda root: root / "film.mp4", "val", ConfigError, "is no data set"),
    ],
)
def test_bad_sources_are_refused_with_a_reason(
    tmp_path: Path, make: Callable[[Path], Path], split: str | None, error: type[Exception], words: str
) -> None:
    (tmp_path / "film.mp4").write_bytes(b"certainly no film")
    with pytest.raises(error, match=words):
        open_source(str(make(tmp_path)), split)


def test_data_set_without_split_names_the_choices(tree: tuple[Path, list[np.ndarray]]) -> None:
    with pytest.raises(ConfigError, match=r"demo, val: choose one with --split"):
        open_source(str(tree[0]))
    with pytest.raises(ConfigError, match="Did you mean 'val'"):
        open_source(str(tree[0]), "vall")


@pytest.mark.parametrize(
    "options",
    [SyntheticOptions(town="atlantis"), SyntheticOptions(condition="snow")],
    ids=["town", "condition"],
)
def test_unknown_drives_name_the_known_ones(options: SyntheticOptions) -> None:
    with pytest.raises(ConfigError, match="Known: "):
        open_source("synthetic", None, options)
