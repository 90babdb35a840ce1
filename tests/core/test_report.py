"""The report page, its charts, the contact sheet and the video."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sernet_core.errors import InputError
from sernet_core.labels import CAMVID
from sernet_core.report import Exhibit, Exhibits, OverlayVideo, contact_sheet, render_page
from sernet_core.report.boxes import NEEDED, box_chart
from sernet_core.report.charts import histogram, line_chart, scatter_chart
from sernet_core.report.facts import machine, versions
from sernet_core.report.sheet import TILE_WIDTH

REPORT = {
    "created": "2031-05-06 10:20 UTC",
    "headline": "2 of 3 frames answered (66.7 %, at least 60 % asked for)",
    "passed": True,
    "reasons": [],
    "miou": 71.3217,
    "iou": {name: 10.0 + 7.25 * index for index, name in enumerate(CAMVID.names)} | {"Fence": None},
    "pixel_accuracy": 88.4444,
    "class_accuracy": 75.0,
    "accuracy_note": "2 masks scored.",
    "frames": {"sent": 3, "answered": 2, "dropped": 1, "unmatched": 0, "duplicates": 0, "scored": 2},
    "answered_percent": 66.67,
    "latency_ms": {"p50": 412.0, "p95": 519.0, "p99": 519.0, "mean": 465.5, "max": 519.0},
    "stages_ms": {"inference": {"p50": 380.0, "p95": 500.0, "p99": 501.0}},
    "rates_hz": {"asked": 1.5, "sent": 1.498, "answered": 1.0, "one_by_one": None},
    "model": "sernet-r50-camvid",
    "engine": "eager",
    "device": "cpu",
    "precision": None,
    "notice": "Weights: <research> only.",
    "classes": dict.fromkeys(CAMVID.names, "#112233"),
    "source": {"name": "camvid/val <&>", "size": "480x360"},
    "machine": machine(),
    "versions": versions(),
    "node": {"state": "active"},
    "timeline": [
        {"frame": "a", "t_s": 0.0, "latency_ms": 412.0},
        {"frame": "b", "t_s": 0.7, "latency_ms": None},
        {"frame": "c", "t_s": 1.4, "latency_ms": 519.0},
    ],
    "usage": [{"t_s": 0.5 * i, "cpu_percent": 90.0 + i, "memory_mb": 700.0} for i in range(4)],
    "video_note": "Played at 15 frames a second.",
}


class _Page(HTMLParser):
    """Collects what a browser would load, the tags, and the visible words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            value or "" for name, value in attrs if name in ("src", "href", "data", "poster", "srcset")
        ]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data + " "


def page_of(report: dict, **pictures: bytes) -> tuple[str, _Page]:
    # What the page shows must survive the way through report.json.
    text = render_page(json.loads(json.dumps(report)), **pictures)
    return text, _Page(text)


def test_page_is_self_contained() -> None:
    text, page = page_of(REPORT, sheet=b"jpeg", video=b"webm")
    assert sorted(load.partition(",")[0] for load in page.loads) == [
        "data:image/jpeg;base64",
        "data:video/webm;base64",
    ]
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text


def test_page_shows_the_figures_of_the_report() -> None:
    _, page = page_of(REPORT)
    for figure in ("71.3", "66.7", "2 of 3 frames", "412", "519", "1.50", "88.4", *CAMVID.names):
        assert figure in page.words, figure
    for name, value in REPORT["iou"].items():
        shown = "\N{EN DASH}" if value is None else f"{value:.1f}"
        assert f"{name} {shown}" in " ".join(page.words.split())
    assert "Weights: <research> only." in page.words
    assert "camvid/val <&>" in page.words


def test_page_shows_what_was_unusual_but_not_without_end() -> None:
    _, page = page_of(REPORT | {"notes": ["metadata.yaml is <missing>"], "unreadable": ["a.png: torn"]})
    assert "metadata.yaml is <missing>" in page.words and "Not read: a.png: torn" in page.words
    _, page = page_of(REPORT | {"unreadable": [f"f{index}: torn" for index in range(100)]})
    assert "f29: torn" in page.words and "f30: torn" not in page.words
    assert "and 70 more in report.json" in page.words
    _, page = page_of(REPORT)
    assert "Notes" not in page.words


