"""The ablation as one HTML page: table, every seed, paired differences, classes, accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sernet_core.ablation.rows import BASE
from sernet_core.report.charts import scatter_chart
from sernet_core.report.parts import document, number
from sernet_core.report.versus import forest

Row = Mapping[str, Any]
_LABEL, _WIDTH, _RIGHT, _STEP, _TOP = 130, 640, 20, 24, 8


def render(report: Mapping[str, Any]) -> str:
    """The page as text; every figure is taken from the report (ablation.json)."""
    rows: Sequence[Row] = report["rows"]
    sections = [_head(report), _table(rows), _seeds(rows), _differences(rows), _classes(rows), _cost(rows)]
    return document("Ablation", [*sections, _details(report)])


def _head(report: Mapping[str, Any]) -> str:
    settings = report["settings"]
    recipe = settings["recipe"]
    network, (width, height) = recipe["network"], recipe["input_size"]
    missing = "".join(f"<li>not trained yet: {escape(name)}</li>" for name in report["missing"])
    return (
        f'<header><p class="kicker">Ablation &middot; {escape(report["created"])}</p>'
        f"<h1>{escape(settings['validation'])} <small>depth {network['depth']} at {width}x{height}, "
        f"{recipe['steps']} steps of {recipe['batch_size']} crops, "
        f"{escape(settings['encoder'] or 'from nothing')}</small></h1>"
        "<p>Every variant had the same budget, and with the same seed the same crops in the same order. What "
        "holds for a short training at this scale need not hold for a long one at another.</p>"
        + (f'<ul class="reasons">{missing}</ul>' if missing else "")
        + "</header>"
    )


def _table(rows: Sequence[Row]) -> str:
    lines = "".join(
        f"<tr><td>{escape(row['row'])}</td><td>{row['miou']['seeds']}</td>"
        f"<td>{number(row['miou']['mean'], 2)}</td><td>{number(row['miou']['sd'], 2)}</td>"
        f"<td>{_against(row)}</td><td>{row['parameters'] / 1e6:.2f}</td><td>{row['gmac']:.2f}</td>"
        f"<td>{_latency(row)}</td></tr>"
        for row in rows
    )
    return (
        "<section><h2>Variants <small>mIoU in percent on the validation part, single scale; the difference "
        f"is from <i>{BASE}</i> over common seeds, with its 95 % interval by Student's t</small></h2>"
        '<div class="wide"><table><tr><th></th><th>seeds</th><th>mIoU</th><th>sd</th><th>difference</th>'
        "<th>parameters, M</th><th>GMAC</th><th>latency, ms (of base)</th></tr>"
        f"{lines}</table></div></section>"
    )


def _against(row: Row) -> str:
    found = row["against_all"]
    if not found:
        return "&ndash;"
    sign = f"{found['difference']:+.2f}"
    if found["low"] is None:
        return f"{sign}, one seed: no spread"
    pill = {"better": "passed", "worse": "failed"}.get(found["verdict"])
    verdict = f'<span class="pill {pill}">{found["verdict"]}</span>' if pill else found["verdict"]
    return f"{sign} ({found['low']:+.2f} to {found['high']:+.2f}) {verdict}"


def _latency(row: Row) -> str:
    found = row["latency"]
    return f"{found['median_ms']:.1f} ({found['ratio']:.2f})" if found else "&ndash;"


def _seeds(rows: Sequence[Row]) -> str:
    """A dot a run and a stroke at the mean, on a scale that does not start at 0."""
    values = [value for row in rows for value in row["runs"].values()]
    if not values:
        return ""
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or 1.0
    low, high = low - room, high + room

    def x(value: float) -> float:
        return _LABEL + (value - low) / (high - low) * (_WIDTH - _LABEL - _RIGHT)

    bottom = _TOP + _STEP * len(rows)
    parts = []
    for index, row in enumerate(rows):
        y, mean = _TOP + _STEP * (index + 0.5), x(row["miou"]["mean"])
        parts.append(
            f'<text class="axis" x="{_LABEL - 10}" y="{y + 4}" text-anchor="end">{escape(row["row"])}</text>'
            f'<line class="grid" x1="{_LABEL}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
            f'<line class="line" x1="{mean:.1f}" x2="{mean:.1f}" y1="{y - 8}" y2="{y + 8}"/>'
        )
        parts += [
            f'<circle class="dot" cx="{x(value):.1f}" cy="{y}" r="3.6" opacity=".7">'
            f"<title>seed {seed}: {value:.2f}</title></circle>"
            for seed, value in row["runs"].items()
        ]
    for value in (low + room, (low + high) / 2, high - room):
        parts.append(
            f'<text class="tick" x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle">{value:.1f}</text>'
        )
    chart = f'<svg class="chart" viewBox="0 0 {_WIDTH} {bottom + 24}" role="img">{"".join(parts)}</svg>'
    return f"<section><h2>Every run <small>mIoU in percent, a dot a seed</small></h2>{chart}</section>"


def _differences(rows: Sequence[Row]) -> str:
    shown = [
        {"class": row["row"], **row["against_all"]}
        for row in rows
        if row["against_all"] and row["against_all"]["low"] is not None
    ]
    if not shown:
        return ""
    return (
        f"<section><h2>Differences from <i>{BASE}</i> <small>mIoU in percent points, paired by seed, with "
        f"the 95 % interval of the mean</small></h2>{forest(shown)}"
        '<p class="note">An interval over a few seeds is wide, and of many rows one in twenty is outside by '
        "chance. A row that crosses 0 shows nothing, in either direction.</p></section>"
    )


def _classes(rows: Sequence[Row]) -> str:
    """IoU by class of each variant, as its distance from the base."""
    base = next((row["iou"] for row in rows if row["row"] == BASE), None)
    if base is None:
        return ""
    heads = "".join(f"<th>{escape(name)}</th>" for name in base)
    lines = [f"<tr><th>{BASE}</th>{''.join(f'<td>{number(value, 1)}</td>' for value in base.values())}</tr>"]
    for row in rows:
        if row["row"] != BASE:
            cells = "".join(_step(row["iou"][name], value) for name, value in base.items())
            lines.append(f"<tr><th>{escape(row['row'])}</th>{cells}</tr>")
    return (
        f"<section><h2>By class <small>IoU of <i>{BASE}</i> in percent, and the others' distance from it; "
        f'means over the seeds of each</small></h2><div class="wide"><table><tr><th></th>{heads}</tr>'
        f"{''.join(lines)}</table></div></section>"
    )


def _step(value: float | None, base: float | None) -> str:
    return "<td>&ndash;</td>" if value is None or base is None else f"<td>{value - base:+.1f}</td>"


def _cost(rows: Sequence[Row]) -> str:
    points = [(row["gmac"], row["miou"]["mean"], row["row"]) for row in rows]
    return (
        "<section><h2>Accuracy against cost <small>mean mIoU in percent; GMAC of one frame</small></h2>"
        f"{scatter_chart(points, x_label='GMAC', y_label='mIoU, %')}</section>"
    )


def _details(report: Mapping[str, Any]) -> str:
    recipe = report["settings"]["recipe"]
    tables = {
        "Recipe": {key: value for key, value in recipe.items() if key not in ("network", "augment")},
        "Network": recipe["network"],
        "Crops": recipe["augment"],
        "Machine": report["machine"],
        "Versions": report["versions"],
    }
    parts = "".join(
        f"<details open><summary>{name}</summary><table>"
        + "".join(
            f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>"
            for key, value in entries.items()
        )
        + "</table></details>"
        for name, entries in tables.items()
    )
    return f'<section><h2>Details</h2><div class="tables">{parts}</div></section>'
