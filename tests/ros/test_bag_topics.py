"""Which topics of a recording are meant, and what it says of its classes; needs no ROS."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from recordings import read, seconds, shade, shades, write

from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID, CITYSCAPES
from sernet_ros.bag.formats import COMPRESSED_TYPE, IMAGE_TYPE, STRING_TYPE, typestore
from sernet_ros.bag.messages import TruthInfo, compressed_message, image_message, truth_info
from sernet_ros.bag.topics import TopicChoice
from sernet_ros.bag.writer import BagWriter
from sernet_ros.jobs import find_jobs
from sernet_ros.sources import Source, Unreadable, open_source


def cameras(path: Path, *names: str, kind: str = IMAGE_TYPE) -> Path:
    with BagWriter(path) as writer:
        for number, name in enumerate(names):
            writer.add(name, kind)
            writer.write(name, number + 1, image_message(shade(number), number + 1, ""))
    return path


def test_one_camera_is_found_by_its_type(tmp_path: Path) -> None:
    bag = cameras(tmp_path / "bag", "/eye", "/semantic_mask", "/semantic_overlay", "/x/ground_truth")
    assert shades(read(bag)) == [0]


def test_several_cameras_are_listed(tmp_path: Path) -> None:
    bag = cameras(
        tmp_path / "bag", "/left/image", "/left/ground_truth", "/right/image", "/right/ground_truth"
    )
    with pytest.raises(ConfigError) as caught:
        open_source(str(bag))
    words = str(caught.value)
    assert "2 topics could be the camera: choose one with --image-topic" in words
    assert "\n  /left/image  sensor_msgs/msg/Image  1 messages\n  /right/image" in words
    assert "ground_truth" not in words
    assert shades(read(bag, image="/right/image")) == [2]
    assert shades(read(bag, image="left/image")) == [0], "a leading / may be left away"
    with pytest.raises(ConfigError, match="Did you mean '/left/image'"):
        open_source(str(bag), topics=TopicChoice("/left/imag"))


def test_topics_that_are_no_images_are_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.add("/chatter", STRING_TYPE)
        writer.write("/chatter", 1, typestore().types[STRING_TYPE](data="x"))
    with pytest.raises(ConfigError, match=r"holds no camera images. Its topics:\n  /chatter  std_msgs"):
        open_source(str(tmp_path / "bag"))
    with pytest.raises(ConfigError, match=r"--image-topic: /chatter is std_msgs/msg/String, no image"):
        open_source(str(tmp_path / "bag"), topics=TopicChoice("/chatter"))


def test_depth_images_are_no_cameras(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    with BagWriter(bag) as writer:
        for number, (name, encoding) in enumerate(
            {"/eye/color": "rgb8", "/eye/depth": "16UC1", "/eye/far": "32FC1"}.items()
        ):
            writer.add(name, IMAGE_TYPE)
            message = image_message(shade(number), number + 1, "")
            message.encoding = encoding
            writer.write(name, number + 1, message)
        for name, words in (
            ("/packed", "32FC1; compressedDepth png"),
            ("/jpeg", "rgb8; jpeg compressed bgr8"),
        ):
            writer.add(name, COMPRESSED_TYPE)
            message = compressed_message(shade(9), 9, "", "png", 0)
            message.format = words
            writer.write(name, 9, message)
    options = argparse.Namespace(
        bags=[str(bag)], out=tmp_path, split=None, all_cameras=True, image_topic=None, truth_topic=None
    )
    jobs, _ = find_jobs(options)
    assert [job.choice.image for job in jobs] == ["/eye/color", "/jpeg"]
    # Who names one is told why it is no picture.
    (refused,) = read(bag, image="/eye/far")
    assert isinstance(refused, Unreadable) and "32FC1" in refused.reason


# Class names


def source_with(tmp_path: Path, text: str) -> Source:
    with BagWriter(tmp_path / "bag") as writer:
        for name, kind in (("/image", IMAGE_TYPE), ("/ground_truth", IMAGE_TYPE)):
            writer.add(name, kind)
            array = shade(1) if name == "/image" else np.zeros((12, 16), np.uint8)
            writer.write(name, 1, image_message(array, 1, ""))
        writer.add("/ground_truth_info", STRING_TYPE, latched=True)
        writer.write("/ground_truth_info", 1, typestore().types[STRING_TYPE](data=text))
    return open_source(str(tmp_path / "bag"))


def test_class_names_make_the_class_set(tmp_path: Path) -> None:
    entries = [{"class_id": index, "class_name": name} for index, name in enumerate(CITYSCAPES.names)]
    assert source_with(tmp_path, json.dumps({"class_map": entries, "threshold": 0.5})).classes == CITYSCAPES


def test_own_class_names_get_colours_of_their_own() -> None:
    entries = [{"class_id": 1, "class_name": "cat"}, {"class_id": 0, "class_name": "dog"}]
    info = truth_info(json.dumps({"class_map": [*entries, {"class_id": 255, "class_name": "void"}]}))
    assert info.classes.names == ("dog", "cat") and info.classes.palette[0] != info.classes.palette[1]
    assert truth_info(TruthInfo(CAMVID, "camvid/val", ("a", "b")).to_json()) == TruthInfo(
        CAMVID, "camvid/val", ("a", "b")
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"class_map": [{"class_id": 1, "class_name": "a"}]}'])
def test_class_names_that_are_not_understood_name_the_topic(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"/ground_truth_info: the class names .* are not understood"):
        source_with(tmp_path, text)


def test_ground_truth_without_names_is_noted(tmp_path: Path) -> None:
    source = open_source(str(write(tmp_path / "bag", seconds(2), {0: 1})))
    assert source.classes is None and source.with_truth
    assert "says not what the ids of /cam/ground_truth mean" in source.notes[0]
