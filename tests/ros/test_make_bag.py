"""Recordings that are made: read back by libraries that share nothing with the one that wrote them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from sernet_core.errors import InputError
from sernet_core.labels import CAMVID
from sernet_ros import make_bag
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.bag.topics import TopicChoice
from sernet_ros.sources import Picture, Source, Unreadable, open_source

ROOT = Path(__file__).resolve().parents[2]
TOPICS = ("/camera/image_raw", "/camera/ground_truth", "/camera/camera_info", "/camera/ground_truth_info")


def run(*arguments: str | Path) -> int:
    return make_bag.main([str(argument) for argument in arguments])


def frames(path: Path, **choice: str | None) -> list[Picture]:
    found = list(open_source(str(path), topics=TopicChoice(**choice)).frames())
    assert all(isinstance(picture, Picture) for picture in found), found
    return [picture for picture in found if isinstance(picture, Picture)]


def read_mcap(path: Path) -> list[tuple[str, int, object]]:
    """Topic, time of reception and decoded message of everything in a file, by the mcap library."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        return [
            (channel.topic, message.log_time, decoded)
            for _, channel, message, decoded in reader.iter_decoded_messages()
        ]


@pytest.mark.parametrize("extra", [(), ("--zstd",)], ids=["plain", "zstd"])
def test_mcap_is_read_by_an_independent_library(
    tree: tuple[Path, list[np.ndarray]], tmp_path: Path, extra: tuple[str, ...]
) -> None:
    pytest.importorskip("mcap_ros2", reason="mcap-ros2-support is not installed (requirements/dev.txt)")
    root, labels = tree
    out = tmp_path / "val_bag"
    assert run(root, "--split", "val", "--out", out, "--start", "100", "--rate", "10", *extra) == 0
    messages = read_mcap(out / "val_bag.mcap")
    assert [topic for topic, _, _ in messages].count("/camera/ground_truth_info") == 1
    by_topic = {name: [(at, decoded) for topic, at, decoded in messages if topic == name] for name in TOPICS}
    source = open_source(str(root), "val")
    for index, (picture, label) in enumerate(zip(source.frames(), labels, strict=True)):
        assert isinstance(picture, Picture)
        at, image = by_topic["/camera/image_raw"][index]
        assert at == 100 * 10**9 + index * 10**8
        assert (image.header.stamp.sec, image.header.stamp.nanosec) == (100, index * 10**8)
        assert (image.header.frame_id, image.encoding, image.step) == ("camera", "rgb8", 3 * image.width)
        pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
        np.testing.assert_array_equal(pixels, picture.image)
        truth = by_topic["/camera/ground_truth"][index][1]
        assert truth.encoding == "mono8"
        assert (truth.header.stamp.sec, truth.header.stamp.nanosec) == (100, index * 10**8)
        np.testing.assert_array_equal(np.frombuffer(truth.data, np.uint8).reshape(label.shape), label)
        camera = by_topic["/camera/camera_info"][index][1]
        assert (camera.width, camera.height, camera.k[0]) == (image.width, image.height, 0.0)
    information = json.loads(by_topic["/camera/ground_truth_info"][0][1].data)
    assert [entry["class_name"] for entry in information["class_map"]] == list(CAMVID.names)
    assert information["frames"] == ["s0", "s1"]


