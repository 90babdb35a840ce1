"""Reliability diagram: how often a mask is right beside how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sernet_core.report.charts import Axes, empty, svg

_WIDTH, _HEIGHT = 480, 400
Bin = Mapping[str, Any]


def reliability_chart(bins: Sequence[Bin], other: Sequence[Bin] = ()) -> str:
    """Accuracy over confidence in percent; a dot's area is its bin's share of the pixels.

    Args:
        bins: Each with `confidence` and `accuracy` in percent, and `pixels`.
        other: A second curve to compare with, drawn as a dashed line.
    """
    filled = [one for one in bins if one["pixels"]]
    if not filled:
        return empty()
    axes = Axes(0.0, 100.0, 100.0, width=_WIDTH, height=_HEIGHT)
    corners = [(axes.x(value), axes.y(value)) for value in (0.0, 100.0)]
    body = [
        axes.grid("confidence, %", "right, %"),
        '<line class="level" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(
            *corners[0], *corners[1]
        ),
        _curve(axes, [one for one in other if one["pixels"]], "line other"),
        _curve(axes, filled, "line"),
    ]
    total = sum(one["pixels"] for one in filled)
    for one in filled:
        share = one["pixels"] / total
        body.append(
            f'<circle class="dot" cx="{axes.x(one["confidence"]):.1f}" cy="{axes.y(one["accuracy"]):.1f}" '
            f'r="{max(2.5, 13 * share**0.5):.1f}" opacity=".75"><title>confidence {one["confidence"]:.1f} %, '
            f"right {one['accuracy']:.1f} %, {100 * share:.1f} % of the pixels</title></circle>"
        )
    return svg(body, _WIDTH, _HEIGHT)


def _curve(axes: Axes, bins: Sequence[Bin], kind: str) -> str:
    path = " ".join(f"{axes.x(one['confidence']):.1f},{axes.y(one['accuracy']):.1f}" for one in bins)
    return f'<polyline class="{kind}" points="{path}"/>'
