"""How values spread, a box a row, on a logarithmic axis: what differs by a thousand fits on one chart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from sernet_core.report.charts import svg

NEEDED = ("p5", "p25", "p50", "p75", "p95", "p99")
_LEFT, _RIGHT, _TOP, _BOTTOM = 116, 18, 10, 40
_WIDTH, _ROW, _BOX = 640, 34, 16
_LEAST = 0.01  # below this a value is drawn as if it were this much: a logarithm knows no zero


def box_chart(rows: Mapping[str, Mapping[str, float | None]], *, x_label: str) -> str:
    """Boxes from the first to the third quartile with the median, whiskers from 5 to 95 %, a dot at 99 %.

    Args:
        rows: Percentiles by name of the row, under the keys `NEEDED`; rows that lack one are left out.
        x_label: Name and unit of the values.

    Returns:
        The chart as SVG; empty where no row is whole.
    """
    whole = {
        name: [max(_LEAST, value) for key in NEEDED if (value := row.get(key)) is not None]
        for name, row in rows.items()
    }
    whole = {name: values for name, values in whole.items() if len(values) == len(NEEDED)}
    if not whole:
        return ""
    # A factor of two on either side keeps boxes of a single value off the frame.
    low = math.log10(min(min(values) for values in whole.values()) / 2)
    high = math.log10(max(max(values) for values in whole.values()) * 2)
    height = _TOP + _ROW * len(whole) + _BOTTOM
    floor = height - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    body = [
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{_TOP}" y2="{floor}"/>'
        f'<text class="tick" x="{x(tick):.1f}" y="{floor + 16}" text-anchor="middle">{tick:g}</text>'
        for tick in _ticks(low, high)
    ]
    for index, (name, (p5, p25, p50, p75, p95, p99)) in enumerate(whole.items()):
        y = _TOP + _ROW * (index + 0.5)
        top, bottom = y - _BOX / 2, y + _BOX / 2
        body.append(
            f"<g><title>{escape(name)}: 5 % {p5:.4g}, 25 % {p25:.4g}, 50 % {p50:.4g}, 75 % {p75:.4g}, "
            f"95 % {p95:.4g}, 99 % {p99:.4g}</title>"
            f'<text class="axis" x="{_LEFT - 9}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            f'<path class="line" d="M{x(p5):.1f} {y:.1f}H{x(p25):.1f}M{x(p75):.1f} {y:.1f}H{x(p95):.1f}'
            f"M{x(p5):.1f} {y - 4:.1f}v8M{x(p95):.1f} {y - 4:.1f}v8"
            f'"/><rect class="box" x="{x(p25):.1f}" y="{top:.1f}" width="{x(p75) - x(p25):.1f}" '
            f'height="{_BOX}"/>'
            f'<path class="median" d="M{x(p50):.1f} {top:.1f}V{bottom:.1f}"/>'
            f'<circle class="dot" cx="{x(p99):.1f}" cy="{y:.1f}" r="2.6"/></g>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    body.append(
        f'<text class="axis" x="{middle}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    return svg(body, _WIDTH, height)


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two logarithms; with their double and fivefold where they are few."""
    factors = (1,) if high - low > 3 else (1, 2, 5)
    ticks = (
        factor * 10.0**power for power in range(math.floor(low), math.floor(high) + 1) for factor in factors
    )
    return [tick for tick in ticks if low <= math.log10(tick) <= high]
