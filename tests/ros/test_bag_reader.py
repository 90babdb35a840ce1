"""Recordings as they are in real life: split, packed, without metadata, with doubtful stamps."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import SECOND, read, seconds, shade, shades, split, storage_file, write

from sernet_core.errors import InputError
from sernet_ros.bag.formats import COMPRESSED_TYPE, IMAGE_TYPE, typestore
from sernet_ros.bag.messages import compressed_message, image_message
from sernet_ros.bag.reader import Bag
from sernet_ros.bag.writer import BagWriter
from sernet_ros.sources import Picture, Unreadable, open_source

# Files


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_missing_metadata_file_is_noted_and_not_needed(tmp_path: Path, storage: str) -> None:
    bag = write(tmp_path / "bag", seconds(5), {0: 3, 4: 7}, storage)
    (bag / "metadata.yaml").unlink()
    source = open_source(str(bag))
    assert "metadata.yaml is missing" in source.notes[0] and storage_file(bag).name in source.notes[0]
    assert source.length == 5 and source.rate == pytest.approx(1.0)
    items = read(bag)
    assert shades(items) == [0, 1, 2, 3, 4]
    labels = [item.truth for item in items if isinstance(item, Picture)]
    assert [None if label is None else int(label[0, 0]) for label in labels] == [3, None, None, None, 7]


@pytest.mark.parametrize("text", ["rosbag2_bagfile_information:\n  version: [", "a: b\n", "", "\xff\xfe"])
def test_a_damaged_metadata_file_is_noted_and_not_needed(tmp_path: Path, text: str) -> None:
    bag = write(tmp_path / "bag", seconds(3))
    (bag / "metadata.yaml").write_bytes(text.encode("latin-1"))
    assert "metadata.yaml is not understood" in open_source(str(bag)).notes[0]
    assert shades(read(bag)) == [0, 1, 2]


def test_a_storage_file_alone_is_a_recording(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", seconds(3))
    alone = shutil.copy(storage_file(bag), tmp_path / "alone.mcap")
    assert shades(read(Path(alone))) == [0, 1, 2]
    assert open_source(str(alone)).name == "alone"


@pytest.mark.parametrize("metadata", [True, False], ids=["described", "bare"])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_split_recordings_are_read_in_the_order_of_their_numbers(
    tmp_path: Path, storage: str, metadata: bool
) -> None:
    bag = split(tmp_path, storage, 12, metadata)
    assert open_source(str(bag)).length == 33
    assert shades(read(bag)) == [10 * part + index for part in range(1, 12) for index in range(3)]


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    bag = split(tmp_path, "mcap", 3, metadata=True)
    (bag / "split_1.mcap").unlink()
    with pytest.raises(InputError, match=r"1 of 3 files that metadata.yaml names are missing: split_1.mcap;"):
        open_source(str(bag))
    (bag / "metadata.yaml").unlink()
    assert shades(read(bag)) == [20, 21, 22]


@pytest.mark.parametrize("mode", ["FILE", "MESSAGE"])
@pytest.mark.parametrize("metadata", [True, False], ids=["described", "bare"])
def test_zstd_of_files_and_of_messages(tmp_path: Path, mode: str, metadata: bool) -> None:
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3)
    writer.set_compression(CompressionMode[mode], CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/cam/image_raw", IMAGE_TYPE, typestore=typestore())
        for index in range(3):
            message = image_message(shade(index), (index + 1) * SECOND, "cam")
            data = typestore().serialize_cdr(message, IMAGE_TYPE)
            writer.write(connection, (index + 1) * SECOND, data)
    bag = tmp_path / "bag"
    if not metadata:
        (bag / "metadata.yaml").unlink()
    items = read(bag)
    if metadata or mode == "FILE":
        assert shades(items) == [0, 1, 2]
    else:
        # Nothing in the file tells: each message is named as what it is not.
        assert len(items) == 3
        assert all(isinstance(item, Unreadable) and "not a sensor_msgs" in item.reason for item in items)


@pytest.mark.parametrize("kind", ["zstd", "lz4", "none"])
def test_compressed_chunks_of_another_writer(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("mcap_ros2", reason="mcap-ros2-support is not installed (requirements/dev.txt)")
    from mcap.writer import CompressionType
    from mcap_ros2.writer import Writer

    path = tmp_path / "foreign.mcap"
    definition, _ = typestore().generate_msgdef(IMAGE_TYPE, ros_version=2)
    with path.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType[kind.upper()])
        schema = writer.register_msgdef(IMAGE_TYPE, definition)
        for index in range(4):
            content = {
                "header": {"stamp": {"sec": index + 1, "nanosec": 5}, "frame_id": "front"},
                "height": 12, "width": 16, "encoding": "bgr8", "is_bigendian": 0, "step": 48,
                "data": shade(index).tobytes(),
            }  # fmt: skip
            writer.write_message("/front/image_raw", schema, content, log_time=(index + 1) * SECOND)
        writer.finish()
    items = read(path)
    assert shades(items) == [0, 1, 2, 3]
    assert [item.stamp_ns for item in items if isinstance(item, Picture)] == [
        (index + 1) * SECOND + 5 for index in range(4)
    ]


# Messages


def test_stamps_out_of_order_doubled_and_missing(tmp_path: Path) -> None:
    stamps = [5 * SECOND, 3 * SECOND, 3 * SECOND, 0, 9 * SECOND]
    items = read(write(tmp_path / "bag", stamps, {1: 4, 2: 6, 4: 8}))
    assert shades(items) == [0, 1, 2, 3, 4]
    pictures = [item for item in items if isinstance(item, Picture)]
    assert [item.stamp_ns for item in pictures] == [*stamps[:3], 4 * SECOND, 9 * SECOND]
    labels = [None if item.truth is None else int(item.truth[0, 0]) for item in pictures]
    assert labels == [None, 4, 6, None, 8]


def test_ground_truth_may_come_long_before_or_a_little_after(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    with BagWriter(bag) as writer:
        writer.add("/image", IMAGE_TYPE)
        writer.add("/ground_truth", IMAGE_TYPE)
        for index in range(30):
            writer.write("/image", 100 + index, image_message(shade(index), index + 1, ""))
        for index in range(20):
            label = np.full((12, 16), index % 11, np.uint8)
            # The first ten before their images, the others five frames after them.
            at_ns = 10 + index if index < 10 else 105 + index
            writer.write("/ground_truth", at_ns, image_message(label, index + 1, ""))
    pictures = [item for item in read(bag) if isinstance(item, Picture)]
    assert shades(list(pictures)) == list(range(30))
    for index, picture in enumerate(pictures):
        assert picture.truth is None if index >= 20 else picture.truth is not None, index
        assert picture.truth is None or picture.truth[0, 0] == index % 11


def test_messages_that_cannot_be_used_are_named_one_by_one(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    with BagWriter(bag) as writer:
        for name, kind in (("/image", IMAGE_TYPE), ("/ground_truth", IMAGE_TYPE)):
            writer.add(name, kind)
        for index in range(4):
            message = image_message(shade(index), index + 1, "")
            if index == 1:
                message.encoding = "16UC1"
            if index == 2:
                writer.write_bytes("/image", 10 + index, b"\x00\x01\x00\x00torn")
                continue
            label = image_message(np.zeros((9, 9) if index == 3 else (12, 16), np.uint8), index + 1, "")
            writer.write("/ground_truth", 10 + index, label)
            writer.write("/image", 10 + index, message)
    items = read(bag)
    assert shades(items) == [0]
    reasons = {item.name: item.reason for item in items if isinstance(item, Unreadable)}
    assert reasons.keys() == {"bag_000001", "bag_000002", "bag_000003"}
    assert "depth image" in reasons["bag_000001"] and "/image" in reasons["bag_000001"]
    assert "not a sensor_msgs/msg/Image" in reasons["bag_000002"]
    assert "ground truth of 9x9 for an image of 16x12" in reasons["bag_000003"]


def compressed(kind: str, image: np.ndarray) -> Any:
    return compressed_message(image, 7, "", kind, 95)


def test_compressed_ground_truth_is_exact_or_refused(tmp_path: Path) -> None:
    label = np.random.default_rng(0).integers(0, 11, (12, 16), np.uint8)
    for kind in ("png", "jpeg"):
        with BagWriter(tmp_path / kind) as writer:
            writer.add("/image/compressed", COMPRESSED_TYPE)
            writer.add("/ground_truth/compressed", COMPRESSED_TYPE)
            writer.write("/image/compressed", 1, compressed("jpeg", shade(40)))
            writer.write("/ground_truth/compressed", 2, compressed(kind, label))
    (picture,) = read(tmp_path / "png")
    assert isinstance(picture, Picture) and picture.truth is not None
    np.testing.assert_array_equal(picture.truth, label)
    assert abs(int(picture.image[0, 0, 0]) - 40) <= 2
    (refused,) = read(tmp_path / "jpeg")
    assert (
        isinstance(refused, Unreadable)
        and "/ground_truth/compressed: " in refused.reason
        and "JPEG has lost the class ids" in refused.reason
    )


def test_types_that_nobody_knows_are_no_obstacle(tmp_path: Path) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer

    bag = tmp_path / "bag"
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        strange = writer.add_connection(
            "/radar",
            "acme_msgs/msg/Radar",
            msgdef="float32 range\nacme_msgs/Inner[] inner\n",
            rihs01="RIHS01_0",
        )
        image = writer.add_connection("/image", IMAGE_TYPE, typestore=typestore())
        for index in range(3):
            writer.write(strange, index, struct.pack("<If", 256, index))
            message = image_message(shade(index), index + 1, "")
            writer.write(image, index, typestore().serialize_cdr(message, IMAGE_TYPE))
    assert shades(read(bag)) == [0, 1, 2]
    assert Bag(bag).topics["/radar"].type == "acme_msgs/msg/Radar"
