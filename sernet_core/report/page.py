"""One self-contained HTML page for a report: no script, nothing loaded from elsewhere, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from sernet_core.report.boxes import box_chart
from sernet_core.report.charts import histogram, line_chart
from sernet_core.report.frames import confusion_section, frames_section, rate_section
from sernet_core.report.parts import bars_section, cards_section, document, number

_NODE = "Last diagnostics of the node"
_MOST_NOTES = 30
Report = Mapping[str, Any]


def render_page(
    report: Report,
    sheet: bytes | None = None,
    video: bytes | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> str:
    """The page as text.

    Args:
        report: What `report.json` holds; every figure on the page is taken from it.
        sheet: The contact sheet as JPEG.
        video: The overlay video as WebM.
        pictures: Further sheets as JPEG, by their title.
    """
    sections = [
        _head(report),
        _cards(report),
        _pictures(report, sheet, video),
        _accuracy(report),
        confusion_section(report),
        frames_section(report),
        _further(pictures or {}),
        _latency(report),
        rate_section(report),
        _usage(report),
        _notes(report),
        _details(report),
    ]
    return document(f"{report['model']} on {subject(report)}", sections)


def subject(report: Report) -> str:
    """What a run was about: the source, and which part of it where that was not all."""
    source = report["source"]
    return f"{source['name']}, {source['part']}" if source.get("part") else str(source["name"])


def _head(report: Report) -> str:
    verdict = "passed" if report["passed"] else "failed"
    partial = report.get("partial")
    way = "Offline" if report.get("offline") else "Live"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in report["reasons"])
    return (
        f'<header><p class="kicker">{way} segmentation report &middot; {escape(report["created"])}</p>'
        f"<h1>{escape(report['model'])} <small>on {escape(subject(report))}</small></h1>"
        f'<p><span class="pill {verdict}">{verdict}</span>'
        + (f'<span class="pill partial">partial</span> {escape(partial)}. ' if partial else " ")
        + f"{escape(report['headline'])}</p>"
        + (f'<ul class="reasons">{reasons}</ul>' if reasons else "")
        + "</header>"
    )


def _cards(report: Report) -> str:
    frames, latency, rates = report["frames"], report["latency_ms"], report["rates_hz"]
    offline = report.get("offline")
    pace = "as fast as it goes" if offline else f"camera: {number(rates['sent'], 2)} Hz"
    lost = "frames without a mask" if offline else f"{frames['unmatched']} masks without a frame"
    cards = [
        (
            "answered",
            number(report["answered_percent"], 1),
            "%",
            f"{frames['answered']} of {frames['sent']} frames",
        ),
        ("latency, median", number(latency["p50"], 0), "ms", f"95 %: {number(latency['p95'], 0)} ms"),
        ("masks", number(rates["answered"], 2), "Hz", pace),
        ("dropped", str(frames["dropped"]), "", lost),
    ]
    if report["miou"] is not None:
        note = f"{number(report['pixel_accuracy'], 1)} % of the pixels right"
        cards.insert(0, ("mIoU", number(report["miou"], 1), "%", note))
    return cards_section(cards)


def _pictures(report: Report, sheet: bytes | None, video: bytes | None) -> str:
    parts = []
    if video:
        parts.append(
            '<figure class="video"><video controls autoplay muted loop playsinline '
            f'src="{_data_uri("video/webm", video)}"></video>'
            f"<figcaption>{escape(report['video_note'])}</figcaption></figure>"
        )
    if parts:
        parts.append(_legend(report))
    who, received = ("model", "") if report.get("offline") else ("node", " as they were received")
    if sheet:
        parts.append(
            f'<figure><img alt="Contact sheet" src="{_data_uri("image/jpeg", sheet)}">'
            f"<figcaption>Frames spread over the run, with the masks and overlays{received}."
            "</figcaption></figure>"
        )
    return f"<section><h2>What the {who} saw and said</h2>{''.join(parts)}</section>" if parts else ""


def _further(pictures: Mapping[str, bytes]) -> str:
    return "".join(
        f'<section><h2>{escape(title)}</h2><figure><img alt="{escape(title)}" '
        f'src="{_data_uri("image/jpeg", data)}"></figure></section>'
        for title, data in pictures.items()
    )


def _legend(report: Report) -> str:
    return (
        '<ul class="legend">'
        + "".join(
            f'<li><i style="background:{color}"></i>{escape(name)}</li>'
            for name, color in report["classes"].items()
        )
        + "</ul>"
    )


def _accuracy(report: Report) -> str:
    if report["miou"] is None:
        return f'<section><h2>Accuracy</h2><p class="note">{escape(report["accuracy_note"])}</p></section>'
    return bars_section(report, report["accuracy_note"])


def _latency(report: Report) -> str:
    latency = report["latency_ms"]
    points = [(row["t_s"], row["latency_ms"]) for row in report["timeline"] if row["latency_ms"] is not None]
    misses = [row["t_s"] for row in report["timeline"] if row["latency_ms"] is None]
    levels = [(name, latency[name]) for name in ("p50", "p95", "p99") if latency[name] is not None]
    over_time = line_chart(points, x_label="time, s", y_label="latency, ms", levels=levels, misses=misses)
    counts = histogram([value for _, value in points], x_label="latency, ms", y_label="frames")
    whole = "frame to mask" if report.get("offline") else "camera to mask"
    rows = {**report["stages_ms"], whole: latency}
    stages = "".join(
        f"<tr><th>{escape(stage)}</th>" + "".join(f"<td>{number(row.get(p), 1)}</td>" for p in _PERCENTILES)
        for stage, row in rows.items()
    )
    heads = "".join(f"<th>{name}</th>" for name in _PERCENTILES)
    table = f"<table><tr><th>stage, ms</th>{heads}</tr>{stages}</table>"
    # The age is no stage: it is as large as the stamps are old. Without stages the histogram shows it all.
    spread = {stage: row for stage, row in rows.items() if stage != "age"}
    if report["stages_ms"] and (boxes := box_chart(spread, x_label="ms, logarithmic")):
        table = f'<div class="pair"><figure>{boxes}<figcaption>{_BOXES}</figcaption></figure>{table}</div>'
    drop_note = " Red marks at the bottom are dropped frames." if misses else ""
    return (
        f"<section><h2>Latency <small>{_OFFLINE_WAY if report.get('offline') else _LIVE_WAY}</small></h2>"
        f'<div class="pair"><figure>{over_time}<figcaption>Over the run.{drop_note}</figcaption></figure>'
        f"<figure>{counts}<figcaption>How often.</figcaption></figure></div>"
        f"{table}</section>"
    )


_PERCENTILES = ("p50", "p95", "p99")
_LIVE_WAY = "from the camera's publish to the mask received"
_BOXES = (
    "By stage: a box holds the middle half of the frames, with the median; whiskers reach from 5 to 95 %, "
    "the dot is 99 %."
)
_OFFLINE_WAY = "from the frame to its mask, without ROS"


def _usage(report: Report) -> str:
    usage = report["usage"]
    if len(usage) < 2:
        return ""
    whose = "segmenting" if report.get("offline") else "node's"
    cpu = line_chart([(row["t_s"], row["cpu_percent"]) for row in usage], x_label="time, s", y_label="CPU, %")
    memory = line_chart(
        [(row["t_s"], row["memory_mb"]) for row in usage], x_label="time, s", y_label="memory, MB"
    )
    return (
        f"<section><h2>Cost <small>of the {whose} process</small></h2>"
        f'<div class="pair"><figure>{cpu}<figcaption>100 % is one core.</figcaption></figure>'
        f"<figure>{memory}<figcaption>Resident memory.</figcaption></figure></div></section>"
    )


def _notes(report: Report) -> str:
    """What was unusual, and which frames could not be read."""
    notes = [*report.get("notes", ()), *(f"Not read: {words}" for words in report.get("unreadable", ()))]
    if not notes:
        return ""
    lines = "".join(f"<li>{escape(words)}</li>" for words in notes[:_MOST_NOTES])
    if len(notes) > _MOST_NOTES:
        lines += f"<li>and {len(notes) - _MOST_NOTES} more in report.json</li>"
    return f'<section><h2>Notes</h2><ul class="note">{lines}</ul></section>'


def _details(report: Report) -> str:
    tables = [
        ("Run", {**report["source"], **_flat("rate, Hz", report["rates_hz"]), **report["frames"]}),
        ("Model", {key: report[key] for key in ("model", "engine", "device", "precision")}),
        ("Machine", report["machine"]),
        ("Versions", report["versions"]),
        (_NODE, report["node"]),
    ]
    parts = [
        f"<details{'' if name == _NODE else ' open'}><summary>{name}</summary><table>"
        + "".join(
            f"<tr><th>{escape(str(key))}</th><td>{escape(_text(value))}</td></tr>"
            for key, value in rows.items()
        )
        + "</table></details>"
        for name, rows in tables
        if rows
    ]
    notice = f'<p class="notice">{escape(report["notice"])}</p>' if report["notice"] else ""
    return f'<section><h2>Details</h2><div class="tables">{"".join(parts)}</div>{notice}</section>'


def _flat(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name} {key}": value for key, value in values.items()}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
