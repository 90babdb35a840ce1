"""Parameters: one table, checked at the start and live, and the file that repeats its defaults."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import rclpy
import yaml
from live import FakeSegmenter, fresh_domain, fresh_namespace
from rclpy.parameter import Parameter

from sernet_core.errors import ConfigError
from sernet_ros.segmenter_node import SegmenterNode
from sernet_ros.settings import FIELDS, Settings, fault_of, typed, unknown_overrides

CONFIG = Path(__file__).parents[2] / "config" / "segment.yaml"

BAD = [
    ("model", "", "must not be empty"),
    ("model", 3, "must be a string"),
    ("device", "gpu", "cuda:N"),
    ("engine", "tensort", "unknown value"),
    ("precision", "fp8", "unknown value"),
    ("threads", -1, "0"),
    ("threads", 1.5, "must be a whole number"),
    ("input_size", "640", "WxH"),
    ("input_size", "0x480", "WxH"),
    ("autostart", "yes", "must be true or false"),
    ("input_qos", "best_effort", "sensor_data"),
    ("output_qos", "fast", "sensor_data"),
    ("overlay_alpha", 1.5, "1"),
    ("overlay_alpha", -0.1, "0"),
    ("overlay_alpha", "half", "must be a number"),
    ("overlay_alpha", True, "must be a number"),
    ("overlay_alpha", float("nan"), "1"),
    ("publish_overlay", 1, "must be true or false"),
    ("inference_timeout", 0.0, "0.01"),
    ("diagnostics_period", 0.0, "0.1"),
    ("enable", "on", "must be true or false"),
    ("image_transport", "theora", "compressed"),
    ("mask_encoding", "png", "autoware_rle"),
    ("mask_scale", 0.0, "0.01"),
    ("mask_scale", 2.0, "1"),
    ("confidence_threshold", 1.01, "1"),
    ("max_batch", 0, "1"),
    ("roi", [1, 2, 3], "must have 4 entries"),
    ("roi", [0, 0, -1, 5], "must lie between 0"),
    ("roi", 7, "must be a list"),
    ("roi", [0.5, 0.0, 1.0, 1.0], "must be a whole number"),
    ("color_palette", [0x1000000], "16777215"),
    ("color_palette", ["red"], "must be a whole number"),
    ("cameras", ["front", "front"], "stands twice"),
    ("cameras", ["front", "/rear"], "no name that can begin a topic"),
    ("cameras", ["front camera"], "no name that can begin a topic"),
    ("cameras", "front", "must be a list"),
]


@pytest.fixture
def make_node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=fresh_domain())
    nodes = []

    def make(**values) -> SegmenterNode:
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = SegmenterNode(
            FakeSegmenter().load, context=context, namespace=fresh_namespace(), parameter_overrides=overrides
        )
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.finish()
        node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_a_bad_value_at_the_start_is_an_error_with_its_reason(make_node, name, value, words) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        make_node(**{name: value})
    assert words in str(caught.value)


@pytest.mark.parametrize(("name", "value", "words"), [entry for entry in BAD if entry[0] != "autostart"])
def test_a_bad_value_later_is_refused_and_nothing_changes(make_node, name, value, words) -> None:
    node = make_node()
    before = node.settings
    result = node.set_parameters_atomically(
        [Parameter("publish_overlay", value=False), Parameter(name, value=value)]
        if name != "publish_overlay"
        else [Parameter(name, value=value)]
    )
    assert not result.successful and name in result.reason and words in result.reason
    assert node.settings == before
    assert node.get_parameter("publish_overlay").value is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "cuda:1"),
        ("input_size", "1280x720"),
        ("input_size", "source"),
        ("overlay_alpha", 1),
        ("overlay_alpha", 0.0),
        ("inference_timeout", 600),
        ("threads", 8),
        ("roi", [1, 2, 3, 4]),
        ("cameras", ["front", "rear/left"]),
        ("color_palette", list(range(11))),
        ("label_remap", ""),
    ],
)
def test_good_values(make_node, name, value) -> None:
    settings = make_node(**{name: value}).settings
    assert getattr(settings, name) == typed(name, value)
    assert type(getattr(settings, name)) is type(getattr(Settings(), name))


def test_the_file_holds_every_parameter_at_its_default(make_node) -> None:
    values = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    assert {name: typed(name, value) for name, value in values.items()} == dataclasses.asdict(Settings())
    assert make_node(**values).settings == make_node().settings == Settings()


def test_every_parameter_explains_itself(make_node) -> None:
    node = make_node()
    for entry in dataclasses.fields(Settings):
        descriptor = node.describe_parameter(entry.name)
        assert descriptor.description
        if type(entry.default) is float:
            assert descriptor.floating_point_range
        if type(entry.default) is int:
            assert descriptor.integer_range
        assert descriptor.read_only == (FIELDS[entry.name].metadata["takes"] == "start")


def test_what_is_read_at_configure_is_refused_afterwards(make_node) -> None:
    node = make_node()
    assert node.set_parameters([Parameter("input_qos", value="reliable")])[0].successful
    assert node.start()
    result = node.set_parameters([Parameter("input_qos", value="auto")])[0]
    assert not result.successful and "clean up" in result.reason
    assert node.settings.input_qos == "reliable"
    assert node.set_parameters([Parameter("input_qos", value="reliable")])[0].successful, "no change at all"
    assert node.set_parameters([Parameter("overlay_alpha", value=0.25)])[0].successful
    assert node.settings.overlay_alpha == 0.25
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.set_parameters([Parameter("input_qos", value="auto")])[0].successful


def test_a_parameter_cannot_be_deleted(make_node) -> None:
    node = make_node()
    assert not node.set_parameters([Parameter("overlay_alpha", Parameter.Type.NOT_SET)])[0].successful
    assert node.settings.overlay_alpha == Settings().overlay_alpha


def test_a_slip_of_the_pen_is_told() -> None:
    words = unknown_overrides(["overlay_alpa", "use_sim_time", "qos_overrides./a.depth", "model"])
    assert len(words) == 1 and "Did you mean 'overlay_alpha'" in words[0]


def test_fault_of_is_empty_for_defaults() -> None:
    assert not any(fault_of(name, value) for name, value in dataclasses.asdict(Settings()).items())
