"""The ablation as one HTML page: table, every seed, paired differences, classes, accuracy against cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from sernet_core.ablation.rows import BASE
from sernet_core.report.parts import details_section, document, number
from sernet_core.report.versus import forest

Row = Mapping[str, Any]
_LABEL, _WIDTH, _RIGHT, _STEP, _TOP, _HEIGHT = 130, 640, 20, 24, 8, 260


def render(report: Mapping[str, Any]) -> str:
    """The page as text; every figure is taken from the report (ablation.json)."""
    rows: Sequence[Row] = report["rows"]
    if not rows:
        return document("Ablation", [_head(report), _details(report)])
    sections = [_head(report), _table(rows), _seeds(rows), _differences(rows), _classes(rows)]
    for split in report["settings"]["also"]:
        scored = [{**row, **row["also"][split]} for row in rows if split in row["also"]]
        sections += [_seeds(scored, split), _differences(scored, split)] if scored else []
    if len({row["gmac"] for row in rows}) > 1:
        sections.append(_cost(rows))
    return document("Ablation", [*sections, _details(report)])


def _head(report: Mapping[str, Any]) -> str:
    settings = report["settings"]
    recipe = settings["recipe"]
    network, (width, height) = recipe["network"], recipe["input_size"]
    failed: Mapping[str, str] = report["failed"]
    missing = "".join(
        f"<li>{escape(name)}: {escape(failed[name]) if name in failed else 'not trained yet'}</li>"
        for name in report["missing"]
    )
    return (
        f'<header><p class="kicker">Ablation &middot; {escape(report["created"])}</p>'
        f"<h1>{escape(settings['validation'])} <small>depth {network['depth']} at {width}x{height}, "
        f"{recipe['steps']} steps of {recipe['batch_size']} crops, "
        f"{escape(settings['encoder'] or 'from nothing')}</small></h1>"
        "<p>Every variant had the same budget, and with the same seed the same crops in the same order, "
        "unless it changes how they are made, and the same first weights wherever they have the same. What "
        "holds for a short training at this scale need not hold for a long one at another.</p>"
        + (f'<ul class="reasons">{missing}</ul>' if missing else "")
        + "</header>"
    )


def _table(rows: Sequence[Row]) -> str:
    lines = "".join(
        f"<tr><td>{index}. {escape(row['row'])}{_changes(row['changes'])}</td><td>{row['miou']['seeds']}</td>"
        f"<td>{number(row['miou']['mean'], 2)}</td><td>{number(row['miou']['sd'], 2)}</td>"
        f"<td>{_against(row)}</td><td>{row['parameters'] / 1e6:.2f}</td><td>{row['gmac']:.2f}</td>"
        f"<td>{_latency(row)}</td></tr>"
        for index, row in enumerate(rows, 1)
    )
    return (
        "<section><h2>Variants <small>mIoU in percent on the validation part, single scale; the difference "
        f"is from <i>{BASE}</i>, or from the row that is named, over common seeds, with its 95 % interval by "
        "Student's t</small></h2>"
        '<div class="wide"><table class="figures"><tr><th></th><th>seeds</th><th>mIoU</th><th>sd</th>'
        "<th>difference</th><th>parameters, M</th><th>GMAC</th><th>latency, ms (of base)</th></tr>"
        f"{lines}</table></div></section>"
    )


def _changes(changes: Mapping[str, Any]) -> str:
    """Settings that a row changes, in small print."""
    named = [
        f"{key} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for part, setting in changes.items()
        for key, value in (setting.items() if isinstance(setting, Mapping) else [(part, setting)])
    ]
    return f"<br><small>{escape('; '.join(named))}</small>" if named else ""


def _against(row: Row) -> str:
    found = row["against"]
    if not found:
        return "&ndash;"
    sign = f"{found['difference']:+.2f}" + (
        "" if found["row"] == BASE else f" from <i>{escape(found['row'])}</i>"
    )
    if found["low"] is None:
        return f"{sign}, one seed: no spread"
    pill = {"better": "passed", "worse": "failed"}.get(found["verdict"])
    verdict = f'<span class="pill {pill}">{found["verdict"]}</span>' if pill else found["verdict"]
    return f"{sign} ({found['low']:+.2f} to {found['high']:+.2f}) {verdict}"


def _latency(row: Row) -> str:
    found = row["latency"]
    return f"{found['median_ms']:.1f} ({found['ratio']:.2f})" if found else "&ndash;"


def _seeds(rows: Sequence[Row], split: str = "") -> str:
    """A dot a run and a stroke at the mean, on a scale that does not start at 0."""
    x, ticks = _scale([value for row in rows for value in row["runs"].values()], _LABEL, _WIDTH - _RIGHT)
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
    for value in ticks:
        parts.append(
            f'<text class="tick" x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle">{value:.1f}</text>'
        )
    chart = f'<svg class="chart" viewBox="0 0 {_WIDTH} {bottom + 24}" role="img">{"".join(parts)}</svg>'
    where = f" on {escape(split)}" if split else ""
    return f"<section><h2>Every run{where} <small>mIoU in percent, a dot a seed</small></h2>{chart}</section>"


def _differences(rows: Sequence[Row], split: str = "") -> str:
    shown = [
        {**row["against"], "class": row["row"]}
        for row in rows
        if row["against"] and row["against"]["low"] is not None
    ]
    if not shown:
        return ""
    where = f" on {escape(split)}" if split else ""
    return (
        f"<section><h2>Differences from <i>{BASE}</i>{where} <small>or the row named above, mIoU in percent "
        f"points, paired by seed, with the 95 % interval of the mean</small></h2>{forest(shown)}"
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
    """A dot a variant, named by its number in the table; neither axis starts at 0."""
    x, gmac_ticks = _scale([row["gmac"] for row in rows], _LABEL, _WIDTH - _RIGHT)
    y, miou_ticks = _scale([row["miou"]["mean"] for row in rows], _HEIGHT - 40, _TOP + 10)
    parts = [
        f'<line class="grid" x1="{_LABEL}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{_LABEL - 10}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.1f}</text>'
        for tick in miou_ticks
    ]
    parts += [
        f'<text class="tick" x="{x(tick):.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{tick:.2f}</text>'
        for tick in gmac_ticks
    ]
    for index, row in enumerate(rows, 1):
        place, mean = x(row["gmac"]), row["miou"]["mean"]
        parts.append(
            f'<circle class="dot" cx="{place:.1f}" cy="{y(mean):.1f}" r="4"><title>{escape(row["row"])}: '
            f"{mean:.2f}, {row['gmac']:.2f} GMAC</title></circle>"
            f'<text class="tick" x="{place + 6:.1f}" y="{y(mean) - 5:.1f}">{index}</text>'
        )
    chart = f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'
    return (
        "<section><h2>Accuracy against cost <small>mean mIoU in percent over GMAC of a frame; numbers as in "
        f"the table</small></h2>{chart}</section>"
    )


def _scale(values: Sequence[float], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """Places between two pixels for values with some room around them, and three values to name."""
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or 1.0
    first, last = low - room, high + room
    return (
        lambda value: start + (value - first) / (last - first) * (end - start),
        [low, (low + high) / 2, high],
    )


def _details(report: Mapping[str, Any]) -> str:
    recipe = report["settings"]["recipe"]
    tables = {
        "Recipe": {key: value for key, value in recipe.items() if key not in ("network", "augment")},
        "Network": recipe["network"],
        "Crops": recipe["augment"],
        "Data": {
            "trained on": f"{report['settings']['train']}, {report['settings']['frames']} frames",
            "scored": ", ".join([report["settings"]["validation"], *report["settings"]["also"]]),
            "encoder": report["settings"]["encoder"] or "from nothing",
            **{
                f"{key} of {row}": next(iter(source.values()))
                for row, sources in report["sources"].items()
                for key, source in sources.items()
            },
        },
        "Timing": {key: value for key, value in report["timing"].items() if key not in ("rows", "machine")},
        "Machine": report["timing"].get("machine", report["machine"]),
        "Versions": report["versions"],
    }
    return details_section(tables)
