"""What a report says of single frames, and the same as a table. Knows no ROS."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sernet_core.frame_scores import FrameScores, flicker_between
from sernet_core.storage import write_atomically
from sernet_ros.matching import Sent, percentile

_BINS = 240
"""Moments of the class share over time: as many as a chart can show."""
COUNTS = ("right", "true", "predicted")


def add_frames(report: dict[str, Any], sent: Sequence[Sent], scores: FrameScores) -> None:
    """Put the scores of the frames into a report of `live_report.build_report`.

    Args:
        report: Gets `frame_miou`, `flicker_percent`, `class_share_percent`, `share_over_time`, `output_rate`,
            and in each entry of its timeline `miou` and `flicker_percent`.
        sent: Frames that were sent, in the order of the timeline.
        scores: Of the masks that came back.
    """
    flicker = flicker_between(scores, [frame.stamp_ns for frame in sent])
    for moment in report["timeline"]:
        score = scores.by_stamp.get(moment["stamp_ns"])
        miou = score.miou if score else None
        moment["miou"] = None if miou is None else round(miou, 2)
        change = flicker.get(moment["stamp_ns"])
        moment["flicker_percent"] = None if change is None else round(change, 2)
    mious = [row["miou"] for row in report["timeline"] if row["miou"] is not None]
    report["frame_miou"] = _spread(mious) if report["miou"] is not None else None
    report["flicker_percent"] = _spread(list(flicker.values()))
    names = [*scores.classes.names, "unlabeled"]
    shares = [
        (row["t_s"], scores.by_stamp[row["stamp_ns"]].share)
        for row in report["timeline"]
        if row["stamp_ns"] in scores.by_stamp
    ]
    mean = np.mean([share for _, share in shares], axis=0) if shares else np.zeros(len(names))
    report["class_share_percent"] = {
        name: round(100.0 * float(value), 2) for name, value in zip(names, mean, strict=True)
    }
    report["share_over_time"] = _share_over_time(shares)
    report["output_rate"] = [] if report.get("offline") else _output_rate(report["timeline"])


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    figures = {"min": min(values), "median": percentile(values, 50.0), "p95": percentile(values, 95.0)}
    figures["mean"] = sum(values) / len(values)
    return {name: round(float(value), 2) for name, value in figures.items() if value is not None}


def _share_over_time(shares: Sequence[tuple[float, np.ndarray]]) -> list[dict[str, Any]]:
    stretch = max(1, -(-len(shares) // _BINS))
    rows = []
    for start in range(0, len(shares), stretch):
        part = shares[start : start + stretch]
        mean = np.mean([share for _, share in part], axis=0)
        rows.append({"t_s": part[0][0], "share_percent": [round(100.0 * float(value), 2) for value in mean]})
    return rows


def _output_rate(timeline: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Masks a second, in equal stretches of at least a second, at most as many as a chart shows."""
    arrived = [row["t_s"] + row["latency_ms"] / 1e3 for row in timeline if row["latency_ms"] is not None]
    if not arrived:
        return []
    stretch = max(1.0, max(arrived) / _BINS)
    # The last one is not over yet: its rate would be too low.
    counts = np.bincount([int(moment / stretch) for moment in arrived])[:-1]
    return [
        {"t_s": round(stretch * index, 3), "hz": round(float(count) / stretch, 3)}
        for index, count in enumerate(counts)
    ]


def write_table(path: Path, report: Mapping[str, Any], scores: FrameScores) -> None:
    """Write frames.csv: one line a frame, with its figures and, where it was scored, its pixel counts.

    Args:
        path: The file, replaced in one step.
        report: With the frames in it.
        scores: Of the masks.
    """
    names = scores.classes.names
    shares = [*(f"share {name}" for name in names), "share unlabeled"]
    counts = [f"{kind} {name}" for kind in COUNTS for name in names]
    heads = ["index", "frame", "stamp_ns", "t_s", "latency_ms", "miou", "flicker_percent"]

    def write(target: Path) -> None:
        with target.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow([*heads, *shares, *counts])
            for index, row in enumerate(report["timeline"]):
                score = scores.by_stamp.get(row["stamp_ns"])
                share = [""] * len(shares) if score is None else [f"{value:.5f}" for value in score.share]
                count = [""] * len(counts)
                if score is not None and score.counts is not None:
                    count = list(map(str, score.counts.ravel()))
                figures = ["" if row[head] is None else row[head] for head in heads[1:]]
                table.writerow([index, *figures, *share, *count])

    write_atomically(path, write)
