"""The picture of accuracy against latency."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from sernet_core.benchmark.cases import label_of
from sernet_core.report.charts import scatter_chart


def picture(report: Mapping[str, Any]) -> str:
    """Accuracy against latency of models that state a figure on real frames, each at that figure's size."""
    points: list[tuple[float, float, str]] = []
    lines: list[str] = []
    for row in report["picture"] or ():
        score = report["scores"][row["model"]][row["precision"]]
        name = f"{row['model']}, {label_of(row)}"
        points.append((row["median_ms"], score["miou"], name))
        lines.append(
            f"<tr><th>{escape(name)}</th><td>{row['width']}x{row['height']}</td><td>{row['median_ms']:.1f}</td>"
            f"<td>{row['runs']}</td><td>{score['miou']:.2f}</td><td>{escape(score['split'])}</td></tr>"
        )
    silent = [name for name, scores in report["scores"].items() if not scores]
    unsized = [
        f"{name} {precision}"
        for name, scores in report["scores"].items()
        for precision, score in scores.items()
        if not score["size"]
    ]
    words = "".join(
        f"<p>{title}: {escape(', '.join(names))}.</p>"
        for title, names in (
            ("Not in it, for they state no accuracy on real frames", silent),
            ("Not in it, for they do not state at which size they were scored", unsized),
        )
        if names
    )
    if not points and not words:
        return ""
    chart = scatter_chart(points, x_label="milliseconds", y_label="mIoU, %") if points else ""
    heads = "".join(
        f"<th>{head}</th>" for head in ("", "size", "frame to mask, ms", "runs", "mIoU, %", "scored on")
    )
    table = f"<table><tr>{heads}</tr>{''.join(lines)}</table>" if lines else ""
    return (
        "<section><h2>Accuracy against latency <small>mIoU as the checkpoint or the int8 model states it; "
        "frame to mask at the size that the mIoU was measured at, all of them in turns</small></h2>"
        f"{chart}{table}{words}</section>"
    )
