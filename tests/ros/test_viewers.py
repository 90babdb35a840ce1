"""The ready-made views for Foxglove and rviz: what they name is there, as shipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from live import Live

from sernet_core.labels import CAMVID
from sernet_ros.bag.formats import COMPRESSED_TYPE, IMAGE_TYPE
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.bag.reader import Bag
from sernet_ros.bag.record import record_answers
from sernet_ros.bag.topics import TopicChoice
from sernet_ros.package_files import config_file
from sernet_ros.recording import CONFIDENCE, MASK, OVERLAY
from sernet_ros.sources import SyntheticOptions, open_source

LAUNCH = Path(__file__).parents[2] / "launch" / "segment.launch.py"
CAMERA = "/camera/image_raw"


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, str]:
    """Topics, with their types, of a recording made and answered with nothing but defaults."""
    source = open_source("synthetic", None, SyntheticOptions(size=(96, 64), frames=1))
    write_bag(source, RecordingOptions(), tmp_path / "bag")
    choice, size = TopicChoice(), (64, 96)
    with record_answers(tmp_path / "bag", choice, tmp_path / "new", CAMVID, lambda words: None) as recorder:
        for name, shape in ((MASK, size), (CONFIDENCE, size), (OVERLAY, (*size, 3))):
            recorder.take(name, 10**9, "camera", np.zeros(shape, np.uint8))
    return {topic.name: topic.type for topic in Bag(tmp_path / "new").topics.values()}


@pytest.fixture
def published(live: Any) -> dict[str, str]:
    """Topics of the node with its default parameters, where the launch file puts them; and its camera."""
    one: Live = live()
    found: list[tuple[str, list[str]]] = []

    def ask() -> list[tuple[str, list[str]]]:
        found[:] = one.user.get_publisher_names_and_types_by_node("sernet_segmenter", one.namespace)
        return [name for name, _ in found if name.endswith(OVERLAY)]

    one.until(ask, "the node's topics")
    assert '"camera/image_raw"' in LAUNCH.read_text(), "the launch file's own camera"
    names = {name.removeprefix(one.namespace): kinds[0] for name, kinds in found}
    return {CAMERA: IMAGE_TYPE, **names}


def read(name: str) -> str:
    path = config_file(name)
    assert path is not None
    return path.read_text()


def panels(place: Any) -> Iterator[str]:
    """The panels of a layout: one, or two with a line between them."""
    if isinstance(place, str):
        yield place
        return
    assert place["direction"] in ("row", "column") and 0 < place["splitPercentage"] < 100
    yield from panels(place["first"])
    yield from panels(place["second"])


def test_the_foxglove_layout_names_what_is_there(recorded: dict[str, str], published: dict[str, str]) -> None:
    layout = json.loads(read("foxglove.json"))
    assert {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"} == set(layout)
    configs = layout["configById"]
    tabs = {tab["title"]: list(panels(tab["layout"])) for tab in configs[layout["layout"]]["tabs"]}
    assert set(configs) == {layout["layout"], *tabs["Recording"], *tabs["Live"]}, "each panel once"
    for title, topics in (("Recording", recorded), ("Live", published)):
        for panel in tabs[title]:
            config, (kind, _) = configs[panel], panel.split("!")
            if kind == "DiagnosticSummary":
                assert topics[config["topicToRender"]] == "diagnostic_msgs/msg/DiagnosticArray"
            else:
                assert kind == "Image"
                assert topics[config["imageMode"]["imageTopic"]] in (IMAGE_TYPE, COMPRESSED_TYPE)
    assert len(tabs["Recording"]) == len(tabs["Live"]) == 4


def test_the_rviz_config_names_what_is_there(recorded: dict[str, str], published: dict[str, str]) -> None:
    *displays, group = yaml.safe_load(read("segment.rviz"))["Visualization Manager"]["Displays"]
    assert group["Class"] == "rviz_common/Group" and group["Name"] == "Recording"
    assert [one["Name"] for one in displays if one["Enabled"]] == ["Camera", "Overlay"]
    for shown, topics in ((displays, published), (group["Displays"], recorded)):
        for one in shown:
            assert one["Class"] == "rviz_default_plugins/Image"
            topic = one["Topic"]
            assert topics[topic["Value"]] in (IMAGE_TYPE, COMPRESSED_TYPE)
            # What any publisher can be received with.
            assert (topic["Reliability Policy"], topic["Durability Policy"]) == ("Best Effort", "Volatile")
