"""Two reports of evaluate_bag and their differences, with what of them is more than noise."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sernet_core.bootstrap import Difference, iou_differences, median_difference
from sernet_core.errors import InputError
from sernet_ros.frame_report import COUNTS


@dataclass(frozen=True)
class Limits:
    """What counts as a regression: drops in points and slowness in percent; None: not looked at."""

    drop: float | None = None
    class_drop: float | None = None
    slower: float | None = None


@dataclass(frozen=True)
class Run:
    """One report.

    Attributes:
        label: What people call it.
        report: Content of report.json.
        names: Class names.
        counts: Of the scored frames by stamp, int64 (3, K).
        latency_ms: Of the answered frames, float64 (N,).
    """

    label: str
    report: Mapping[str, Any]
    names: tuple[str, ...]
    counts: Mapping[int, np.ndarray]
    latency_ms: np.ndarray


def read_run(path: Path) -> Run:
    """Read what evaluate_bag left in a folder.

    Raises:
        InputError: It is not there, or not what evaluate_bag writes.
    """
    folder = path.expanduser()
    folder = folder.parent if folder.name == "report.json" else folder
    try:
        report = json.loads((folder / "report.json").read_text())
        names = tuple(report["classes"])
        counts: dict[int, np.ndarray] = {}
        latency = []
        with (folder / "frames.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["latency_ms"]:
                    latency.append(float(row["latency_ms"]))
                if row[f"{COUNTS[0]} {names[0]}"]:
                    counts[int(row["stamp_ns"])] = np.array(
                        [[int(row[f"{kind} {name}"]) for name in names] for kind in COUNTS], np.int64
                    )
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); give a folder that evaluate_bag left"
        ) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{folder}: not a report of evaluate_bag: {error!r}") from error
    return Run(folder.resolve().name, report, names, counts, np.array(latency))


def compare(first: Run, second: Run, limits: Limits, *, draws: int = 4000, block: int = 1) -> dict[str, Any]:
    """Compare two runs.

    Args:
        first: What is compared with.
        second: What is new.
        limits: What counts as a regression.
        draws: Bootstrap draws.
        block: Frames that are drawn together.

    Returns:
        The content of compare.json; differences are second minus first.

    Raises:
        InputError: They have different classes.
    """
    if first.names != second.names:
        raise InputError(
            f"{first.label} and {second.label} have different classes: {', '.join(first.names)} and "
            f"{', '.join(second.names)}; IoU of different classes cannot be compared"
        )
    common = [stamp for stamp in first.counts if stamp in second.counts]
    same_source = first.report["source"]["name"] == second.report["source"]["name"]
    paired = same_source and bool(common)
    if paired:
        left, right = ([run.counts[stamp] for stamp in common] for run in (first, second))
    else:
        left, right = list(first.counts.values()), list(second.counts.values())
    miou: Difference | None = None
    classes: list[Difference] = []
    if left and right:
        miou, classes = iou_differences(np.stack(left), np.stack(right), paired, draws, block)
    latency = None
    if len(first.latency_ms) and len(second.latency_ms):
        latency = median_difference(first.latency_ms, second.latency_ms, min(draws, 500), block)
    rows = [{"class": name, **_plain(one)} for name, one in zip(first.names, classes, strict=bool(classes))]
    return {
        "created": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "first": _side(first),
        "second": _side(second),
        "frames": len(left) if paired else min(len(left), len(right)),
        "pairing": _pairing(first, second, len(common), paired),
        "miou": _plain(miou) if miou else None,
        "iou": rows,
        "latency_p50_ms": _plain(latency, lower_is_better=True) if latency else None,
        "note": _note(bool(miou), draws, block),
        "regressions": _regressions(limits, miou, dict(zip(first.names, classes, strict=False)), latency),
    }


def _side(run: Run) -> dict[str, Any]:
    report = run.report
    keys = ("model", "engine", "precision", "device", "created", "partial", "command")
    facts = {key: report.get(key) for key in keys}
    source = {"recording": report["source"]["name"], "answered": report["answered_percent"]}
    return {"label": run.label, **facts, **source, **report["versions"], **report["machine"]}


def _pairing(first: Run, second: Run, common: int, paired: bool) -> str:
    if not paired:
        return "different recordings: each drawn for itself"
    left_out = len(first.counts) + len(second.counts) - 2 * common
    return "the same frames in both" + (f"; {left_out} that only one has are left out" if left_out else "")


def _note(scored: bool, draws: int, block: int) -> str:
    if not scored:
        return "No ground truth in both: there is no accuracy to compare."
    unit = "frames" if block == 1 else f"stretches of {block} frames"
    return (
        f"{draws} draws of {unit} with replacement. Neighbouring frames of a video look alike: drawing them "
        "one by one makes intervals too narrow; --block draws stretches. Intervals of classes are as wide as "
        "all of them together need for 95 %. An interval with zero in it says "
        "that these frames cannot tell the two apart."
    )


def _plain(difference: Difference, lower_is_better: bool = False) -> dict[str, Any]:
    def rounded(value: float) -> float | None:
        return round(value, 3) if np.isfinite(value) else None

    verdict = "no difference shown"
    if not np.isfinite(difference.value):
        verdict = "not in both"
    elif difference.certain:
        verdict = "better" if (difference.value > 0) != lower_is_better else "worse"
    return {
        "first": rounded(difference.first),
        "second": rounded(difference.second),
        "difference": rounded(difference.value),
        "low": rounded(difference.low),
        "high": rounded(difference.high),
        "verdict": verdict,
    }


def _regressions(
    limits: Limits, miou: Difference | None, classes: Mapping[str, Difference], latency: Difference | None
) -> list[str]:
    found = []
    short = [
        name
        for name, limit, one in (
            ("mIoU", limits.drop, miou),
            ("IoU of the classes", limits.class_drop, miou),
            ("median latency", limits.slower, latency),
        )
        if limit is not None and one is not None and np.isfinite(one.value) and not np.isfinite(one.low)
    ]
    if short:
        found.append(
            f"{', '.join(short)}: too few frames for an interval, but a limit; compare longer recordings, or "
            "draw shorter stretches (--block)"
        )
    if limits.drop is not None:
        found += _dropped("mIoU", miou, limits.drop)
    if limits.class_drop is not None:
        for name, one in classes.items():
            found += _dropped(f"IoU of {name}", one, limits.class_drop)
    if limits.slower is not None and latency is not None:
        percent = 100.0 * latency.value / latency.first if latency.first else 0.0
        if percent > limits.slower and latency.certain:
            found.append(
                f"median latency rose by {percent:.1f} %, from {latency.first:.1f} to {latency.second:.1f} ms"
            )
    return found


def _dropped(what: str, difference: Difference | None, limit: float) -> list[str]:
    if difference is None:
        return [f"{what}: there is none to compare, but a limit"]
    if not (difference.certain and -difference.value > limit):
        return []
    return [
        f"{what} fell by {-difference.value:.2f} points, from {difference.first:.2f} to "
        f"{difference.second:.2f} % (95 %: {difference.low:.2f} to {difference.high:.2f})"
    ]


def table(comparison: Mapping[str, Any]) -> str:
    """The differences as lines for a terminal."""
    lines = [
        f"{comparison['second']['label']} against {comparison['first']['label']}: "
        f"{comparison['frames']} frames, {comparison['pairing']}",
        f"  {'':<18}{'first':>9}{'second':>9}{'differs':>9}   95 %",
    ]
    rows = [*comparison["iou"]]
    for name, key in (("mIoU, %", "miou"), ("latency p50, ms", "latency_p50_ms")):
        rows += [{"class": name, **comparison[key]}] if comparison[key] else []
    for row in rows:
        figures = "".join(
            f"{'-' if row[key] is None else format(row[key], '+.2f' if key == 'difference' else '.2f'):>9}"
            for key in ("first", "second", "difference")
        )
        interval = "" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}"
        lines.append(f"  {row['class']:<18}{figures}   {interval:<18}  {row['verdict']}")
    return "\n".join([*lines, "", comparison["note"]])
