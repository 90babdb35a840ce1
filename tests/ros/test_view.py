"""The live view: what it shows, what it serves, and the page in a browser where there is one."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from live import PATIENCE, Live, User, fresh_domain, fresh_namespace, image_message
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String

from sernet_core.errors import ConfigError
from sernet_core.labels import CAMVID
from sernet_ros.bag.messages import TruthInfo, named_classes
from sernet_ros.compressed_codec import fill_compressed
from sernet_ros.viewer.listener import Listener
from sernet_ros.viewer.server import ViewServer
from sernet_ros.viewer.state import CAMERA, OVERLAY, ViewState

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def flat(shade: int, width: int = 64) -> np.ndarray:
    return np.full((48, width, 3), shade, np.uint8)


@pytest.fixture
def state() -> ViewState:
    return ViewState()


@pytest.fixture
def server(state: ViewState) -> Iterator[ViewServer]:
    one = ViewServer(state, "127.0.0.1", 0)
    yield one
    one.close()


def connect(server: ViewServer, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(
        server.address.removeprefix("http://").strip("/"), timeout=PATIENCE
    )
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def shade_after(response: http.client.HTTPResponse, before: int) -> int:
    """The shade of the first picture that is not as before: one that stays is sent again now and then."""
    while abs((shade := int(next_picture(response)[0, 0, 0])) - before) <= 2:
        pass
    return shade


def next_picture(response: http.client.HTTPResponse) -> np.ndarray:
    """The next picture of a stream, RGB."""
    length = 0
    while not length:
        line = response.readline()
        assert line, "the stream has ended"
        length = int(line.split(b":")[1]) if line.startswith(b"Content-Length") else 0
    response.readline()
    image = cv2.imdecode(np.frombuffer(response.read(length), np.uint8), cv2.IMREAD_COLOR)
    return image[:, :, ::-1]


# Parts


def test_figures_before_anything_has_come(state: ViewState) -> None:
    assert state.figures() == {
        "message": "", "classes": [], "rate_hz": None, "latency_ms": None, "stale": True, "node": {},
    }  # fmt: skip


def test_shares_and_latency_of_masks(state: ViewState) -> None:
    mask = np.full((48, 64), 3, np.uint8)
    mask[:12] = 255
    state.take_picture(CAMERA, flat(1), 7)
    state.take_mask(mask, 7)
    assert [entry["name"] for entry in state.figures()["classes"]] == ["id 3", "id 255"]
    state.take_classes(CAMVID)
    figures = state.figures()
    shares = {entry["name"]: entry["share"] for entry in figures["classes"]}
    assert shares["Road"] == 75.0 and shares["unlabeled"] == 25.0 and shares["Sky"] == 0.0
    assert figures["classes"][3]["color"] == "#804080" and not figures["stale"]
    assert figures["latency_ms"] >= 0.0 and figures["rate_hz"] is None
    state.take_mask(mask, 8)
    assert state.figures()["rate_hz"] > 0
    state.take_status("active", {"dropped": "4", "engine": "eager", "secret": "x"})
    assert state.figures()["node"] == {"engine": "eager", "dropped": "4"}
    assert state.figures()["message"] == "active"
    json.dumps(state.figures(), allow_nan=False)


def test_remapped_ids_keep_their_names(state: ViewState) -> None:
    mask = np.full((10, 10), 7, np.uint8)
    mask[0], mask[1] = 100, 9
    state.take_mask(mask, 1)
    state.take_classes(named_classes("published", ["Road", "Car"]), [7, 100])
    shares = [(entry["name"], entry["share"]) for entry in state.figures()["classes"]]
    assert shares == [("Road", 80.0), ("id 9", 10.0), ("Car", 10.0)]


def test_pictures_are_the_newest_and_encoded_once_for_all(
    state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    whole = cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda *args: encoded.append(1) or whole(*args))
    assert state.next_jpeg(CAMERA, 0, 0.01) is None
    for shade in (10, 20, 30):
        state.take_picture(CAMERA, flat(shade, width=1920), shade)
    assert not encoded, "nobody looks"
    first, second = state.next_jpeg(CAMERA, 0, 1.0), state.next_jpeg(CAMERA, 0, 1.0)
    assert first is not None and first == second and len(encoded) == 1
    image = cv2.imdecode(np.frombuffer(first[1], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] == 960 and abs(int(image[0, 0, 0]) - 30) <= 2
    assert state.next_jpeg(CAMERA, first[0], 0.01) is None
    state.close()
    assert state.next_jpeg(OVERLAY, 0, 60.0) is None, "it waits no longer"


def test_two_browsers_see_the_same_stream(state: ViewState, server: ViewServer) -> None:
    state.take_picture(OVERLAY, flat(40), 1)
    browsers = [connect(server, "/overlay") for _ in range(2)]
    for browser in browsers:
        assert browser.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        assert abs(int(next_picture(browser)[0, 0, 0]) - 40) <= 2
    state.take_picture(OVERLAY, flat(200), 2)
    for browser in browsers:
        assert abs(shade_after(browser, before=40) - 200) <= 2
        browser.close()
    # Those that went away disturb nobody.
    state.take_picture(OVERLAY, flat(90), 3)
    assert abs(int(next_picture(connect(server, "/overlay"))[0, 0, 0]) - 90) <= 2


def test_page_and_figures_are_served_and_nothing_else(server: ViewServer) -> None:
    page = connect(server, "/").read().decode()
    assert "Segmentation, live" in page
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"/camera", "/overlay"}
    assert "http://" not in page and "https://" not in page
    assert json.loads(connect(server, "/figures").read())["stale"] is True
    for path in ("/etc/passwd", "/../setup.py", "/camera/x"):
        assert connect(server, path).status == 404
    assert server.address.startswith("http://127.0.0.1:")


def test_an_address_that_cannot_be_had_is_told(server: ViewServer) -> None:
    port = int(server.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{port} .*--port"):
        ViewServer(ViewState(), "127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"cannot listen .*--port"):
        ViewServer(ViewState(), "127.0.0.1", 70000)
    # The second is kept for documentation: nobody has it.
    for host in ("no.such.host.invalid", "192.0.2.1"):
        with pytest.raises(ConfigError, match=rf"cannot listen on {host}:0 .*--host") as told:
            ViewServer(ViewState(), host, 0)
        assert "--port" not in str(told.value)


def test_pages_of_other_hosts_cannot_read_the_view(state: ViewState, server: ViewServer) -> None:
    port = server.address.rstrip("/").rpartition(":")[2]
    for path in ("/", "/figures", "/camera"):
        for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", ""):
            answer = connect(server, path, Host=host)
            assert answer.status == 403 and "--host" in answer.read().decode()
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST"):
        assert connect(server, "/figures", Host=host).status == 200
    # Opened to the network it has whatever names the network gives it.
    everywhere = ViewServer(state, "0.0.0.0", 0)
    try:
        assert connect(everywhere, "/figures", Host="robot.example:9000").status == 200
    finally:
        everywhere.close()


@pytest.mark.parametrize("names", [["Car", "Car"], [""], []])
def test_names_that_nobody_can_tell_apart_leave_the_earlier_ones(
    state: ViewState, names: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    rclpy.init(domain_id=fresh_domain())
    listener = Listener(state)
    try:
        listener._on_label_json(String(data=TruthInfo(CAMVID).to_json()))
        earlier = state.figures()["classes"]
        entries = [{"class_id": index, "class_name": name} for index, name in enumerate(names)]
        listener._on_label_json(String(data=json.dumps({"class_map": entries})))
        listener._on_labels(SimpleNamespace(class_map=[SimpleNamespace(**entry) for entry in entries]))
        assert state.figures()["classes"] == earlier and len(earlier) == 11
    finally:
        listener.destroy_node()
        rclpy.shutdown()
    assert capfd.readouterr().err.count("the class names are not understood, earlier ones stay") == 2


# As a process over DDS


@pytest.fixture
def user() -> Iterator[User]:
    one = User(fresh_namespace())
    yield one
    one.end()


@contextmanager
def viewing(namespace: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A view of a namespace, and its address."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sernet_ros.view",
            "--port",
            "0",
            "--ros-args",
            "-r",
            f"__ns:={namespace}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "ROS_DOMAIN_ID": str(fresh_domain()), "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout
    try:
        for line in process.stdout:
            if line.startswith("view: http"):
                yield process, line.split()[1]
                break
        else:
            raise AssertionError("the view did not start")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def fetch(address: str) -> dict:
    connection = http.client.HTTPConnection(address.removeprefix("http://").strip("/"), timeout=PATIENCE)
    connection.request("GET", "/figures")
    return json.loads(connection.getresponse().read())


def show(user: User, address: str) -> None:
    """Publish as a camera and a node do until the view has it."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    labels = user.user.create_publisher(String, "label_info_json", latched)
    labels.publish(String(data=TruthInfo(CAMVID).to_json()))
    masks, overlays = (
        user.user.create_publisher(Image, topic, 5) for topic in ("semantic_mask", "semantic_overlay")
    )
    mask = np.full((48, 64), 3, np.uint8)
    mask[:24] = 0
    street = np.full((48, 64, 3), (90, 110, 140), np.uint8)
    deadline = time.monotonic() + PATIENCE
    while True:
        header = user.send(street).header
        for publisher, array, kind in (
            (masks, mask, "mono8"), (overlays, CAMVID.colorize(mask), "rgb8"),
        ):  # fmt: skip
            message = image_message(array, kind)
            message.header = header
            publisher.publish(message)
        user.until(lambda: True)
        figures = fetch(address)
        names = [entry["name"] for entry in figures["classes"]]
        if names[:1] == ["Sky"] and figures["latency_ms"] is not None and figures["rate_hz"]:
            return
        assert time.monotonic() < deadline, figures
        time.sleep(0.1)


