"""The page of a comparison: two runs side by side, and their differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sernet_core.report.parts import cards_section, document, number

Comparison = Mapping[str, Any]
_LABEL, _WIDTH, _RIGHT, _ROW, _TOP = 130, 640, 20, 26, 12
_VERDICTS = {"better": "passed", "worse": "failed"}


def render_comparison(comparison: Comparison) -> str:
    """The page as text; every figure is taken from `comparison` (compare.json)."""
    miou, latency = comparison["miou"], comparison["latency_p50_ms"]
    cards = []
    if miou:
        cards.append(_card("mIoU", miou, "points"))
    if latency:
        cards.append(_card("latency, median", latency, "ms"))
    cards.append(("frames", str(comparison["frames"]), "", comparison["pairing"]))
    names = " against ".join(escape(run["label"]) for run in (comparison["second"], comparison["first"]))
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in comparison["regressions"])
    verdict = "failed" if comparison["regressions"] else "passed"
    words = "regression" if comparison["regressions"] else "no regression beyond the limits"
    head = (
        f'<header><p class="kicker">Comparison &middot; {escape(comparison["created"])}</p><h1>{names}</h1>'
        f'<p><span class="pill {verdict}">{verdict}</span>{words}</p>'
        + (f'<ul class="reasons">{reasons}</ul>' if reasons else "")
        + "</header>"
    )
    sections = [head, cards_section(cards), _classes(comparison), _sides(comparison)]
    return document(f"{comparison['second']['label']} against {comparison['first']['label']}", sections)


def _card(name: str, difference: Mapping[str, Any], unit: str) -> tuple[str, str, str, str]:
    sign = "+" if difference["difference"] > 0 else ""
    ends = _interval(difference)
    note = f"{number(difference['first'], 1)} to {number(difference['second'], 1)}; " + (
        f"95 %: {ends}" if ends else "too few frames for an interval"
    )
    return name, sign + number(difference["difference"], 2), unit, note


def _classes(comparison: Comparison) -> str:
    rows = comparison["iou"]
    if not rows:
        return f'<section><p class="note">{escape(comparison["note"])}</p></section>'
    shown = [row for row in rows if row["difference"] is not None]
    table = "".join(
        f"<tr><td>{escape(row['class'])}</td><td>{number(row['first'], 1)}</td>"
        f"<td>{number(row['second'], 1)}</td><td>{number(row['difference'], 2)}</td>"
        f"<td>{_interval(row)}</td><td>"
        + (f'<span class="pill {_VERDICTS[row["verdict"]]}">{row["verdict"]}</span>'
           if row["verdict"] in _VERDICTS else escape(row["verdict"]))
        + "</td></tr>"
        for row in rows
    )  # fmt: skip
    return (
        "<section><h2>IoU by class <small>second minus first in percent points, with the interval that holds "
        f"it in 95 % of the draws over frames</small></h2><figure>{forest(shown)}</figure>"
        "<table><tr><th>class</th><th>first</th><th>second</th><th>difference</th><th>95 %</th><th></th></tr>"
        f'{table}</table><p class="note">{escape(comparison["note"])}</p></section>'
    )


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f"{number(row['low'], 2)} to {number(row['high'], 2)}"


def forest(rows: Sequence[Mapping[str, Any]]) -> str:
    """A dot a row on a common scale, with its interval as a line through it.

    Args:
        rows: Each with `class` (its name), `difference`, `low` and `high` (None where there is no interval)
            and `verdict`.
    """
    ends = [row[end] for row in rows for end in ("low", "high", "difference")]
    reach = max([abs(end) for end in ends if end is not None], default=1.0) or 1.0
    middle, half = _LABEL + (_WIDTH - _LABEL - _RIGHT) / 2, (_WIDTH - _LABEL - _RIGHT) / 2

    def x(value: float) -> float:
        return middle + value / reach * half * 0.96

    bottom = _TOP + _ROW * len(rows)
    parts = [f'<line class="grid" x1="{middle}" x2="{middle}" y1="0" y2="{bottom}"/>']
    for index, row in enumerate(rows):
        y = _TOP + _ROW * (index + 0.5)
        kind = _VERDICTS.get(row["verdict"], "even")
        dot = f"{x(row['difference']):.1f}"
        span = ""
        if row["low"] is not None:
            low, high = (f"{x(row[key]):.1f}" for key in ("low", "high"))
            span = f'<line class="span {kind}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        parts.append(
            f'<text class="axis" x="{_LABEL - 10}" y="{y + 4}" text-anchor="end">'
            f"{escape(row['class'])}</text>{span}"
            f'<circle class="span {kind}" cx="{dot}" cy="{y}" r="4"/>'
        )
    for value in (-reach, 0.0, reach):
        place = f'x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle"'
        parts.append(f'<text class="tick" {place}>{value:.3g}</text>')
    return f'<svg class="chart" viewBox="0 0 {_WIDTH} {bottom + 24}" role="img">{"".join(parts)}</svg>'


def _text(value: Any) -> str:
    return "&ndash;" if value is None else escape(str(value))


def _sides(comparison: Comparison) -> str:
    first, second = comparison["first"], comparison["second"]
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{_text(first.get(key))}</td><td>{_text(second.get(key))}</td></tr>"
        for key in {**first, **second}
    )
    return (
        f"<section><h2>Side by side</h2><table><tr><th></th><th>first</th><th>second</th></tr>{rows}</table>"
        "</section>"
    )
