"""One page over several reports: the figures of all together, and a line for each."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from sernet_core.report.frames import confusion_section
from sernet_core.report.parts import bars_section, cards_section, document, number

Summary = Mapping[str, Any]


def render_summary(summary: Summary) -> str:
    """The page as text; every figure is taken from `summary` (summary.json)."""
    count = len(summary["recordings"])
    frames = summary["frames"]
    partial = summary.get("partial")
    cards = [
        ("recordings", str(count), "", f"{frames['sent']} frames"),
        ("mIoU", number(summary["miou"], 1), "%", f"{frames['scored']} frames scored"),
        ("latency, median", number(summary["latency_ms"]["p50"], 0), "ms", "frame to mask"),
    ]
    head = (
        f'<header><p class="kicker">Summary &middot; {escape(summary["created"])}</p>'
        f"<h1>{escape(summary['model'])} <small>on {count} recordings</small></h1>"
        + (f'<p><span class="pill partial">partial</span> {escape(partial)}</p>' if partial else "")
        + "</header>"
    )
    note = "One confusion matrix over every scored frame of all recordings; void pixels are left out."
    sections = [
        head,
        cards_section(cards),
        bars_section(summary, note) if summary["miou"] is not None else "",
        _lines(summary),
        confusion_section(summary),
        f'<p class="notice">{escape(summary["notice"])}</p>' if summary["notice"] else "",
    ]
    return document(f"{summary['model']} on {count} recordings", sections)


def _lines(summary: Summary) -> str:
    heads = ("recording", "mIoU, %", "pixels right, %", "frames", "scored", "latency p50, ms", "flicker, %")
    rows = []
    for one in summary["recordings"]:
        cells = [
            f'<a href="{escape(one["page"])}">{escape(one["recording"])}</a>'
            + (f'<br><small class="note">{escape(one["partial"])}</small>' if one["partial"] else ""),
            number(one["miou"], 1),
            number(one["pixel_accuracy"], 1),
            str(one["frames"]),
            str(one["scored"]),
            number(one["latency_p50_ms"], 0),
            number(one["flicker_median_percent"], 1),
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        f'<section><h2>Recordings</h2><div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
        "</section>"
    )
