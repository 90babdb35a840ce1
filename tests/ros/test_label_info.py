"""Ids and names of the classes, as vision_msgs/LabelInfo where that is installed and as JSON elsewhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import message_package
import pytest
from live import User, read_label_info
from segment_process import FAKE_NETWORK, MAIN, Process
from std_msgs.msg import String

from sernet_core.labels import AUTOWARE, CAMVID
from sernet_ros.publishers import label_info_format

try:
    from vision_msgs.msg import LabelInfo
except ImportError:
    LabelInfo = None

# A process of its own, as everything that has the real message classes in it.
LISTENER = """
import json, sys
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from vision_msgs.msg import LabelInfo

def show(message):
    names = {entry.class_id: entry.class_name for entry in message.class_map}
    print("heard", json.dumps([names, message.threshold]), flush=True)

rclpy.init(args=sys.argv)
node = rclpy.create_node("listener")
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
node.create_subscription(LabelInfo, "label_info", show, latched)
rclpy.spin(node)
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH for processes that need vision_msgs: as it is, or with our build of it."""
    before = os.environ.get("PYTHONPATH", "")
    if LabelInfo is not None:
        return before
    if obstacle := message_package.obstacle():
        pytest.skip(f"vision_msgs is neither installed nor can it be built: {obstacle}")
    folder = tmp_path_factory.mktemp("messages")
    message_package.build(folder)
    return os.pathsep.join(filter(None, [str(folder), before]))


def heard(listener: Process) -> list[tuple[dict[int, str], float]]:
    lines = [
        line.removeprefix("heard ") for line in listener.output().splitlines() if line.startswith("heard ")
    ]
    return [
        ({int(index): name for index, name in names.items()}, threshold)
        for names, threshold in map(json.loads, lines)
    ]


def test_a_process_with_vision_msgs_hears_the_names(
    messages: str,
    segment: Callable[..., Process],
    user: Callable[..., User],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", messages)
    node = segment("-p", "confidence_threshold:=0.25", code=FAKE_NETWORK + MAIN)
    node.says("active: listens to")
    one = user(node)
    listener = segment(code=LISTENER, namespace=node.namespace)  # late: the message is latched
    listener.says("heard")
    assert heard(listener) == [(dict(enumerate(CAMVID.names)), 0.25)]
    assert one.set(label_remap="autoware", confidence_threshold=0.5)[0]
    one.until(lambda: len(heard(listener)) == 2, "the names after the change")
    assert heard(listener)[1] == (dict(enumerate(AUTOWARE.names)), 0.5)
    topics: dict[str, list[str]] = {}

    def found() -> bool:
        topics.update(one.user.get_topic_names_and_types())
        return f"{node.namespace}/label_info" in topics

    one.until(found, "the topic")
    assert topics[f"{node.namespace}/label_info"] == ["vision_msgs/msg/LabelInfo"]
    assert f"{node.namespace}/label_info_json" not in topics


def test_a_late_subscriber_gets_the_names(live) -> None:
    info = live().label_info()
    names = {entry["class_id"]: entry["class_name"] for entry in info["class_map"]}
    assert names == dict(enumerate(CAMVID.names))
    assert info["threshold"] == 0.0


def test_both_formats_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    names = dict(enumerate(CAMVID.names))
    installed = ModuleType("vision_msgs.msg")
    installed.LabelInfo = installed.VisionClass = SimpleNamespace
    monkeypatch.setitem(sys.modules, "vision_msgs", ModuleType("vision_msgs"))
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", installed)
    kind, topic, make = label_info_format()
    assert kind is SimpleNamespace and topic == "label_info"
    # An installation from before LabelInfo was added.
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", ModuleType("vision_msgs.msg"))
    json_kind, json_topic, make_json = label_info_format()
    assert json_kind is String and json_topic == "label_info_json"
    assert read_label_info(make(names, 0.25)) == read_label_info(make_json(names, 0.25))


@pytest.mark.skipif(LabelInfo is not None, reason="vision_msgs is installed here")
def test_without_vision_msgs_names_are_json() -> None:
    kind, topic, _ = label_info_format()
    assert kind is String and topic == "label_info_json"
