"""What reports say of single frames, of several recordings and of two models: charts, tables, pages."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from test_report import REPORT

from sernet_core.labels import CAMVID
from sernet_core.report import Exhibit, Exhibits, RankedExhibits, render_page
from sernet_core.report.areas import confusion_table, stacked_areas
from sernet_core.report.charts import line_chart, thinned
from sernet_core.report.summary import render_summary


def exhibit(number: int) -> Exhibit:
    image = np.full((24, 32, 3), number % 256, np.uint8)
    return Exhibit(str(number), image, image[:, :, 0] % 11)


def test_thinning_keeps_every_peak() -> None:
    rng = np.random.default_rng(0)
    points = [(float(x), float(y)) for x, y in enumerate(rng.random(50_000))]
    points[31_234] = (31_234.0, 9.0)
    points[41_234] = (41_234.0, -9.0)
    kept = thinned(points)
    assert 1000 < len(kept) <= 2000 and kept == sorted(kept) and set(kept) <= set(points)
    assert points[31_234] in kept and points[41_234] in kept
    assert thinned(points[:2000]) == points[:2000]
    misses = [float(x) for x in range(100_000)]
    assert len(line_chart(points, x_label="x", y_label="y", misses=misses)) < 1_500_000


def test_areas_stand_on_each_other() -> None:
    chart = stacked_areas(
        [0.0, 1.0, 2.0], [[60, 40], [50, 50], [10, 90]], ["#112233", "#445566"], x_label="time, s"
    )
    polygons = [element for element in ElementTree.fromstring(chart) if element.tag == "polygon"]
    assert [polygon.get("fill") for polygon in polygons] == ["#112233", "#445566"]
    heights = []
    for polygon in polygons:
        places = [tuple(map(float, pair.split(","))) for pair in polygon.get("points", "").split()]
        top, floor = places[:3], list(reversed(places[3:]))
        heights.append([low[1] - high[1] for high, low in zip(top, floor, strict=True)])
    full = np.array(heights).sum(0)
    np.testing.assert_allclose(full, full[0], atol=0.2)
    np.testing.assert_allclose(heights[0] / full, [0.6, 0.5, 0.1], atol=0.01)
    for moments in ([], [1.0], [2.0, 2.0]):
        assert "Nothing was measured" in stacked_areas(moments, [[1.0]] * len(moments), ["#000"], x_label="x")


def test_the_confusion_table_shows_parts_of_the_true_class() -> None:
    table = confusion_table([[90, 8, 2], [0, 0, 0]], ["Road", "<Car>"])
    rows = re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", table)[1:]
    assert [name for name, _ in rows] == ["Road", "&lt;Car&gt;"]
    assert re.findall(r">([\d.]*)</td>", rows[0][1]) == ["90", "8.0", "2.0"]
    assert re.findall(r">([\d.]*)</td>", rows[1][1]) == ["", "", ""]
    assert rows[0][1].count("cell right") == 1


def captions(exhibits: list[Exhibit]) -> list[int]:
    return [int(one.caption) for one in exhibits]


def test_the_worst_and_the_median_frames_are_kept() -> None:
    scores = np.random.default_rng(1).permutation(400) / 4.0
    ranked = RankedExhibits(wanted=3)
    for number, score in enumerate(scores):
        ranked.offer(exhibit(number), float(score))
    assert captions(ranked.worst()) == list(np.argsort(scores)[:3])
    found = scores[captions(ranked.median())]
    assert len(found) == 3 and np.abs(found - np.median(scores)).max() < 5.0


def test_parts_of_a_run_merge() -> None:
    whole, parts = RankedExhibits(), [RankedExhibits(), RankedExhibits()]
    for number in range(60):
        score = float((number * 37) % 60)
        whole.offer(exhibit(number), score)
        parts[number // 30].offer(exhibit(number), score)
    parts[0].merge(parts[1])
    assert captions(parts[0].worst()) == captions(whole.worst())
    assert len(parts[0].median()) == 3
    first, second = Exhibits(wanted=4), Exhibits(wanted=4)
    for number in range(20):
        (first if number < 10 else second).offer(exhibit(number))
    first.merge(second)
    chosen = captions(first.chosen())
    assert len(chosen) == 4 and chosen == sorted(chosen) and chosen[0] < 10 <= chosen[-1]


def frames_report() -> dict:
    timeline = [
        {"frame": "a", "t_s": float(index), "latency_ms": 5.0, "miou": 50.0 + index, "flicker_percent": 2.0}
        for index in range(5)
    ]
    counts = np.diag([10] * 11).tolist()
    return REPORT | {
        "timeline": timeline,
        "confusion": [[*row, 0] for row in counts],
        "partial": "Interrupted after 5 of 9 frames",
        "frame_miou": {"min": 50.0, "median": 52.0, "p95": 54.0, "mean": 52.0},
        "flicker_percent": {"min": 2.0, "median": 2.0, "p95": 2.0, "mean": 2.0},
        "class_share_percent": dict.fromkeys([*CAMVID.names, "unlabeled"], 8.3),
        "share_over_time": [{"t_s": float(i), "share_percent": [8.3] * 12} for i in range(5)],
        "output_rate": [{"t_s": float(i), "hz": 3.0} for i in range(4)],
    }


def test_a_page_says_what_it_is_about() -> None:
    page = render_page(frames_report(), pictures={"The worst frames": b"jpeg"})
    for words in (
        "Interrupted after 5 of 9 frames",
        "median 52.0 %, lowest 50.0 %",
        "Output rate",
        "Confusion",
    ):
        assert words in page, words
    assert 'alt="The worst frames" src="data:image/jpeg;base64,' in page
    assert "Live segmentation report" in page and "camera to mask" in page
    offline = render_page(frames_report() | {"offline": True})
    assert "Offline segmentation report" in offline and "frame to mask" in offline
    assert "camera to mask" not in offline and "What the node" not in offline


@pytest.mark.parametrize("miou", [61.25, None])
def test_a_summary_links_its_reports(miou: float | None) -> None:
    line = {
        "recording": "<day>", "page": "day/report.html", "miou": miou, "pixel_accuracy": miou, "frames": 4,
        "scored": 4, "latency_p50_ms": 3.0, "flicker_median_percent": None, "partial": "cut",
    }  # fmt: skip
    summary = frames_report() | {
        "miou": miou, "recordings": [line], "frames": {"sent": 4, "scored": 4}, "latency_ms": {"p50": 3.0},
    }  # fmt: skip
    page = render_summary(summary)
    assert '<a href="day/report.html">&lt;day&gt;</a>' in page and "cut" in page
    assert ("61.2" in page) == (miou is not None)
    assert ("IoU by class" in page) == (miou is not None)
