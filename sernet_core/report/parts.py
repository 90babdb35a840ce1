"""What the pages of reports are made of: the document, the cards and the bars of the IoU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from sernet_core.report.style import STYLE


def document(title: str, sections: Iterable[str]) -> str:
    """A page that needs nothing from elsewhere."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>"
        + "\n".join(section for section in sections if section)
        + "</main></body></html>\n"
    )


def cards_section(cards: Sequence[tuple[str, str, str, str]]) -> str:
    """The figures that matter: name, value, unit and a line below."""
    return (
        '<section class="cards">'
        + "".join(
            f'<div class="card"><p class="name">{escape(name)}</p><p class="value">{value}'
            f"<small>{unit}</small></p><p>{escape(note)}</p></div>"
            for name, value, unit, note in cards
        )
        + "</section>"
    )


def bars_section(report: Mapping[str, Any], note: str) -> str:
    """IoU by class as bars in the classes' colours, and their mean."""
    rows = []
    for name, value in report["iou"].items():
        color = report["classes"].get(name, "#888")
        width = 0.0 if value is None else value
        rows.append(
            f'<div class="row"><span class="label">{escape(name)}</span><span class="track">'
            f'<span class="fill" style="width:{width:.2f}%;background:{color}"></span></span>'
            f'<span class="figure">{number(value, 1)}</span></div>'
        )
    return (
        "<section><h2>IoU by class <small>in percent, over all scored frames together</small></h2>"
        f'<div class="bars">{"".join(rows)}<div class="row mean"><span class="label">mean</span>'
        f'<span class="track"><span class="fill" style="width:{report["miou"]:.2f}%"></span></span>'
        f'<span class="figure">{number(report["miou"], 1)}</span></div></div>'
        f'<p class="note">{escape(note)}</p></section>'
    )


def details_section(tables: Mapping[str, Mapping[str, Any]], after: str = "") -> str:
    """Tables of names and values, each under its title; `after` is markup that follows them."""
    parts = "".join(
        f"<details open><summary>{escape(title)}</summary><table>"
        + "".join(
            f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>"
            for key, value in entries.items()
        )
        + "</table></details>"
        for title, entries in tables.items()
    )
    return f'<section><h2>Details</h2><div class="tables">{parts}</div>{after}</section>'


def number(value: float | None, digits: int) -> str:
    """A figure, or a dash where there is none."""
    return "&ndash;" if value is None else f"{value:.{digits}f}"
