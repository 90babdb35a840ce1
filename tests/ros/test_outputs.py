"""What the node publishes besides the plain mask, and how live parameters change it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from live import FakeSegmenter, Live, array_of, expected_confidence, expected_mask, picture
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from sernet_core.labels import AUTOWARE, CAMVID
from sernet_core.relabel import Labeling
from sernet_ros import camera_info, rle
from sernet_ros.package_files import config_file


def listen(one: Live, topic: str, kind: type = Image, qos: Any = 10) -> list[Any]:
    """Subscribe, and wait until the node knows."""
    messages: list[Any] = []
    one.user.create_subscription(kind, topic, messages.append, qos)
    one.until(lambda: one.user.count_publishers(topic) > 0, f"{topic} is there")
    one.until(lambda: one.node._channels[0]._publishers.wanted(topic), f"{topic} has its subscriber")
    return messages


def test_confidence_has_header_and_size_of_the_mask_and_is_made_on_demand(live) -> None:
    asked: list[bool] = []

    class Asked(FakeSegmenter):
        def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
            asked.append(confidence)
            return super().segment(image, confidence=confidence)

    one: Live = live(Asked(), publish_confidence=True)
    one.ask(picture())
    assert asked == [False], "nobody listens to it yet"
    confidences = listen(one, "confidence", qos=qos_profile_sensor_data)
    image = picture(seed=3)
    mask = one.ask(image)
    one.until(lambda: confidences, "confidence")
    assert asked[-1] is True
    assert confidences[0].header == mask.header
    assert (confidences[0].encoding, confidences[0].height, confidences[0].width) == ("mono8", 48, 64)
    np.testing.assert_array_equal(array_of(confidences[0]), expected_confidence(image))
    np.testing.assert_array_equal(array_of(mask), expected_mask(image))


def test_below_the_threshold_pixels_are_unlabeled(live) -> None:
    one: Live = live()
    image = picture()
    one.ask(image)
    assert one.set(confidence_threshold=0.5)[0]
    mask = array_of(one.ask(image))
    np.testing.assert_array_equal(mask, np.where(image[..., 2] < 127.5, 255, expected_mask(image)))
    assert one.label_info()["threshold"] == 0.5
    assert one.set(confidence_threshold=0.0)[0]
    np.testing.assert_array_equal(array_of(one.ask(image)), expected_mask(image))


def test_color_mask_comes_and_goes_with_its_parameter(live) -> None:
    one: Live = live()
    assert one.user.count_publishers("color_mask") == 0
    assert one.set(publish_color_mask=True)[0]
    colors = listen(one, "color_mask")
    image = picture()
    mask = one.ask(image)
    one.until(lambda: colors, "colour mask")
    assert colors[0].header == mask.header and colors[0].encoding == "rgb8"
    np.testing.assert_array_equal(array_of(colors[0]), CAMVID.colorize(expected_mask(image)))
    palette = [0x010203 * (index + 1) for index in range(11)]
    assert one.set(color_palette=palette)[0]
    one.ask(image)
    one.until(lambda: len(colors) == 2, "with other colours")
    expected = Labeling.of(CAMVID).with_palette(palette).colorize(expected_mask(image))
    np.testing.assert_array_equal(array_of(colors[1]), expected)
    assert one.set(publish_color_mask=False)[0]
    one.until(lambda: one.user.count_publishers("color_mask") == 0, "the topic is gone")
    one.ask(image)


def test_the_compressed_mask_loses_nothing(live) -> None:
    one: Live = live(publish_compressed_mask=True)
    compressed = listen(one, "semantic_mask/compressed", CompressedImage)
    image = picture()
    mask = one.ask(image)
    one.until(lambda: compressed, "compressed mask")
    assert compressed[0].header == mask.header and "png" in compressed[0].format
    stored = cv2.imdecode(np.frombuffer(compressed[0].data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, expected_mask(image))


def test_autoware_gets_its_ids_in_runs(live) -> None:
    one: Live = live(label_remap="autoware", mask_encoding="autoware_rle", start=False)
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    image = picture()
    mask = one.ask(image)
    assert (mask.encoding, mask.height, mask.width, mask.step) == ("mono8", 48, 64, 64)
    remap = config_file("autoware_labels.csv")
    assert remap is not None
    expected = Labeling.read(remap, CAMVID).relabel(expected_mask(image))
    np.testing.assert_array_equal(rle.decode(bytes(mask.data), 48, 64), expected)
    names = {entry["class_id"]: entry["class_name"] for entry in one.label_info()["class_map"]}
    assert names == dict(enumerate(AUTOWARE.names))


def calibration() -> CameraInfo:
    info = CameraInfo(width=64, height=48, distortion_model="plumb_bob", d=[0.1, 0.0, 0.0, 0.0, 0.0])
    info.k = [50.0, 0.0, 32.0, 0.0, 60.0, 24.0, 0.0, 0.0, 1.0]
    info.p = [50.0, 0.0, 32.0, -5.0, 0.0, 60.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.roi.width, info.roi.height, info.roi.x_offset = 64, 48, 4
    return info


def test_a_scaled_mask_comes_with_a_scaled_calibration(live) -> None:
    one: Live = live(publish_confidence=True)
    assert one.user.count_publishers("semantic_mask/camera_info") == 0
    assert one.set(mask_scale=0.5)[0]
    infos = listen(one, "semantic_mask/camera_info", CameraInfo)
    confidences = listen(one, "confidence")
    camera = one.user.create_publisher(CameraInfo, "image/camera_info", 1)
    one.until(lambda: camera.get_subscription_count() > 0, "the node listens to the calibration")
    one.until(lambda: camera.publish(calibration()) or one.node._channels[0]._info, "it has one")
    image = picture()
    mask = one.ask(image)
    one.until(lambda: infos and confidences, "camera_info and confidence")
    np.testing.assert_array_equal(array_of(mask), expected_mask(image)[1::2, 1::2])
    np.testing.assert_array_equal(array_of(confidences[-1]), expected_confidence(image)[1::2, 1::2])
    info = infos[-1]
    assert info.header == mask.header == confidences[-1].header
    assert (info.width, info.height) == (32, 24)
    assert list(info.k) == [25.0, 0.0, 16.0, 0.0, 30.0, 12.0, 0.0, 0.0, 1.0]
    assert list(info.p) == [25.0, 0.0, 16.0, -2.5, 0.0, 30.0, 12.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert list(info.d) == [0.1, 0.0, 0.0, 0.0, 0.0] and (info.roi.x_offset, info.roi.width) == (2, 32)
    assert one.set(mask_scale=1.0)[0]
    one.until(lambda: one.user.count_publishers("semantic_mask/camera_info") == 0, "no longer needed")
    assert array_of(one.ask(image)).shape == (48, 64)


def test_a_calibration_that_does_not_come_is_told(live) -> None:
    one: Live = live(mask_scale=0.5)
    topic = one.node.resolve_topic_name("image/camera_info")
    words = f"no calibration yet on {topic}, which mask_scale below 1 needs"
    one.until(lambda: one.ask(picture()) and words in one.statuses["camera"].message, "it is told")
    assert one.statuses["camera"].level == DiagnosticStatus.WARN
    camera = one.user.create_publisher(CameraInfo, "image/camera_info", qos_profile_sensor_data)
    one.until(lambda: camera.get_subscription_count() > 0, "whatever the driver's reliability")
    one.until(lambda: camera.publish(calibration()) or one.node._channels[0]._info, "it has one")
    one.until(lambda: one.ask(picture()) and one.statuses["camera"].message == "active", "all is well")


def test_a_scaled_calibration_never_goes_where_the_cameras_own_comes_from(live) -> None:
    remapped = ["--ros-args", "-r", "left/semantic_mask/camera_info:=right/image/camera_info"]
    one: Live = live(start=False, mask_scale=0.5, cameras=["left", "right"], arguments=remapped)
    words = (
        f"would be published on {one.namespace}/right/image/camera_info, where the camera's own comes from"
    )
    assert not one.change_state("configure")
    one.until(lambda: words in one.status.message, "the reason")
    assert one.set(mask_scale=1.0)[0] and one.change_state("configure")
    accepted, reason = one.set(mask_scale=0.5)
    assert not accepted and words in reason and one.node.settings.mask_scale == 1.0


def test_an_image_larger_than_its_calibration_says_is_scaled_from_what_it_says() -> None:
    scaled = camera_info.scaled(calibration(), 128, 96)
    assert list(scaled.k)[:3] == [100.0, 0.0, 64.0] and scaled.width == 128
    assert camera_info.scaled(CameraInfo(), 10, 10).width == 10, "an empty one does not divide by zero"


def test_region_and_ignore_mask_change_live(live, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    class Sized(FakeSegmenter):
        def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
            seen.append(image.shape[:2])
            return super().segment(image, confidence=confidence)

    one: Live = live(Sized())
    image = picture()
    assert one.set(roi=[10, 20, 30, 0])[0]
    expected = np.full((48, 64), 255)
    expected[20:, 10:40] = expected_mask(image)[20:, 10:40]
    np.testing.assert_array_equal(array_of(one.ask(image)), expected)
    assert seen == [(28, 30)], "the network sees the region alone"
    bonnet = np.zeros((48, 64), np.uint8)
    bonnet[40:] = 1
    cv2.imwrite(str(tmp_path / "bonnet.png"), bonnet)
    assert one.set(ignore_mask=str(tmp_path / "bonnet.png"))[0]
    expected[40:] = 255
    np.testing.assert_array_equal(array_of(one.ask(image)), expected)
    one.send(picture(8, 8))
    one.until(lambda: "outside of the image of 8x8" in one.status.message, "it is told")
    assert one.values()["rejected.unusable"] == "1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ignore_mask": "/no/such.png"}, "cannot be read"),
        ({"label_remap": "/no/such.csv"}, "cannot be read"),
        ({"label_remap": "autowear"}, "no file autowear_labels.csv"),
        ({"color_palette": [1, 2, 3]}, "has 3 colours, the masks have 11 classes"),
        ({"label_remap": "autoware", "color_palette": list(range(11))}, "have 16 classes"),
        ({"overlay_alpha": 0.25, "mask_scale": 7.0}, "mask_scale"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_as_a_whole(live, values: dict[str, Any], words: str) -> None:
    one: Live = live()
    before = one.node.settings
    accepted, reason = one.set(**values)
    assert not accepted and words in reason
    assert one.node.settings == before
    image = picture()
    np.testing.assert_array_equal(array_of(one.ask(image)), expected_mask(image))


def test_what_does_not_fit_the_model_fails_the_configuring(live) -> None:
    one: Live = live(start=False, color_palette=[1, 2, 3])
    assert not one.change_state("configure")
    one.until(lambda: "has 3 colours" in one.status.message, "the reason")
    assert one.set(color_palette=[-1])[0]
    assert one.change_state("configure")


def test_several_parameters_change_between_two_frames(live) -> None:
    one: Live = live()
    image = picture()
    one.ask(image)
    assert one.set(label_remap="autoware", mask_encoding="autoware_rle", roi=[0, 0, 64, 1])[0]
    mask = one.ask(image)
    runs = rle.decode(bytes(mask.data), 48, 64)
    assert not runs[1:].any() and runs[0].any(), "Autoware's unknown outside of the region"


def test_names_are_published_anew_when_they_change(live) -> None:
    one: Live = live()
    _, messages = one.listen_to_label_info()
    one.until(lambda: len(messages) == 1, "the model's names")
    assert one.set(overlay_alpha=0.1)[0] and one.set(label_remap="autoware")[0]
    one.until(lambda: len(messages) == 2, "Autoware's")
    assert [len(message["class_map"]) for message in messages] == [11, 16]