def test_page_of_a_failed_run_without_truth() -> None:
    report = copy.deepcopy(REPORT)
    report |= {
        "passed": False,
        "reasons": ["the node answered 0.0 % of the frames"],
        "miou": None,
        "iou": None,
        "pixel_accuracy": None,
        "accuracy_note": "This source has no ground truth.",
        "latency_ms": dict.fromkeys(("p50", "p95", "p99", "mean", "max")),
        "timeline": [],
        "usage": [],
        "rates_hz": dict.fromkeys(("asked", "sent", "answered", "one_by_one")),
        "notice": "",
    }
    _, page = page_of(report)
    assert "failed" in page.words and "answered 0.0 %" in page.words
    assert "no ground truth" in page.words and "mIoU" not in page.words
    assert not page.loads


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=40),
    st.lists(st.floats(0, 1e6), max_size=5),
)
def test_charts_are_well_formed_and_inside_their_frame(
    points: list[tuple[float, float]], misses: list[float]
) -> None:
    points.sort()
    line = line_chart(points, x_label="t <s>", y_label="y", levels=[("p50", 3.0)], misses=misses)
    bars = histogram([y for _, y in points], x_label="ms", y_label="frames")
    for chart, marks, expected in ((line, "circle", len(points)), (bars, "rect", None)):
        svg = ElementTree.fromstring(chart)
        found = list(svg.iter(marks))
        assert expected is None or len(found) == expected
        for mark in found:
            assert -1 <= float(mark.get("cx") or mark.get("x")) <= 641
            assert -1 <= float(mark.get("cy") or mark.get("y")) <= 231
    if points:
        counts = [int(title.text) for title in ElementTree.fromstring(bars).iter("title")]
        assert sum(counts) == len(points)
        x, y = points[0]
        (title, *_) = ElementTree.fromstring(line).iter("title")
        assert title.text == f"t <s>: {round(x, 2):g}; y: {round(y, 2):g}"


SPREAD = st.lists(st.floats(0, 1e6), min_size=6, max_size=6)


@given(st.lists(SPREAD, min_size=1, max_size=9))
def test_boxes_show_each_stage_inside_the_frame(spreads: list[list[float]]) -> None:
    rows: dict[str, dict[str, float | None]] = {
        f"<{number}>": dict(zip(NEEDED, sorted(spread), strict=True)) for number, spread in enumerate(spreads)
    }
    chart = box_chart({**rows, "of an older node": {"p50": 1.0, "p95": 2.0, "p99": None}}, x_label="ms")
    svg = ElementTree.fromstring(chart)
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    boxes, dots = list(svg.iter("rect")), list(svg.iter("circle"))
    medians = [path for path in svg.iter("path") if path.get("class") == "median"]
    assert len(boxes) == len(dots) == len(medians) == len(rows)
    for box, median, dot in zip(boxes, medians, dots, strict=True):
        left, extent = float(box.attrib["x"]), float(box.attrib["width"])
        middle, right = float(median.attrib["d"][1:].split()[0]), float(dot.attrib["cx"])
        assert 116 <= left <= middle + 0.1 and middle <= left + extent + 0.2 <= right + 0.4
        assert extent >= 0 and right <= width
        assert float(box.attrib["y"]) >= 0 and float(box.attrib["y"]) + float(box.attrib["height"]) < height
    assert 1 <= sum(line.get("class") == "grid" for line in svg.iter("line")) <= 12


def test_equal_values_lie_at_equal_places() -> None:
    spread = dict(zip(NEEDED, (1.0, 10.0, 10.0, 100.0, 100.0, 1000.0), strict=True))
    svg = ElementTree.fromstring(box_chart({"a": spread}, x_label="ms"))
    (box,), (dot,) = svg.iter("rect"), svg.iter("circle")
    ticks = {text.text: float(text.attrib["x"]) for text in svg.iter("text") if text.get("class") == "tick"}
    assert float(box.attrib["x"]) == ticks["10"] and float(dot.attrib["cx"]) == ticks["1000"]
    assert float(box.attrib["x"]) + float(box.attrib["width"]) == pytest.approx(ticks["100"], abs=0.2)


def test_the_page_has_boxes_where_the_stages_have_quartiles() -> None:
    text, _ = page_of(REPORT)
    assert 'class="box"' not in text
    spread = dict(zip(NEEDED, (310.0, 350.0, 380.0, 400.0, 500.0, 501.0), strict=True))
    text, page = page_of(
        {**REPORT, "stages_ms": {"inference": spread}, "latency_ms": {**REPORT["latency_ms"], **spread}}
    )
    assert text.count('class="box"') == 2 and "middle half of the frames" in page.words


def exhibit(number: int, size: tuple[int, int] = (TILE_WIDTH, 200), truth: bool = True) -> Exhibit:
    width, height = size
    image = np.full((height, width, 3), number % 250, np.uint8)
    mask = np.full((height, width), number % 11, np.uint8)
    return Exhibit(str(number), image, mask, mask.copy() if truth else None, image.copy())


@given(st.integers(0, 300), st.integers(1, 8))
def test_exhibits_are_spread_over_the_run(count: int, wanted: int) -> None:
    exhibits = Exhibits(wanted)
    for number in range(count):
        exhibits.offer(exhibit(number, (TILE_WIDTH, 2)))
    chosen = [int(shown.caption) for shown in exhibits.chosen()]
    assert len(chosen) == min(count, wanted)
    assert chosen == sorted(set(chosen))
    if wanted > 1 and count > wanted:
        gaps = np.diff([*chosen, count])
        assert chosen[0] == 0 and gaps.max() <= 4 * count / wanted


