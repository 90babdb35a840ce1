"""Several recordings judged in one call: one confusion matrix over all of them, and a line for each."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sernet_core.labels import ClassSet
from sernet_core.metrics import ConfusionMatrix
from sernet_core.report.summary import render_summary
from sernet_core.storage import write_atomically
from sernet_ros.matching import percentile
from sernet_ros.results import PAGE, SUMMARY

_COLUMNS = (
    "recording",
    "miou",
    "pixel_accuracy",
    "frames",
    "scored",
    "latency_p50_ms",
    "flicker_median_percent",
)


def summary_of(
    reports: Sequence[Mapping[str, Any]], folders: Sequence[Path], classes: ClassSet, wanted: int
) -> dict[str, Any]:
    """The figures over all recordings.

    Args:
        reports: Of the recordings, at least one.
        folders: Where each has its results.
        classes: Class set of the model.
        wanted: How many recordings were asked for.
    """
    matrix = ConfusionMatrix(classes)
    for report in reports:
        if report["confusion"]:
            matrix.counts += np.array(report["confusion"], np.int64)
    latency = [
        row["latency_ms"] for report in reports for row in report["timeline"] if row["latency_ms"] is not None
    ]
    first = reports[0]
    problems = [f"{one['source']['name']}: {one['partial']}" for one in reports if one.get("partial")]
    if len(reports) < wanted:
        problems.append(f"{len(reports)} of {wanted} recordings were judged")
    scored = bool(matrix.counts.any())
    return {
        **{key: first[key] for key in ("created", "model", "engine", "device", "precision", "notice")},
        **{key: first[key] for key in ("classes", "machine", "versions", "command")},
        **(
            matrix.summary() if scored else dict.fromkeys(("miou", "iou", "pixel_accuracy", "class_accuracy"))
        ),
        "confusion": matrix.counts.tolist() if scored else None,
        "partial": "; ".join(problems) or None,
        "frames": {
            name: sum(report["frames"][name] for report in reports)
            for name in ("sent", "answered", "dropped", "scored", "unreadable")
        },
        "latency_ms": {name: percentile(latency, share) for name, share in (("p50", 50.0), ("p95", 95.0))},
        "recordings": [_line(report, folder) for report, folder in zip(reports, folders, strict=False)],
    }


def _line(report: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    flicker = report["flicker_percent"]
    return {
        "recording": report["source"]["name"],
        "page": f"{folder.name}/{PAGE}",
        "miou": report["miou"],
        "pixel_accuracy": report["pixel_accuracy"],
        "frames": report["frames"]["sent"],
        "scored": report["frames"]["scored"],
        "latency_p50_ms": report["latency_ms"]["p50"],
        "flicker_median_percent": flicker["median"] if flicker else None,
        "partial": report.get("partial"),
        "accuracy_note": report["accuracy_note"],
    }


def leave_summary(
    out: Path, reports: Sequence[Mapping[str, Any]], folders: Sequence[Path], classes: ClassSet, wanted: int
) -> dict[str, Any]:
    """Write summary.json, summary.csv and summary.html."""
    summary = summary_of(reports, folders, classes, wanted)

    def table(target: Path) -> None:
        with target.open("w", newline="") as file:
            writer = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(summary["recordings"])

    text, page = json.dumps(summary, indent=2) + "\n", render_summary(summary)
    figures, rows, shown = (out / name for name in SUMMARY)
    write_atomically(figures, lambda target: target.write_text(text))
    write_atomically(rows, table)
    write_atomically(shown, lambda target: target.write_text(page))
    return summary
