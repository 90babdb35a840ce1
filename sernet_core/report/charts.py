"""Charts as inline SVG: sharp at any size, no script, colours by the style sheet of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 640, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 34, 14, 40


def line_chart(
    points: Sequence[tuple[float, float]],
    *,
    x_label: str,
    y_label: str,
    levels: Iterable[tuple[str, float]] = (),
    misses: Iterable[float] = (),
) -> str:
    """A line with a dot a value.

    Args:
        points: (x, y) pairs, x rising.
        x_label: Name and unit of x.
        y_label: Name and unit of y.
        levels: Named horizontal lines.
        misses: Places on the x axis to mark: events that have no value.
    """
    points, misses, levels = thinned(points), list(misses), list(levels)
    xs = [x for x, _ in points] + misses
    if not xs:
        return empty()
    ys = [y for _, y in points] + [level for _, level in levels]
    axes = Axes(min(0.0, *xs, 0.0), max(xs) or 1.0, max(ys, default=1.0) * 1.08 or 1.0)
    body = [axes.grid(x_label, y_label)]
    path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points)
    body.append(f'<polyline class="line" points="{path}"/>')
    if len(points) <= 400:
        body.extend(
            f'<circle class="dot" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.4">'
            f"<title>{escape(x_label)}: {round(x, 2):g}; {escape(y_label)}: {round(y, 2):g}</title></circle>"
            for x, y in points
        )
    floor = _HEIGHT - _BOTTOM
    body.extend(
        f'<line class="miss" x1="{place}" x2="{place}" y1="{floor - 9}" y2="{floor}"/>'
        for place in dict.fromkeys(f"{axes.x(x):.1f}" for x in misses)
    )
    body.extend(_levels(axes, levels))
    return svg(body)


def thinned(points: Sequence[tuple[float, float]], most: int = 2000) -> list[tuple[float, float]]:
    """Few enough points to draw: of every stretch the lowest and the highest, so that no peak is lost."""
    if len(points) <= most:
        return list(points)
    stretch = math.ceil(2 * len(points) / most)
    kept = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


def histogram(values: Sequence[float], *, x_label: str, y_label: str, bins: int = 28) -> str:
    """Counts of values in equal bins."""
    if not values:
        return empty()
    low, high = min(values), max(values)
    # One value alone still gets a bar with some room beside it.
    room = (high - low) * 0.04 or max(abs(high) * 0.1, 1.0)
    low, high = max(0.0, low - room), high + room
    width = (high - low) / bins
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    axes = Axes(low, high, max(counts) * 1.08)
    body = [axes.grid(x_label, y_label)]
    for number, count in enumerate(counts):
        if count:
            left, right = axes.x(low + number * width), axes.x(low + (number + 1) * width)
            top = axes.y(count)
            body.append(
                f'<rect class="bar" x="{left + 0.8:.1f}" y="{top:.1f}" width="{right - left - 1.6:.1f}" '
                f'height="{_HEIGHT - _BOTTOM - top:.1f}" rx="1.5"><title>{count}</title></rect>'
            )
    return svg(body)


def scatter_chart(points: Sequence[tuple[float, float, str]], *, x_label: str, y_label: str) -> str:
    """Named dots.

    Args:
        points: x, y and name of each.
        x_label: Name and unit of x.
        y_label: Name and unit of y.
    """
    if not points:
        return empty()
    heights = [y for _, y, _ in points]
    room = max(max(heights) - min(heights), 0.05 * max(heights))  # for the names, too
    axes = Axes(0.0, max(x for x, _, _ in points) * 1.25, max(heights) + room, y_low=min(heights) - room)
    body = [axes.grid(x_label, y_label)]
    for index, (x, y, name) in enumerate(sorted(points)):
        above = (-9, 18, -24, 33)[index % 4]  # names of neighbours must not touch
        anchor = "start" if x < axes.x_high / 4 else "middle"  # nor leave the chart
        body.append(
            f'<circle class="dot" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="4"/>'
            f'<text class="tick" x="{axes.x(x):.1f}" y="{axes.y(y) + above:.1f}" '
            f'text-anchor="{anchor}">{escape(name)}</text>'
        )
    return svg(body)


def cloud_chart(points: Sequence[tuple[float, float]], *, x_label: str, y_label: str) -> str:
    """Dots over the range of their values, faint for the first ones and full for the last.

    Args:
        points: (x, y) pairs in order of time.
        x_label: Name and unit of x.
        y_label: Name and unit of y.
    """
    if len(points) < 2:
        return empty()
    (left, right), (low, high) = (_roomy(min(values), max(values)) for values in zip(*points, strict=True))
    axes = Axes(left, right, high, y_low=low)
    body = [axes.grid(x_label, y_label)]
    for index, (x, y) in enumerate(points):
        body.append(
            f'<circle class="dot" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3.4" '
            f'opacity="{0.25 + 0.75 * index / (len(points) - 1):.2f}"/>'
        )
    return svg(body)


def _roomy(low: float, high: float) -> tuple[float, float]:
    """A range with some room on either side."""
    room = (high - low) * 0.06 or max(abs(high) * 0.1, 1.0)
    return low - room, high + room


@dataclass(frozen=True)
class Axes:
    """Maps values to pixels.

    Attributes:
        x_low, x_high: Values at the left and at the right end.
        y_high: Value at the top.
        y_low: Value at the bottom.
        width, height: Of the chart.
    """

    x_low: float
    x_high: float
    y_high: float
    y_low: float = 0.0
    width: int = _WIDTH
    height: int = _HEIGHT

    def x(self, value: float) -> float:
        span = self.x_high - self.x_low or 1.0
        return _LEFT + (value - self.x_low) / span * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        span = self.y_high - self.y_low or 1.0
        return self.floor - (value - self.y_low) / span * (self.floor - _TOP)

    @property
    def floor(self) -> int:
        """y of the x axis."""
        return self.height - _BOTTOM

    def grid(self, x_label: str, y_label: str) -> str:
        """Grid lines, tick labels and the names of the axes."""
        parts = []
        for tick in _ticks(self.y_low, self.y_high, max(2, (self.floor - _TOP) // 44)):
            y = self.y(tick)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{self.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(
                f'<text class="tick" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
            )
        for tick in _ticks(self.x_low, self.x_high, max(2, (self.width - _LEFT - _RIGHT) // 79)):
            parts.append(
                f'<text class="tick" x="{self.x(tick):.1f}" y="{self.floor + 16}" '
                f'text-anchor="middle">{tick:g}</text>'
            )
        middle = (_TOP + self.floor) / 2
        parts.append(
            f'<text class="axis" x="{(_LEFT + self.width - _RIGHT) / 2}" y="{self.height - 6}" '
            f'text-anchor="middle">{escape(x_label)}</text>'
        )
        parts.append(
            f'<text class="axis" transform="translate(13 {middle}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )
        return "".join(parts)


def _levels(axes: Axes, levels: Iterable[tuple[str, float]]) -> Iterable[str]:
    """Named lines; names that would touch are moved apart, upwards."""
    free = float(_HEIGHT)
    for name, level in sorted(levels, key=lambda item: item[1]):
        y = axes.y(level)
        free = min(y + 4.0, free - 13.0)
        yield (
            f'<line class="level" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="level-name" x="{_WIDTH - _RIGHT + 5}" y="{free:.1f}">{escape(name)}</text>'
        )


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from low to high, roughly `about` of them."""
    raw = max((high - low) / about, 1e-9)  # what ticks are rounded to is finer
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(body: Iterable[str], width: int = _WIDTH, height: int = _HEIGHT) -> str:
    """A chart of its parts."""
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img">{"".join(body)}</svg>'


def empty() -> str:
    """What stands where there is nothing to draw."""
    return '<p class="note">Nothing was measured.</p>'