def test_metadata_is_that_of_the_current_version(tree: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    out = tmp_path / "bag"
    assert run(tree[0], "--split", "val", "--out", out, "--start", "100") == 0
    information = yaml.safe_load((out / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["version"] == 9 and information["storage_identifier"] == "mcap"
    assert information["relative_file_paths"] == ["bag.mcap"]
    assert information["message_count"] == 7
    assert information["starting_time"]["nanoseconds_since_epoch"] == 100 * 10**9
    topics = {entry["topic_metadata"]["name"]: entry for entry in information["topics_with_message_count"]}
    assert set(topics) == set(TOPICS)
    image = topics["/camera/image_raw"]
    assert image["message_count"] == 2
    # The hash that ROS 2 itself has for sensor_msgs/msg/Image.
    assert image["topic_metadata"]["type_description_hash"] == (
        "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47"
    )
    (profile,) = image["topic_metadata"]["offered_qos_profiles"]
    assert (profile["reliability"], profile["durability"]) == ("reliable", "volatile")
    (latched,) = topics["/camera/ground_truth_info"]["topic_metadata"]["offered_qos_profiles"]
    assert (latched["durability"], latched["depth"]) == ("transient_local", 1)


def test_the_bytes_are_messages_of_rclpy(tree: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import String

    out = tmp_path / "bag"
    arguments = ("--out", out, "--storage", "sqlite3", "--start", "5.5", "--hfov", "90")
    assert run(tree[0], "--split", "val", *arguments) == 0
    database = sqlite3.connect(out / "bag.db3")
    rows = database.execute(
        "SELECT topics.name, messages.data FROM messages JOIN topics ON topic_id = topics.id "
        "ORDER BY messages.id"
    ).fetchall()
    database.close()
    kinds = dict(zip(TOPICS, (Image, Image, CameraInfo, String), strict=True))
    messages = [(name, deserialize_message(data, kinds[name])) for name, data in rows]
    assert [name for name, _ in messages[:4]] == [TOPICS[3], TOPICS[1], TOPICS[2], TOPICS[0]]
    for (name, message), (_, data) in zip(messages, rows, strict=True):
        assert len(serialize_message(message)) == len(data), (
            name
        )  # but for padding, which rclpy leaves as it is
    truth, camera, image = (messages[index][1] for index in (1, 2, 3))
    assert truth.header == image.header == camera.header and image.header.stamp.nanosec == 5 * 10**8
    assert bytes(truth.data) == tree[1][0].tobytes()
    assert (
        camera.k[0] == pytest.approx(20.0) and camera.k[2] == 19.5 and camera.distortion_model == "plumb_bob"
    )
    assert json.loads(messages[0][1].data)["class_map"][3] == {"class_id": 3, "class_name": "Road"}


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_recording_is_a_source_like_the_one_it_was_made_of(
    tree: tuple[Path, list[np.ndarray]], tmp_path: Path, storage: str
) -> None:
    out = tmp_path / "bag"
    assert (
        run(tree[0], "--split", "val", "--out", out, "--storage", storage, "--start", "9", "--rate", "4") == 0
    )
    source = open_source(str(out))
    assert (source.name, source.length, source.classes) == ("bag", 2, CAMVID)
    assert source.rate == pytest.approx(4.0) and source.stems == ("s0", "s1") and source.recorded
    original = list(open_source(str(tree[0]), "val").frames())
    for index, (picture, first) in enumerate(zip(frames(out), original, strict=True)):
        assert isinstance(first, Picture) and picture.truth is not None and first.truth is not None
        np.testing.assert_array_equal(picture.image, first.image)
        np.testing.assert_array_equal(picture.truth, first.truth)
        assert picture.stamp_ns == picture.at_ns == 9 * 10**9 + index * 25 * 10**7
    assert [picture.name for picture in frames(out)] == ["bag_000000", "bag_000001"], "it can be read again"
    without = open_source(str(out), topics=TopicChoice(truth=""))
    assert without.classes is None and all(picture.truth is None for picture in frames(out, truth=""))


def test_frames_of_a_training_list_are_recognised_in_a_recording(
    tree: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    from sernet_core.checkpoint import CheckpointInfo
    from sernet_core.network import NetworkConfig
    from sernet_ros.live_report import overlap_note

    assert run(tree[0], "--split", "val", "--out", tmp_path / "bag") == 0
    source = open_source(str(tmp_path / "bag"))
    trained = CheckpointInfo(NetworkConfig(), CAMVID, (64, 64), data={"stems": ["s1", "other"]})
    assert "1 of 2 frames are in the model's training list" in overlap_note(source, trained)
    assert overlap_note(source, CheckpointInfo(NetworkConfig(), CAMVID, (64, 64))) == ""


@pytest.mark.parametrize(("images", "tolerance"), [("png", 0), ("jpeg", 40)])
def test_compressed_images(tmp_path: Path, images: str, tolerance: int) -> None:
    shade = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))
    image = np.stack([shade, 255 - shade, shade // 2], axis=2)
    folder = tmp_path / "frames"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), image[:, :, ::-1])
    out = tmp_path / "bag"
    assert run(folder, "--out", out, "--images", images, "--quality", "95") == 0
    (picture,) = frames(out)
    assert picture.truth is None and open_source(str(out)).classes is None
    assert np.abs(picture.image.astype(int) - image).max() <= tolerance
    topics = yaml.safe_load((out / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    types = {
        entry["topic_metadata"]["name"]: entry["topic_metadata"]["type"]
        for entry in topics["topics_with_message_count"]
    }
    assert types["/camera/image_raw/compressed"] == "sensor_msgs/msg/CompressedImage"


def test_repeating_gives_rising_stamps_and_recordings_keep_theirs(
    tree: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(tree[0], "--split", "val", "--out", first, "--repeat", "3", "--start", "7", "--rate", "2") == 0
    assert [picture.stamp_ns for picture in frames(first)] == [7 * 10**9 + i * 5 * 10**8 for i in range(6)]
    assert run(first, "--out", second, "--images", "png", "--frames", "4") == 0
    assert [picture.stamp_ns for picture in frames(second)] == [7 * 10**9 + i * 5 * 10**8 for i in range(4)]
    for picture, original in zip(frames(second), frames(first), strict=False):
        assert picture.truth is not None and original.truth is not None
        np.testing.assert_array_equal(picture.image, original.image)
        np.testing.assert_array_equal(picture.truth, original.truth)
    assert open_source(str(second)).stems == ("s0", "s1")


def test_a_damaged_frame_is_left_out_and_named(
    folder: tuple[Path, list[np.ndarray]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder[0] / "frame9.png").write_bytes(b"not a picture")
    assert run(folder[0], "--out", tmp_path / "bag") == 0
    assert len(frames(tmp_path / "bag")) == 3
    assert "left out: frame9.png" in capsys.readouterr().err


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)

    def broken():
        yield Picture("a", image)
        raise InputError("torn")

    source = Source("broken", 10.0, None, None, broken)
    with pytest.raises(InputError, match="torn"):
        write_bag(source, RecordingOptions(), tmp_path / "bag")
    assert not list(tmp_path.iterdir())
    nothing = Source("nothing", 10.0, None, None, lambda: iter([Unreadable("x", "bad")]))
    with pytest.raises(InputError, match="not one frame could be read; x: bad"):
        write_bag(nothing, RecordingOptions(), tmp_path / "bag")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "there"), "exists already"),
        (("--out", "new", "--storage", "sqlite3", "--zstd"), "in mcap alone"),
        (("--out", "new", "--prefix", "camera"), "must be a name like /camera"),
        (("--out", "new", "--hfov", "190"), "from 1 to 180 degrees"),
        (("--out", "new", "--quality", "101"), "from 1 to 100"),
        (("--out", "/dev/null/x/new"), "cannot be written"),
    ],
)
def test_bad_requests_get_one_line(
    tree: tuple[Path, list[np.ndarray]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert run(tree[0], "--split", "val", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("make_bag: error: ") and words in line
    assert not (tmp_path / "new").exists()


def test_without_rosbags_it_says_what_to_install(tree: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['rosbags'] = None\nfrom sernet_ros.make_bag import main\n"
        f"sys.exit(main([{str(tree[0])!r}, '--split', 'val', '--out', {str(tmp_path / 'bag')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "requirements/bags.txt" in done.stderr and "Traceback" not in done.stderr
