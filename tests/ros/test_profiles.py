"""The profiles for Nav2 and Autoware, read by stand-ins for the nodes that they are for.

The real ones need a ROS installation. A stand-in subscribes as they do, QoS included, and goes from the
messages to what they use: points of a class for a costmap, ids of pixels.
"""

from __future__ import annotations

import struct
from array import array
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from live import (
    Live,
    array_of,
    expected_confidence,
    expected_mask,
    picture,
    read_label_info,
)
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2, PointField

from sernet_core.labels import CAMVID
from sernet_ros.publishers import label_info_format
from sernet_ros.settings import FIELDS

CONFIG = Path(__file__).parents[2] / "config"
BEST_EFFORT_1 = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


def profile(live: Any, name: str, **parameters: Any) -> Live:
    """A node with the parameters of a file in config/."""
    one: Live = live(arguments=["--ros-args", "--params-file", str(CONFIG / name)], **parameters)
    return one


class CostmapLayer:
    """Stands in for the semantic_segmentation_layer.

    Mask, confidence and cloud meet by exact stamp; a pixel's point is the one at its place in the cloud;
    classes go by the names in the latched label info.
    """

    def __init__(self, one: Live) -> None:
        self.ids: dict[str, int] = {}
        self.sets: list[dict[str, Any]] = []
        self._parts: dict[tuple[int, int], dict[str, Any]] = defaultdict(dict)
        kind, topic, _ = label_info_format()
        one.user.create_subscription(kind, topic, self._name, LATCHED)
        for part, message_type in (
            ("semantic_mask", Image),
            ("confidence", Image),
            ("points", PointCloud2),
        ):
            one.user.create_subscription(
                message_type,
                part,
                lambda message, part=part: self._meet(part, message),
                qos_profile_sensor_data,
            )

    def _name(self, message: Any) -> None:
        entries = read_label_info(message)["class_map"]
        self.ids = {entry["class_name"]: entry["class_id"] for entry in entries}

    def _meet(self, part: str, message: Any) -> None:
        stamp = message.header.stamp
        parts = self._parts[stamp.sec, stamp.nanosec]
        parts[part] = message
        if len(parts) == 3:
            self.sets.append(parts)

    def points(self, name: str, least_confidence: int) -> np.ndarray:
        """Points, float32 (N, 3), of a class in the last set."""
        parts = self.sets[-1]
        mask, cloud = array_of(parts["semantic_mask"]), parts["points"]
        assert (mask.shape[0], mask.shape[1]) == (cloud.height, cloud.width)
        assert parts["semantic_mask"].header.frame_id == parts["confidence"].header.frame_id
        points = np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, 3)
        certain = array_of(parts["confidence"]) >= least_confidence
        return points[(mask == self.ids[name]) & certain]


def cloud_message(points: np.ndarray, header: Any) -> PointCloud2:
    height, width, _ = points.shape
    message = PointCloud2(header=header, height=height, width=width, point_step=12, row_step=12 * width)
    message.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate("xyz")
    ]
    message.data = array("B", points.astype(np.float32).tobytes())
    return message


def test_a_costmap_finds_the_road_in_a_registered_cloud(live) -> None:
    one = profile(live, "nav2.yaml")
    layer = CostmapLayer(one)
    depth_camera = one.user.create_publisher(PointCloud2, "points", qos_profile_sensor_data)
    one.until(lambda: depth_camera.get_subscription_count() > 0, "the layer listens to the cloud")
    publishers = one.node._channels[0]._publishers
    one.until(
        lambda: publishers.wanted("confidence") and one.user.count_publishers("confidence") > 0, "connected"
    )
    one.until(lambda: layer.ids, "the latched names")
    assert layer.ids == {name: index for index, name in enumerate(CAMVID.names)}
    points = np.random.default_rng(3).normal(size=(48, 64, 3)).astype(np.float32)
    image = picture(seed=5)
    header = one.send(image).header
    depth_camera.publish(cloud_message(points, header))
    one.until(lambda: layer.sets, "mask, confidence and cloud of one stamp")
    assert layer.sets[-1]["semantic_mask"].header == header
    road = (expected_mask(image) == CAMVID.names.index("Road")) & (expected_confidence(image) >= 100)
    assert 100 < road.sum() < 2000
    np.testing.assert_array_equal(layer.points("Road", 100), points[road])


def decode_runs(message: Image) -> list[tuple[int, int]]:
    """(id, length) of each run, as `struct` reads them: nothing of the package is used here."""
    return list(struct.iter_unpack("<Bi", bytes(message.data)))


def test_the_fusion_counts_autowares_ids_in_the_runs(live) -> None:
    one = profile(live, "autoware.yaml", confidence_threshold=0.25)
    masks = one.listen("semantic_mask", BEST_EFFORT_1)
    subscribers = 2  # the user of every test, and this one
    publisher = one.node._channels[0]._publishers._by_name["semantic_mask"]
    one.until(lambda: publisher.get_subscription_count() == subscribers, "the fusion is there")
    image = picture(seed=4)
    header = one.send(image).header
    one.until(lambda: masks, "a mask")
    mask = masks[-1]
    assert mask.header == header
    assert (mask.encoding, mask.height, mask.width) == ("mono8", 48, 64)
    counted: Counter[int] = Counter()
    for identity, length in decode_runs(mask):
        counted[identity] += length
    # The interface's own numbers for CamVid's first eight classes, which are all that the network gives here.
    autoware = np.array([15, 1, 3, 9, 10, 14, 5, 2])
    ids = autoware[expected_mask(image)]
    ids[expected_confidence(image) < 63.75] = 0
    assert counted == Counter(ids.ravel().tolist())
    assert counted.total() == 48 * 64 and counted[0] > 0
    at = 0
    for identity, length in decode_runs(mask):
        assert (ids.ravel()[at : at + length] == identity).all(), f"the run at pixel {at}"
        at += length
    names = {entry["class_id"]: entry["class_name"] for entry in one.label_info()["class_map"]}
    assert names[9] == "road" and names[0] == "unknown" and len(names) == 16


@pytest.mark.parametrize("name", ["nav2.yaml", "autoware.yaml"])
def test_every_name_in_a_profile_is_a_parameter(name: str) -> None:
    values = yaml.safe_load((CONFIG / name).read_text())["/**"]["ros__parameters"]
    assert values.keys() <= FIELDS.keys()
