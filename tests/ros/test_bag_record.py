"""A recording with its answers beside it, looked at by a library that shares nothing with the writer."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import yaml

from sernet_core.errors import InputError
from sernet_core.labels import CAMVID
from sernet_ros.bag.formats import IMAGE_TYPE, STRING_TYPE, typestore
from sernet_ros.bag.messages import image_message
from sernet_ros.bag.reader import Bag
from sernet_ros.bag.record import record_answers
from sernet_ros.bag.storage import Message
from sernet_ros.bag.topics import TopicChoice
from sernet_ros.bag.writer import BagWriter
from sernet_ros.compressed_codec import compressed_to_rgb
from sernet_ros.recording import CONFIDENCE, MASK, OVERLAY

RADAR = "float32 range\nacme_msgs/Inner inner\n" + "=" * 80 + "\nMSG: acme_msgs/Inner\nuint8 level\n"


def source(path: Path, radar: str = RADAR) -> Path:
    """Three frames that were received half a second after their stamps, a latched text and a radar."""
    with BagWriter(path) as writer:
        writer.add("/front/image_raw", IMAGE_TYPE)
        writer.add("/front/text", STRING_TYPE, latched=True)
        writer._topics["/radar"] = writer._writer.add_connection(
            "/radar", "acme_msgs/msg/Radar", msgdef=radar, rihs01="RIHS01_0"
        )
        writer.write("/front/text", 1, typestore().types[STRING_TYPE](data="hello"))
        for index in range(3):
            stamp = (index + 1) * 10**9
            image = np.full((12, 16, 3), index, np.uint8)
            writer.write("/front/image_raw", stamp + 5 * 10**8, image_message(image, stamp, "front"))
            writer.write_bytes("/radar", stamp, struct.pack("<IfB", 256, index, 7))
    return path


def add_answers(path: Path, new: Path, stamps: list[int], confidence: bool = True) -> list[str]:
    with record_answers(path, TopicChoice(), new, CAMVID, lambda words: None) as recorder:
        for stamp in stamps:
            recorder.take(MASK, stamp, "front", np.full((12, 16), 3, np.uint8))
            recorder.take(OVERLAY, stamp, "front", np.full((12, 16, 3), 90, np.uint8))
            if confidence:
                recorder.take(CONFIDENCE, stamp, "front", np.full((12, 16), 200, np.uint8))
    return recorder.notes


def topics_of(path: Path) -> dict[str, dict]:
    information = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    return {entry["topic_metadata"]["name"]: entry for entry in information["topics_with_message_count"]}


def test_answers_stand_beside_everything_else(tmp_path: Path) -> None:
    pytest.importorskip("mcap_ros2", reason="mcap-ros2-support is not installed (requirements/dev.txt)")
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    new = tmp_path / "new"
    assert add_answers(source(tmp_path / "old"), new, [10**9, 3 * 10**9]) == []
    with (new / "new.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        found = [
            (channel.topic, message.log_time, decoded)
            for _, channel, message, decoded in reader.iter_decoded_messages()
        ]
    masks = [(at, decoded) for topic, at, decoded in found if topic == "/front/semantic_mask"]
    # As if they had come with their frames.
    assert [at for at, _ in masks] == [15 * 10**8, 35 * 10**8]
    assert [(mask.header.stamp.sec, mask.header.frame_id) for _, mask in masks] == [
        (1, "front"),
        (3, "front"),
    ]
    assert masks[0][1].encoding == "mono8" and bytes(masks[0][1].data) == bytes([3]) * 192
    overlays = [decoded for topic, _, decoded in found if topic == "/front/semantic_overlay/compressed"]
    assert len(overlays) == 2 and overlays[0].format == "rgb8; jpeg compressed bgr8"
    certain = [(at, decoded) for topic, at, decoded in found if topic == "/front/confidence"]
    assert [(at, one.encoding, bytes(one.data)) for at, one in certain] == [
        (15 * 10**8, "mono8", bytes([200]) * 192),
        (35 * 10**8, "mono8", bytes([200]) * 192),
    ]
    assert certain[0][1].header == masks[0][1].header
    colors = [decoded for topic, _, decoded in found if topic == "/front/color_mask/compressed"]
    assert len(colors) == 2 and (compressed_to_rgb(colors[0]) == CAMVID.palette[3]).all()
    images = [decoded for topic, _, decoded in found if topic == "/front/image_raw"]
    assert [image.data[0] for image in images] == [0, 1, 2]
    radar = [(decoded.range, decoded.inner.level) for topic, _, decoded in found if topic == "/radar"]
    assert radar == [(0.0, 7), (1.0, 7), (2.0, 7)]
    (labels,) = (decoded.data for topic, _, decoded in found if topic == "/front/label_info_json")
    assert json.loads(labels)["class_map"][3] == {"class_id": 3, "class_name": "Road"}
    profiles = {
        name: entry["topic_metadata"]["offered_qos_profiles"][0]["durability"]
        for name, entry in topics_of(new).items()
        if entry["topic_metadata"]["offered_qos_profiles"]
    }
    assert profiles["/front/text"] == profiles["/front/label_info_json"] == "transient_local"
    assert profiles["/front/image_raw"] == profiles["/front/semantic_mask"] == "volatile"


def test_old_answers_are_replaced_and_unknown_types_left_out(tmp_path: Path) -> None:
    old = source(tmp_path / "old", radar="float32 range\nacme_msgs/Inner inner\n")
    (note,) = add_answers(old, tmp_path / "first", [10**9])
    assert "/radar: the definition of acme_msgs/msg/Radar is not understood" in note
    notes = add_answers(tmp_path / "first", tmp_path / "second", [2 * 10**9, 3 * 10**9])
    assert "/front/semantic_mask: replaced by the new answers" in notes
    assert topics_of(tmp_path / "second")["/front/semantic_mask"]["message_count"] == 2
    assert "/front/confidence" in topics_of(tmp_path / "second")
    assert not [note for note in notes if "understood" in note]
    add_answers(tmp_path / "second", tmp_path / "third", [10**9], confidence=False)
    assert "/front/confidence" not in topics_of(tmp_path / "third"), "that of another run must not stay"
    assert "/radar" not in topics_of(tmp_path / "second")


def test_nothing_is_left_when_it_fails(tmp_path: Path) -> None:
    old = source(tmp_path / "old")
    with (
        pytest.raises(InputError, match="exists already"),
        record_answers(old, TopicChoice(), old, CAMVID, lambda words: None),
    ):
        raise AssertionError("never reached")
    with (
        pytest.raises(ZeroDivisionError),
        record_answers(old, TopicChoice(), tmp_path / "new", CAMVID, lambda words: None),
    ):
        _ = 1 // 0
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_answers_to_a_doubled_stamp_stand_where_their_frames_do(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    with BagWriter(old) as writer:
        writer.add("/image", IMAGE_TYPE)
        for at in (10, 20, 30):
            writer.write("/image", at * 10**9, image_message(np.zeros((12, 16, 3), np.uint8), 10**9, ""))
    # The replayer sends the second and the third a nanosecond later each.
    add_answers(old, new, [10**9, 10**9 + 1, 10**9 + 2])
    answers = [each.at_ns for each in Bag(new).messages(["/semantic_mask"]) if isinstance(each, Message)]
    assert answers == [10 * 10**9, 20 * 10**9, 30 * 10**9]
