"""The benchmark as one HTML page: bars and a table by level, accuracy against speed, and the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sernet_core.benchmark.cases import LEVELS, PARTS, label_of
from sernet_core.benchmark.page_picture import picture
from sernet_core.report.parts import details_section
from sernet_core.report.style import STYLE

Row = Mapping[str, Any]
_TIMES = {
    "speedup": "over its own eager (quartiles; rounds)",
    "over_first": "over the first model's eager (quartiles; rounds)",
    "runs": "runs",
    "median_ms": "median, ms",
    "p25_ms": "p25",
    "p75_ms": "p75",
    "p95_ms": "p95",
    "p99_ms": "p99",
    "built_memory_mb": "grown at building, MB",
    "process_memory_mb": "whole process, MB",
}
_COMPARED = {
    "over_network": "over network (quartiles; rounds)",
    "beyond_network_ms": "beyond network, ms",
    "over_inference": "over inference (quartiles; rounds)",
    "beyond_inference_ms": "beyond inference, ms",
    "floor_ms": "floor, ms",
    "over_floor": "network over floor",
}
_STYLE = "td { white-space: nowrap; }"
NODE_STAGES = {
    "delivery": "delivery",
    "wait": "wait",
    "decode": "decode",
    "inference": "inference",
    "network": "of it network",
    "answer": "answer",
    "publish": "publish, meanwhile",
}
"""Stages of a frame on its way from message to mask, and what they are called."""


def render(report: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
        report: What benchmark.json holds; every figure on the page is taken from it.
    """
    rows: Sequence[Row] = report["rows"]
    sizes = list(dict.fromkeys((row["width"], row["height"]) for row in rows))
    sections = [
        _head(report),
        picture(report),
        *(_size(rows, *size) for size in sizes),
        _networks(report),
        _details(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Benchmark</title><style>{STYLE}{_STYLE}</style></head>\n<body><main>"
        + "\n".join(section for section in sections if section)
        + "</main></body></html>\n"
    )


def _head(report: Mapping[str, Any]) -> str:
    place, settings = report["machine"], report["settings"]
    missing = [size for size in settings["sizes"] if size not in report["done"]]
    words = "".join(
        f"<li>not timed: {escape(name)}: {escape(reason)}</li>" for name, reason in report["faults"].items()
    )
    left_out = "".join(
        f"<p>left out: {escape(name)}: {escape(reason)}</p>" for name, reason in report["left_out"].items()
    )
    missing_words = [f"{w}x{h}" for w, h in missing] + ["the picture"] * (report["picture"] is None)
    if missing_words:
        words += f"<li>not measured yet: {', '.join(missing_words)}</li>"
    device = place["device"] if settings["device"] != "cpu" else f"{place['cores']} cores"
    return (
        f'<header><p class="kicker">Benchmark &middot; {escape(report["created"])}</p>'
        f"<h1>{escape(', '.join(report['scores']))} <small>on {escape(str(place['processor']))}, "
        f"{escape(str(device))}</small></h1>"
        "<p>All engines took turns on the same frames. <b>Compare the speed-ups</b>: on a busy or throttled "
        "machine they hold where milliseconds do not. Times and their percentiles are of all runs of their "
        "own row, ratios of the rounds that both have had; what takes over 0.3 s has fewer.</p>"
        + (f'<ul class="reasons">{words}</ul>' if words else "")
        + left_out
        + "</header>"
    )


def _size(rows: Sequence[Row], width: int, height: int) -> str:
    here = [row for row in rows if (row["width"], row["height"]) == (width, height)]
    levels = "".join(
        _level(level, [row for row in here if row["level"] == level])
        for level in LEVELS
        if any(row["level"] == level for row in here)
    )
    return f"<section><h2>{width}x{height}</h2>{levels}{_stages(here)}</section>"


def _level(level: str, rows: Sequence[Row]) -> str:
    rows = sorted(rows, key=lambda row: row["median_ms"])
    ratio = "speedup" if len({row["model"] for row in rows}) == 1 else "over_first"
    compared = [row for row in rows if ratio in row]  # eager itself may have failed
    most = max((row[ratio]["median"] for row in compared), default=1.0)
    bars = "".join(
        f'<div class="row"><span class="label">{escape(_short(row, rows))}</span><span class="track"><span '
        f'class="fill" style="background:var(--accent);width:{100 * row[ratio]["median"] / most:.1f}%">'
        "</span></span>"
        f'<span class="figure">{row[ratio]["median"]:.2f}x</span></div>'
        for row in compared
    )
    reference = "eager" if ratio == "speedup" else "the first model's eager"
    return (
        f"<h3>{escape(level)} <small>{escape(LEVELS[level])}; bars: speed-up over {reference}</small></h3>"
        f'<div class="bars">{bars}</div>{_tables(level, rows, ratio)}'
    )


def _tables(level: str, rows: Sequence[Row], ratio: str) -> str:
    """Times of one level, and what they are compared with; `ratio` is the one that the bars show."""
    times = {key: name for key, name in _TIMES.items() if key != "over_first" or ratio == key}
    compared = {key: name for key, name in _COMPARED.items() if level != "network" or "floor" in key}
    words = (
        "<p>Network and inference (frame to mask) are those of the same frames in the node's own process.</p>"
        if level == "message"
        else ""
    )
    return _table(times, rows) + words + _table(compared, rows)


def _table(columns: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Rows that have something in these columns; a column without any figure is not there."""
    columns = {key: name for key, name in columns.items() if any(key in row for row in rows)}
    rows = [row for row in rows if any(key in row for key in columns)]
    if not rows:
        return ""
    heads = "".join(f"<th>{escape(name)}</th>" for name in columns.values())
    lines = "".join(
        f"<tr><th>{escape(_name(row))}</th>"
        + "".join(f"<td>{_cell(row[key]) if key in row else ''}</td>" for key in columns)
        + "</tr>"
        for row in rows
    )
    return f"<table><tr><th></th>{heads}</tr>{lines}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['median']:.2f}x ({value['p25']:.2f} to {value['p75']:.2f}; {value['rounds']})"
    return f"{round(value, 1):g}" if value >= 10 else f"{round(value, 2):g}"


def _stages(rows: Sequence[Row]) -> str:
    """Where a frame's time goes: from frame to mask in this process, from message to mask in a node's."""
    inside: dict[str, Mapping[str, float | str]] = {}
    for name in dict.fromkeys(_name(row) for row in rows if row["level"] in PARTS):
        levels = {row["level"]: row for row in rows if _name(row) == name}
        parts = [part for part in ("prepare", "network", "upsample", "mask") if part in levels]
        runs = sorted({levels[part]["runs"] for part in parts})
        words = " to ".join(str(number) for number in dict.fromkeys((runs[0], runs[-1])))
        inside[name] = {**{part: levels[part]["median_ms"] for part in parts}, "runs": words}
    live: dict[str, Mapping[str, float | str]] = {
        _name(row): {**node_stages(row), "runs": str(row["runs"])} for row in rows if "stages_ms" in row
    }
    return _stage_table("stages from frame to mask", "medians in ms, each timed by itself", inside) + (
        _stage_table(
            "stages from message to mask",
            "medians in ms over the timed frames; delivery: from the camera's publishing to the node's "
            "callback; answer: from the end of the inference to the listener's callback; publish: the "
            "node's own, which may go on after that",
            live,
        )
    )


def _stage_table(title: str, words: str, table: Mapping[str, Mapping[str, float | str]]) -> str:
    if not table:
        return ""
    columns = list(dict.fromkeys(stage for stages in table.values() for stage in stages))
    lines = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{_stage(stages.get(stage, ''))}</td>" for stage in columns)
        + "</tr>"
        for name, stages in table.items()
    )
    heads = "".join(f"<th>{escape(stage)}</th>" for stage in columns)
    return f"<h3>{title} <small>{words}</small></h3><table><tr><th></th>{heads}</tr>{lines}</table>"


def _stage(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"


def node_stages(row: Row) -> dict[str, float]:
    """Milliseconds by the words of `NODE_STAGES`, of a row of the level message."""
    split = row["stages_ms"]
    stages = {words: split[stage] for stage, words in NODE_STAGES.items() if stage in split}
    return {**stages, "message to mask": row["median_ms"]}


def _networks(report: Mapping[str, Any]) -> str:
    """What each network costs, counted."""
    sizes = [f"{width}x{height}" for width, height in report["settings"]["sizes"]]
    heads = "".join(f"<th>GMAC at {size}</th>" for size in sizes)
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{cost['parameters'] / 1e6:.2f} M</td>"
        + "".join(f"<td>{cost['gmac'][size]:g}</td>" for size in sizes)
        + "</tr>"
        for name, cost in report["costs"].items()
    )
    table = f"<table><tr><th></th><th>parameters</th>{heads}</tr>{lines}</table>"
    return f"<section><h2>Networks</h2>{table}</section>"


def _details(report: Mapping[str, Any]) -> str:
    tables = {
        "Settings": {**report["settings"], "torch threads": report["torch_threads"]},
        "Machine": {**report["machine"], **_rates(report)},
        "Versions": report["versions"],
        "Files of the models, SHA-256": report["files"],
    }
    return details_section(tables)


def _rates(report: Mapping[str, Any]) -> dict[str, str]:
    """What the GPU was measured to do, which the floors are of."""
    if not (rates := report["device_rates"]):
        return {}
    return {
        "matrix rate, fp16": f"{rates['operations'] / 1e12:.1f} Tera-operations/s",
        "memory bandwidth": f"{rates['bytes'] / 1e9:.0f} GB/s",
    }


def _short(row: Row, rows: Sequence[Row]) -> str:
    """Name of a row beside the others; the model is left out where there is one alone."""
    one = len({other["model"] for other in rows}) == 1
    return label_of(row) if one else _name(row)


def _name(row: Row) -> str:
    return f"{row['model']}, {label_of(row)}"
