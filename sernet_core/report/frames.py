"""Sections of the page on single frames: mIoU, flicker and class share over time, confusion, output rate."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from sernet_core.report.areas import confusion_table, stacked_areas
from sernet_core.report.charts import line_chart

Report = Mapping[str, Any]
_MOST_NAMED = 6  # classes beside the chart of their shares


def confusion_section(report: Report) -> str:
    """The confusion matrix, where there is one."""
    counts = report.get("confusion")
    if not counts:
        return ""
    return (
        "<section><h2>Confusion <small>what the pixels of each true class were taken for, in percent</small>"
        f"</h2>{confusion_table(counts, list(report['classes']))}</section>"
    )


def frames_section(report: Report) -> str:
    """Single frames over time, where they were scored."""
    timeline = report["timeline"]
    parts = []
    if report.get("frame_miou"):
        points = [(row["t_s"], row["miou"]) for row in timeline if row.get("miou") is not None]
        figures = report["frame_miou"]
        chart = line_chart(
            points, x_label="time, s", y_label="mIoU of the frame, %", levels=[("p50", figures["median"])]
        )
        parts.append(
            f"<figure>{chart}<figcaption>mIoU frame by frame, over the classes in the frame: median "
            f"{figures['median']:.1f} %, lowest {figures['min']:.1f} %. Their mean is not the mIoU of the "
            "run.</figcaption></figure>"
        )
    if report.get("flicker_percent"):
        points = [
            (row["t_s"], row["flicker_percent"]) for row in timeline if row.get("flicker_percent") is not None
        ]
        figures = report["flicker_percent"]
        chart = line_chart(
            points, x_label="time, s", y_label="flicker, %", levels=[("p50", figures["median"])]
        )
        parts.append(
            f"<figure>{chart}<figcaption>Pixels whose class changed since the frame before: median "
            f"{figures['median']:.1f} %, 95 % of the frames below {figures['p95']:.1f} %. The camera's own "
            "motion is in it.</figcaption></figure>"
        )
    share = _share(report)
    if not parts and not share:
        return ""
    return f'<section><h2>Frame by frame</h2><div class="pair">{"".join(parts)}{share}</div></section>'


def _share(report: Report) -> str:
    rows = report.get("share_over_time") or []
    if len(rows) < 2:
        return ""
    colors = [*report["classes"].values(), "#00000022"]
    chart = stacked_areas(
        [row["t_s"] for row in rows], [row["share_percent"] for row in rows], colors, x_label="time, s"
    )
    means = sorted(report["class_share_percent"].items(), key=lambda item: -item[1])
    colored = dict(zip([*report["classes"], "unlabeled"], colors, strict=True))
    words = "".join(
        f'<li><i style="background:{colored[name]}"></i>{escape(name)} {value:.1f} %</li>'
        for name, value in means[:_MOST_NAMED]
    )
    return (
        f"<figure>{chart}<figcaption>Share of the classes in the masks; on average:</figcaption>"
        f'<ul class="legend">{words}</ul></figure>'
    )


def rate_section(report: Report) -> str:
    """Masks a second over time, where there are enough."""
    rows = report.get("output_rate") or []
    if len(rows) < 3:
        return ""
    chart = line_chart([(row["t_s"], row["hz"]) for row in rows], x_label="time, s", y_label="masks a second")
    return f"<section><h2>Output rate</h2><figure>{chart}</figure></section>"
