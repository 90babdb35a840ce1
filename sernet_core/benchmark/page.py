"""The benchmark as one HTML page: bars and a table by level, accuracy against speed, and the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sernet_core.benchmark.cases import LEVELS, PARTS
from sernet_core.engines.plan import same_scale
from sernet_core.report.charts import scatter_chart
from sernet_core.report.parts import details_section
from sernet_core.report.style import STYLE

Row = Mapping[str, Any]
_COLUMNS = {
    "runs": "runs",
    "median_ms": "median, ms",
    "p25_ms": "p25",
    "p75_ms": "p75",
    "p95_ms": "p95",
    "p99_ms": "p99",
    "built_memory_mb": "memory, MB",
}
_STYLE = "td { white-space: nowrap; }"
_NODE_STAGES = ("wait", "decode", "inference", "publish")


def render(report: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
        report: What benchmark.json holds; every figure on the page is taken from it.
    """
    rows: Sequence[Row] = report["rows"]
    sizes = list(dict.fromkeys((row["width"], row["height"]) for row in rows))
    sections = [
        _head(report),
        _accuracy(report),
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
    words = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in report["faults"].items())
    if missing:
        words += f"<li>not measured yet: {', '.join(f'{w}x{h}' for w, h in missing)}</li>"
    device = place["device"] if settings["device"] != "cpu" else f"{place['cores']} cores"
    return (
        f'<header><p class="kicker">Benchmark &middot; {escape(report["created"])}</p>'
        f"<h1>{escape(', '.join(report['accuracy']))} <small>on {escape(str(place['processor']))}, "
        f"{escape(str(device))}</small></h1>"
        "<p>All engines took turns on the same frames. <b>Compare the speed-ups</b>: on a busy or throttled "
        "machine they hold where milliseconds do not.</p>"
        + (f'<ul class="reasons">{words}</ul>' if words else "")
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
    most = max(row[ratio]["median"] for row in rows)
    beyond = any("over_network" in row for row in rows) and level != "network"
    bars = "".join(
        f'<div class="row"><span class="label">{escape(_short(row, rows))}</span><span class="track"><span '
        f'class="fill" style="background:var(--accent);width:{100 * row[ratio]["median"] / most:.1f}%">'
        "</span></span>"
        f'<span class="figure">{row[ratio]["median"]:.2f}x</span></div>'
        for row in rows
    )
    heads = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS.values())
    lines = "".join(
        f"<tr><th>{escape(_name(row))}</th><td>{row['speedup']['median']:.2f} "
        f"({row['speedup']['p25']:.2f} to {row['speedup']['p75']:.2f})</td>"
        + (_over_network(row) if beyond else "")
        + "".join(f"<td>{round(row[column], 1):g}</td>" for column in _COLUMNS)
        + "</tr>"
        for row in rows
    )
    head = "<th>over network</th><th>beyond it, ms</th>" if beyond else ""
    reference = "eager" if ratio == "speedup" else "the first model's eager"
    return (
        f"<h3>{escape(level)} <small>{escape(LEVELS[level])}; bars: speed-up over {reference}</small></h3>"
        f'<div class="bars">{bars}</div>'
        f"<table><tr><th></th><th>over its own eager (quartiles)</th>{head}{heads}</tr>{lines}</table>"
    )


def _over_network(row: Row) -> str:
    """Cells for what a level takes over the network alone; empty for a row that has none."""
    if "over_network" not in row:
        return "<td></td><td></td>"
    return f"<td>{row['over_network']['median']:.2f}x</td><td>{row['beyond_network_ms']:.1f}</td>"


def _stages(rows: Sequence[Row]) -> str:
    """Where a frame's time goes, from message to message or from frame to mask: medians in milliseconds."""
    names = list(dict.fromkeys(_name(row) for row in rows if row["level"] in (*PARTS, "message")))
    table = {name: stages_of([row for row in rows if _name(row) == name]) for name in names}
    if not table:
        return ""
    columns = list(dict.fromkeys(stage for stages in table.values() for stage in stages))
    lines = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{stages[stage]:.2f}</td>" if stage in stages else "<td></td>" for stage in columns)
        + "</tr>"
        for name, stages in table.items()
    )
    heads = "".join(f"<th>{escape(stage)}</th>" for stage in columns)
    return (
        "<h3>stages <small>medians in ms; node: as the node counts itself, inference being prepare, network "
        "and upsample; delivery: both ways through DDS</small></h3>"
        f"<table><tr><th></th>{heads}</tr>{lines}</table>"
    )