@pytest.mark.parametrize(("truth", "columns"), [(True, 4), (False, 3)])
def test_contact_sheet_shows_masks_in_their_colours(truth: bool, columns: int) -> None:
    sheet = contact_sheet([exhibit(3, truth=truth), exhibit(5, truth=truth)], CAMVID, "title")
    assert sheet.dtype == np.uint8 and sheet.shape[1] == columns * (TILE_WIDTH + 10) + 10
    prediction = sheet[:, (columns - 2) * (TILE_WIDTH + 10) + 10 + TILE_WIDTH // 2]
    for class_id in (3, 5):
        assert (prediction == CAMVID.palette[class_id]).all(axis=1).sum() >= 200


def test_contact_sheet_of_large_and_narrow_frames() -> None:
    sheet = contact_sheet([exhibit(1, (1920, 1080)), exhibit(2, (100, 300))], CAMVID, "sizes")
    assert sheet.shape[1] == 4 * (TILE_WIDTH + 10) + 10
    with pytest.raises(InputError, match="at least one"):
        contact_sheet([], CAMVID, "none")


def test_video_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "overlay.webm"
    shades = (40, 120, 200)
    with OverlayVideo(path, 15.0) as video:
        for shade in shades:
            # Red alone: swapped channels would come back as blue.
            frame = np.zeros((61, 81, 3), np.uint8)
            frame[..., 0] = shade
            video.write(frame)
        video.write(np.zeros((33, 33, 3), np.uint8))  # a size change in mid-stream
        assert video.frames == 4
    assert path.read_bytes()[:4] == b"\x1a\x45\xdf\xa3" and b"webm" in path.read_bytes()[:64]
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(15.0, abs=0.1)
    for shade in shades:
        read, frame = capture.read()
        assert read and frame.shape == (60, 80, 3)
        blue, _, red = frame.reshape(-1, 3).mean(axis=0)
        assert abs(red - shade) < 20 and blue < 30
    assert capture.read()[0] and not capture.read()[0]


def test_wide_video_is_scaled_down(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / "wide.webm", 30.0, max_width=96) as video:
        video.write(np.zeros((100, 200, 3), np.uint8))
    capture = cv2.VideoCapture(str(tmp_path / "wide.webm"))
    assert capture.read()[1].shape == (48, 96, 3)


def test_video_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    video = OverlayVideo(tmp_path / "missing" / "v.webm", 15.0)
    with pytest.raises(InputError, match="cannot be written"):
        video.write(np.zeros((8, 8, 3), np.uint8))


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from sernet_core.errors import InputError
from sernet_core.report import OverlayVideo
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0)
try:
    with OverlayVideo(Path(sys.argv[1]), 15.0) as video:
        for _ in range(30):
            video.write(noise.integers(0, 256, (64, 96, 3), np.uint8))
except InputError as error:
    print(error)
"""


def test_video_that_breaks_off_leaves_the_old_one(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    path = tmp_path / "v.webm"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True)
    assert f"{path}: the video could not be written to its end" in done.stdout, done.stderr
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_an_interrupted_video_is_absent(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), OverlayVideo(tmp_path / "v.webm", 15.0) as video:
        video.write(np.zeros((64, 96, 3), np.uint8))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_no_video_without_frames(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / "none.webm", 15.0):
        pass
    assert not (tmp_path / "none.webm").exists()


def test_facts_name_the_machine() -> None:
    assert machine()["processor"] and int(machine()["cores"]) >= 1
    assert {"python", "numpy"} <= versions().keys()


def test_scatter_chart_places_and_names_its_points() -> None:
    chart = ElementTree.fromstring(
        scatter_chart([(10, 50, "slow & good"), (5, 25, "fast")], x_label="ms", y_label="%")
    )
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in chart.iter("circle")]
    names = [text.text for text in chart.iter("text") if text.text in ("fast", "slow & good")]
    assert names == ["fast", "slow & good"]  # from left to right
    (fast_x, fast_y), (slow_x, slow_y) = dots
    origin_x, origin_y = 60, 230 - 40
    assert (slow_x - origin_x) == pytest.approx(2 * (fast_x - origin_x), abs=0.3)
    assert (origin_y - slow_y) == pytest.approx(2 * (origin_y - fast_y), abs=0.3)
    near = ElementTree.fromstring(scatter_chart([(10, 77, "a"), (90, 74, "b")], x_label="ms", y_label="%"))
    first, second = (float(dot.get("cy")) for dot in near.iter("circle"))
    assert second - first > 20  # points of a few percent are told apart
    (name,) = (text for text in near.iter("text") if text.text == "a")
    assert name.get("text-anchor") == "start"  # at the left end it does not leave the chart
    assert "Nothing was measured" in scatter_chart([], x_label="", y_label="")
