"""The table of an ablation: a line a variant, with its scores, its difference and its cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from sernet_core.ablation.cost import count
from sernet_core.ablation.differences import paired, spread
from sernet_core.ablation.plan import Plan
from sernet_core.ablation.rows import BASE, Row

_NAME = 24  # columns of a row's name
Runs = Mapping[int, Mapping[str, Any]]  # scores by seed
Results = Mapping[str, Runs]  # by row


def lines(plan: Plan, results: Results, timing: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Everything known of each variant that has a run, those of earlier calls too.

    Args:
        plan: The ablation.
        results: Scores by row and seed.
        timing: Latency by row, of those that were timed.
    """
    return [_line(plan, row, results, timing.get(row.name)) for row in plan.known if row.name in results]


def _line(plan: Plan, row: Row, results: Results, latency: Mapping[str, Any] | None) -> dict[str, Any]:
    runs, others = results[row.name], results.get(row.against, {})
    return {
        "row": row.name,
        "group": row.group,
        "changes": row.changes,
        **_compared(row, runs, others),
        "also": {
            split.name: _compared(row, _of_split(runs, split.name), _of_split(others, split.name))
            for split in plan.also
            if _of_split(runs, split.name)
        },
        **count(row.network(plan.recipe.network), plan.recipe.input_size),
        "latency": latency,
    }


def _compared(row: Row, runs: Runs, others: Runs) -> dict[str, Any]:
    """Scores of a row on one split, and how they differ from those of the row that it is compared with."""
    against = None if row.name == BASE else paired(_miou(others), _miou(runs))
    return {
        "miou": spread(list(_miou(runs).values())),
        "runs": {str(seed): run["miou"] for seed, run in sorted(runs.items())},
        "iou": _by_class(runs),
        "against": against and {"row": row.against, **against},
    }


def _of_split(runs: Runs, name: str) -> Runs:
    """Scores on a further split, of the runs that have any; without labels, or asked for later, none has."""
    found = {seed: run.get("also", {}).get(name, {}) for seed, run in runs.items()}
    return {seed: scores for seed, scores in found.items() if scores.get("miou") is not None}


def _miou(runs: Runs) -> dict[int, float]:
    return {seed: run["miou"] for seed, run in runs.items()}


def _by_class(runs: Runs) -> dict[str, float | None]:
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
                **_also_columns(line, report["settings"]["also"]),
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


def _also_columns(line: Mapping[str, Any], splits: Sequence[str]) -> dict[str, Any]:
    found = {}
    for split in splits:
        scores = line["also"].get(split, {})
        against = scores.get("against") or {}
        found[f"{split}_miou_mean"] = scores.get("miou", {}).get("mean")
        found |= {f"{split}_{key}": against.get(key) for key in ("difference", "low", "high", "verdict")}
    return found


def as_text(report: Mapping[str, Any]) -> str:
    """The lines of a report for a terminal."""
    shown = [
        f"{'':<{_NAME}}{'seeds':>6}{'mIoU':>8}{'sd':>7}{'difference':>12}  "
        f"{'95 %':<18}{'':<10}{'M':>6}{'GMAC':>7}{'ms':>8}"
    ]
    for line in report["rows"]:
        found, latency = line["against"], line["latency"]
        shown.append(
            f"{line['row']:<{_NAME}}{_as_words(line)}{line['parameters'] / 1e6:>6.2f}{line['gmac']:>7.2f}"
            + (f"{latency['median_ms']:>8.1f}" if latency else "       -")
            + ("" if found is None or found["row"] == BASE else f"  from '{found['row']}'")
        )
    for split in report["settings"]["also"]:
        shown.append(f"\n{split}")
        shown += [
            f"{line['row']:<{_NAME}}{_as_words(line['also'][split])}".rstrip()
            for line in report["rows"]
            if split in line["also"]
        ]
    return "\n".join(shown)


def _as_words(scores: Mapping[str, Any]) -> str:
    """Seeds, mean, deviation, difference, its interval and the verdict, in columns."""
    miou, found = scores["miou"], scores["against"]
    sure = found is not None and found["low"] is not None
    return (
        f"{miou['seeds']:>6}{miou['mean']:>8.2f}"
        + ("      -" if miou["sd"] is None else f"{miou['sd']:>7.2f}")
        + ("           -" if found is None else f"{found['difference']:>+12.2f}")
        + "  "
        + (f"{found['low']:+.2f} to {found['high']:+.2f}" if sure else "-").ljust(18)
        + (found["verdict"] if sure else "").ljust(10)
    )