def stages_of(rows: Sequence[Row]) -> dict[str, float]:
    """Milliseconds by stage of one model on one engine at one size.

    Args:
        rows: Its rows, of any levels.
    """
    medians = {row["level"]: row["median_ms"] for row in rows}
    stages = {part: medians[part] for part in ("prepare", "network", "upsample") if part in medians}
    message = next((row for row in rows if row["level"] == "message"), None)
    if message is not None:
        split = message.get("split_ms", {})
        stages |= {f"node: {stage}": split[stage] for stage in _NODE_STAGES if stage in split}
        if "total" in split:
            stages["delivery"] = message["median_ms"] - split["total"]
        stages["message to mask"] = message["median_ms"]
    return stages


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


def _accuracy(report: Mapping[str, Any]) -> str:
    """Accuracy against latency, for the models that state a figure on real frames, at the first size.

    A figure belongs to the size that the network had then: rows that ran at another one are left out.
    """
    rows = [
        row
        for row in report["rows"]
        if row["level"] == "mask" and row["precision"] in ("fp32", "int8")  # only these have figures
        if [row["width"], row["height"]] == report["done"][0]
    ]
    width, height = report["done"][0] if rows else (0, 0)
    points: list[tuple[float, float, str]] = []
    left_out: list[str] = []
    for row in rows:
        ran_at = report.get("network_sizes", {}).get(row["model"], {}).get(f"{width}x{height}")
        for miou, size in _mious(report, row):
            if ran_at and size and same_scale(ran_at, size):
                points.append((row["median_ms"], miou, _short(row, rows)))
            else:
                left_out.append(
                    f"{_short(row, rows)} (ran at {_size_words(ran_at)}, scored at {_size_words(size)})"
                )
    if not points and not left_out:
        return ""
    chart = scatter_chart(points, x_label="milliseconds", y_label="mIoU, %") if points else ""
    words = (
        f"<p>Left out, for the score is of another size: {escape(', '.join(left_out))}. "
        "With input_size model the two are the same.</p>"
        if left_out
        else ""
    )
    return (
        "<section><h2>Accuracy against latency <small>mIoU in percent on the validation part, as the "
        f"checkpoint or the int8 model states it; frame to mask at {width}x{height}</small></h2>"
        f"{chart}{words}</section>"
    )


def _size_words(size: Sequence[int] | None) -> str:
    return f"{size[0]}x{size[1]}" if size else "an unknown size"


def _mious(report: Mapping[str, Any], row: Row) -> list[tuple[float, Sequence[int] | None]]:
    """mIoU in percent on real frames that are stated for a row's weights in its precision.

    Each with the width and height that the network had, where that is stated.
    """
    if row["precision"] == "int8":
        scores = report["int8_accuracy"].get(row["model"])
        return [(scores["int8"], scores.get("input_size"))] if scores else []
    return [
        (scores["miou"], scores.get("input_size"))
        for name, scores in report["accuracy"].get(row["model"], {}).items()
        if name.endswith("/val") and not name.startswith("synthetic")
    ]


def _details(report: Mapping[str, Any]) -> str:
    tables = {
        "Settings": {**report["settings"], "torch threads": report["torch_threads"]},
        "Machine": report["machine"],
        "Versions": report["versions"],
    }
    return details_section(tables)


def _short(row: Row, rows: Sequence[Row]) -> str:
    """Name of a row beside the others; the model is left out where there is one alone."""
    one = len({other["model"] for other in rows}) == 1
    return f"{row['engine']} {row['precision']}" if one else _name(row)


def _name(row: Row) -> str:
    return f"{row['model']}, {row['engine']} {row['precision']}"
