"""The table of an ablation: a line a variant, with its scores, its difference and its cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from sernet_core.ablation.cost import count
from sernet_core.ablation.differences import paired, spread
from sernet_core.ablation.plan import Plan
from sernet_core.ablation.rows import BASE, Row, rows_of

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]  # scores by row and seed


def lines(plan: Plan, results: Results, timing: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Everything known of each variant that has a run, those of earlier calls too.

    Args:
        plan: The ablation.
        results: Scores by row and seed.
        timing: Latency by row, of those that were timed.
    """
    return [
        _line(plan, row, results, timing.get(row.name))
        for row in rows_of(plan.recipe.network)
        if row.name in results
    ]


def _line(plan: Plan, row: Row, results: Results, latency: Mapping[str, Any] | None) -> dict[str, Any]:
    runs = results[row.name]
    against = None if row.name == BASE else paired(_miou(results.get(row.against, {})), _miou(runs))
    return {
        "row": row.name,
        "group": row.group,
        "settings": row.settings,
        "miou": spread(list(_miou(runs).values())),
        "runs": {str(seed): run["miou"] for seed, run in sorted(runs.items())},
        "iou": _by_class(runs),
        "against": against and {"row": row.against, **against},
        **count(row.network(plan.recipe.network), plan.recipe.input_size),
        "latency": latency,
    }


def _miou(runs: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    return {seed: run["miou"] for seed, run in runs.items()}


def _by_class(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, float | None]:
    """Mean IoU of each class over the seeds in which it has one."""
    names = next(iter(runs.values()))["iou"]
    values = {name: [run["iou"][name] for run in runs.values()] for name in names}
    known = {name: [value for value in found if value is not None] for name, found in values.items()}
    return {name: round(sum(found) / len(found), 4) if found else None for name, found in known.items()}


def as_csv(report: Mapping[str, Any]) -> str:
    """The lines of a report as CSV."""
    written = []
    for line in report["rows"]:
        against, latency = line["against"] or {}, line["latency"] or {}
        written.append(
            {
                "row": line["row"],
                "group": line["group"],
                **{f"miou_{key}": value for key, value in line["miou"].items()},
                "against": against.get("row"),
                "difference": against.get("difference"),
                **{f"difference_{key}": against.get(key) for key in ("sd", "low", "high")},
                "verdict": against.get("verdict"),
                "parameters": line["parameters"],
                "gmac": line["gmac"],
                "latency_ms": latency.get("median_ms"),
                "latency_ratio": latency.get("ratio"),
            }
        )
    text = io.StringIO()
    if written:
        writer = csv.DictWriter(text, list(written[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(written)
    return text.getvalue()


def as_text(report: Mapping[str, Any]) -> str:
    """The lines of a report for a terminal."""
    shown = [
        f"{'':<20}{'seeds':>6}{'mIoU':>8}{'sd':>7}{'difference':>12}  "
        f"{'95 %':<18}{'M':>6}{'GMAC':>7}{'ms':>8}"
    ]
    for line in report["rows"]:
        miou, found, latency = line["miou"], line["against"], line["latency"]
        sure = found is not None and found["low"] is not None
        shown.append(
            f"{line['row']:<20}{miou['seeds']:>6}{miou['mean']:>8.2f}"
            + ("      -" if miou["sd"] is None else f"{miou['sd']:>7.2f}")
            + ("           -" if found is None else f"{found['difference']:>+12.2f}")
            + "  "
            + (f"{found['low']:+.2f} to {found['high']:+.2f}" if sure else "-").ljust(18)
            + f"{line['parameters'] / 1e6:>6.2f}{line['gmac']:>7.2f}"
            + (f"{latency['median_ms']:>8.1f}" if latency else "       -")
            + ("" if found is None or found["row"] == BASE else f"  from '{found['row']}'")
        )
    return "\n".join(shown)