def test_a_view_shows_what_a_node_publishes(user: User, tmp_path: Path) -> None:
    with viewing(user.namespace) as (process, address):
        show(user, address)
        shares = {entry["name"]: entry["share"] for entry in fetch(address)["classes"]}
        assert shares["Sky"] == shares["Road"] == 50.0
        if CHROMIUM:
            picture = screenshot(address, tmp_path / "view.png")
            # Camera and overlay are on it, and the bars in the classes' colours.
            for color in ((90, 110, 140), CAMVID.palette[0], CAMVID.palette[3]):
                near = np.abs(picture.astype(int) - color).max(2) <= 6
                assert near.sum() > 500, color
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_a_view_follows_one_of_several_compressed_cameras_with_masks_for_autoware(live) -> None:
    one: Live = live(
        start=False,
        cameras=["front", "rear"],
        image_transport="compressed",
        mask_encoding="autoware_rle",
    )
    assert one.change_state("configure") and one.change_state("activate")
    cameras = {
        name: one.user.create_publisher(CompressedImage, f"{name}/image/compressed", 5)
        for name in ("front", "rear")
    }
    # Green 100 is class 3; two thirds of the front camera's picture are.
    street = np.full((48, 64, 3), (90, 100, 140), np.uint8)
    street[:16] = (200, 10, 30)
    pictures = {"front": street, "rear": flat(255)}
    with viewing(f"{one.namespace}/front") as (_, address):

        def shown() -> bool:
            one.sent += 1
            for name, camera in cameras.items():
                header = Header(stamp=Time(sec=one.sent))
                camera.publish(fill_compressed(CompressedImage(), pictures[name], header))
            figures = fetch(address)
            # Names come on a topic of their own.
            named = "Road" in {entry["name"] for entry in figures["classes"]}
            return bool(figures["node"] and figures["latency_ms"] is not None and named)

        one.until(shown, "figures of the front camera", 2 * PATIENCE)
        figures = fetch(address)
        assert figures["node"]["engine"] == "fake" and "dropped" in figures["node"]
        shares = {entry["name"]: entry["share"] for entry in figures["classes"]}
        assert shares["Road"] == 66.67 and shares["Sky"] == 33.33, shares
        server = address.removeprefix("http://").strip("/")
        connection = http.client.HTTPConnection(server, timeout=PATIENCE)
        connection.request("GET", "/camera")
        seen = next_picture(connection.getresponse())
        assert np.abs(seen[40, 32].astype(int) - (90, 100, 140)).max() <= 6


def screenshot(address: str, path: Path) -> np.ndarray:
    """The page as a browser shows it after a while, RGB."""
    assert CHROMIUM
    # Virtual time would wait for the streams to end, which they never do.
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--window-size=1000,900", "--timeout=4000", f"--screenshot={path}", address]
    subprocess.run(command, capture_output=True, timeout=PATIENCE + 30, check=True)
    return cv2.imread(str(path))[:, :, ::-1]
