"""Shares over time as stacked areas, and a confusion matrix as a shaded table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sernet_core.report.charts import Axes, empty, svg


def stacked_areas(
    moments: Sequence[float], shares: Sequence[Sequence[float]], colors: Sequence[str], *, x_label: str
) -> str:
    """Areas on top of each other.

    Args:
        moments: x of each row, rising.
        shares: One row a moment, one value in percent an area.
        colors: One a column, from the bottom up.
        x_label: Name and unit of x.
    """
    if len(moments) < 2 or moments[0] == moments[-1]:
        return empty()
    axes = Axes(moments[0], moments[-1], 100.0)
    body = [axes.grid(x_label, "share, %")]
    floor = [0.0] * len(moments)
    for column, color in enumerate(colors):
        top = [low + row[column] for low, row in zip(floor, shares, strict=True)]
        outline = [(x, y) for x, y in zip(moments, top, strict=True)]
        outline += [(x, y) for x, y in zip(reversed(moments), reversed(floor), strict=True)]
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in outline)
        body.append(f'<polygon class="area" fill="{escape(color)}" points="{path}"/>')
        floor = top
    return svg(body)


def confusion_table(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Rows are true classes, columns predicted ones, in percent of the row; the last column is no class."""
    heads = "".join(f"<th><span>{escape(name)}</span></th>" for name in [*names, "unlabeled"])
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = sum(row)
        cells = []
        for column, count in enumerate(row):
            percent = 100.0 * count / total if total else 0.0
            right = " right" if column < len(names) and names[column] == name else ""
            text = "" if percent < 0.05 else f"{percent:.0f}" if percent >= 9.95 else f"{percent:.1f}"
            cells.append(f'<td class="cell{right}" style="--part:{percent:.1f}%">{text}</td>')
        rows.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table class="confusion"><tr><th></th>{heads}</tr>{"".join(rows)}</table></div>'
    )
