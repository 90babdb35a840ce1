"""The live node over DDS, with a network whose masks a test can compute."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from live import FakeSegmenter, Live, array_of, expected_mask, image_message, picture

from sernet_core.labels import CAMVID, overlay
from sernet_core.relabel import Labeling
from sernet_ros.image_codec import ENCODINGS, to_rgb


def test_masks_are_pixel_exact_and_carry_the_header_of_their_image(live) -> None:
    one: Live = live()
    for seed in range(5):
        image = picture(seed=seed)
        sent = one.send(image)
        one.until(lambda seed=seed: len(one.masks) == seed + 1, "the mask")
        mask = one.masks[-1]
        assert mask.header == sent.header
        assert (mask.encoding, mask.height, mask.width, mask.step) == ("mono8", 48, 64, 64)
        np.testing.assert_array_equal(array_of(mask), expected_mask(image))
    assert one.segmenter.warm


def test_every_encoding_arrives(live) -> None:
    one: Live = live()
    for number, encoding in enumerate(ENCODINGS):
        wide = encoding.endswith("16") + 1
        samples = 3 if "rgb" in encoding or "bgr" in encoding or encoding == "8UC3" else 1
        samples = 4 if "rgba" in encoding or "bgra" in encoding else samples
        samples = 2 if "yuv" in encoding or "uyvy" in encoding or "yuyv" in encoding else samples
        samples = 1 if encoding.startswith("bayer") else samples
        rows = 72 if encoding.startswith("nv") else 48
        raw = picture(rows, 64 * samples * wide, seed=number)[..., 0]
        sent = {"height": 48, "width": 64, "padding": number % 5, "is_bigendian": number % 2}
        mask = one.ask(raw, encoding, **sent)
        expected = expected_mask(to_rgb(image_message(raw, encoding, **sent)))
        np.testing.assert_array_equal(array_of(mask), expected, err_msg=encoding)


def test_the_size_may_change_in_mid_stream(live) -> None:
    one: Live = live()
    for height, width in [(48, 64), (30, 70), (120, 160), (1, 1), (48, 64)]:
        image = picture(height, width, seed=height)
        mask = one.ask(image)
        np.testing.assert_array_equal(array_of(mask), expected_mask(image))


def test_a_burst_while_the_network_is_busy_leaves_the_newest(live) -> None:
    one: Live = live(inference_timeout=60.0)
    one.ask(picture())
    one.segmenter.seen.clear()
    one.segmenter.gate.clear()
    blocker = picture()
    blocker[0, 0, 0] = 200
    one.send(blocker)
    one.until(lambda: one.segmenter.seen == [200], "the network is busy")
    before = int(one.values().get("received", 0))
    for number in range(100):
        image = picture(seed=number)
        image[0, 0, 0] = number
        one.send(image)
        one.until(lambda: True)
    last = one.sent
    one.until(
        lambda: one.node._worker._slots[0] and one.node._worker._slots[0].message.header.stamp.sec == last
    )
    one.segmenter.gate.set()
    one.until(lambda: one.masks[-1].header.stamp.sec == last, "the newest")
    one.counted("answered", 3)
    assert one.segmenter.seen == [200, 99]
    values = one.values()
    assert int(values["dropped"]) == int(values["received"]) - 3
    assert int(values["received"]) > before


def test_the_overlay_is_the_blend_and_has_the_header(live) -> None:
    one: Live = live(overlay=True, overlay_alpha=0.3)
    image = picture()
    one.until(lambda: one.node._channels[0]._publishers.wanted("semantic_overlay"))
    one.until(lambda: one.user.count_publishers("semantic_overlay") > 0)
    for alpha in (0.3, 0.8):
        assert one.set(overlay_alpha=alpha)[0]
        sent = one.send(image)
        one.until(lambda sent=sent: one.overlays and one.overlays[-1].header == sent.header, "overlay")
        assert one.overlays[-1].encoding == "rgb8"
        expected = overlay(image, expected_mask(image), CAMVID, alpha)
        np.testing.assert_array_equal(array_of(one.overlays[-1]), expected)
    assert one.set(publish_overlay=False)[0]
    count = len(one.overlays)
    one.ask(image)
    one.ask(image)
    assert len(one.overlays) == count


def test_no_overlay_is_made_while_nobody_looks(live, monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_be_called(*_):
        raise AssertionError("an overlay nobody looks at")

    monkeypatch.setattr(Labeling, "overlay", must_not_be_called)
    one: Live = live()
    one.ask(picture())
    one.ask(picture())
    one.counted("answered", 2)
    assert one.values()["failed"] == "0"


def test_rejections_are_counted_by_reason_and_the_node_goes_on(live) -> None:
    one: Live = live()
    image = picture()
    one.ask(image)
    wrong = [
        ("depth_image", {"encoding": "16UC1"}, "16UC1"),
        ("depth_image", {"encoding": "32FC1"}, "32FC1"),
        ("unknown_encoding", {"encoding": "rgb9"}, "rgb9"),
        ("zero_size", {"width": 0}, "0x48"),
        ("bad_step", {"step": 5}, "step"),
        ("wrong_data_size", {"height": 47}, "data"),
        ("odd_size", {"encoding": "yuyv", "width": 63}, "yuyv"),
        ("too_small", {"encoding": "bayer_rggb8", "width": 2}, "bayer_rggb8"),
    ]
    for number, (reason, changes, words) in enumerate(wrong):
        one.send(image, changes.pop("encoding", "rgb8"), **changes)
        one.until(
            lambda words=words: (
                one.statuses["camera"].message.startswith("image rejected: ")
                and words in one.statuses["camera"].message
            ),
            f"{reason} is told",
        )
        assert one.statuses["camera"].level == DiagnosticStatus.WARN
        one.counted("rejected", number + 1)
        assert f"rejected.{reason}" in one.values()
    assert one.values()["rejected.depth_image"] == "2"
    assert len(one.masks) == 1
    one.ask(image)
    one.level(DiagnosticStatus.OK)


def test_diagnostics_have_rates_and_latencies(live) -> None:
    one: Live = live()
    for _ in range(10):
        one.ask(picture())
    one.counted("answered", 10)
    values = one.values()
    assert float(values["input_hz"]) > 0 and float(values["output_hz"]) > 0
    for stage in ("wait", "decode", "inference", "publish", "total", "age"):
        spread = [float(values[f"{stage}_ms.p{share}"]) for share in (5, 25, 50, 75, 95, 99)]
        assert spread[0] >= 0 and spread == sorted(spread)
    assert values["engine"] == "fake" and values["device"] == "cpu" and values["state"] == "active"
    assert one.statuses["worker"].hardware_id == "cpu" and float(values["memory_mb"]) > 1


def test_a_silent_camera_is_told(live) -> None:
    one: Live = live()
    one.until(lambda: one.status.level == DiagnosticStatus.WARN and "no image yet" in one.status.message)
    assert one.values()["stale"] == "true"
    one.ask(picture())
    one.level(DiagnosticStatus.OK)
    one.until(lambda: "no image for" in one.status.message, "stale input")


def test_overload_is_told_with_its_figures(live) -> None:
    one: Live = live(inference_timeout=60.0)
    one.until(lambda: one.node._channels[0]._input.reliable)
    one.ask(picture())
    one.segmenter.gate.clear()
    counts = one.node._channels[0].monitor._counts
    for _ in range(10):
        received = counts.received
        one.send(picture())
        one.until(lambda received=received: counts.received > received, "it arrives")
    one.counted("dropped", 8)
    one.segmenter.gate.set()
    one.until(lambda: "overload: " in one.status.message, "the overload is told")
    assert "images a second are dropped; the network takes" in one.status.message
    assert one.status.level == DiagnosticStatus.WARN and float(one.values()["dropped_hz"]) > 0
    one.until(lambda: "overload: " not in one.status.message, "and forgotten when it is over")


def test_diagnostics_period_changes_live(live) -> None:
    one: Live = live(diagnostics_period=60.0)
    assert not one.status.name
    assert one.set(diagnostics_period=0.1)[0]
    one.until(lambda: one.status.name, "a report long before the old period is over")


def test_enable_stops_and_resumes(live) -> None:
    one: Live = live()
    one.ask(picture())
    response = one.enable(False)
    assert response.success and response.message == "disabled"
    assert one.node.get_parameter("enable").value is False
    count = len(one.masks)
    for _ in range(5):
        one.send(picture())
    one.until(lambda: "disabled" in one.status.message)
    assert len(one.masks) == count and one.values()["received"] == "1"
    assert one.set(enable=True)[0]
    one.ask(picture())
    one.level(DiagnosticStatus.OK)


def test_lifecycle(live) -> None:
    one: Live = live()
    one.ask(picture())
    assert one.change_state("deactivate")
    assert one.node.state == "inactive"
    one.until(lambda: one.camera.get_subscription_count() == 0, "unsubscribed")
    one.until(lambda: one.values().get("state") == "inactive")
    assert one.change_state("activate")
    one.connect()
    one.ask(picture())
    assert one.change_state("deactivate") and one.change_state("cleanup")
    assert one.node.state == "unconfigured" and one.node._network is None
    one.until(lambda: one.user.count_publishers("semantic_mask") == 0)
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    one.ask(picture())
    assert one.change_state("shutdown", 7)
    assert one.node.state == "finalized"


def test_cleanup_frees_the_network(live) -> None:
    loaded: list[weakref.ref[FakeSegmenter]] = []

    def load(model: str, **_) -> FakeSegmenter:
        segmenter = FakeSegmenter()
        loaded.append(weakref.ref(segmenter))
        return segmenter.load(model)

    one: Live = live(load=load)
    one.ask(picture())
    assert one.change_state("deactivate") and one.change_state("cleanup")
    gc.collect()
    assert loaded[0]() is None


def test_an_impossible_transition_is_refused_and_the_node_lives(live) -> None:
    one: Live = live()
    assert not one.change_state(number=1)  # configure, while active
    assert not one.change_state(number=99)
    assert not one.change_state("fly")
    assert one.node.state == "active"
    one.ask(picture())
