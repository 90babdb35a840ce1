"""The results of an evaluation as values for JSON, as tables for spreadsheets and as text for a terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sernet_core.bootstrap import iou_differences, miou_interval
from sernet_core.calibration import Reliability
from sernet_core.datasets import Dataset
from sernet_core.evaluate.run import Evaluation
from sernet_core.evaluate.tally import Tally
from sernet_core.evaluate.temporal import VIDEO
from sernet_core.frame_scores import mean_iou
from sernet_core.labels import ClassSet
from sernet_core.report.facts import machine, versions
from sernet_core.runtime import Segmenter
from sernet_core.storage import write_atomically

STRETCH = 10  # frames of a video that the bootstrap draws together: neighbours look alike
Metrics = dict[str, Any]


def metrics_of(evaluation: Evaluation, dataset: Dataset, segmenter: Segmenter) -> Metrics:
    """The content of metrics.json; `iou`, `miou` and all other shares are in percent.

    The figures at the top are those of the single scale; `rows` has every row, the single scale first.
    """
    tallies = evaluation.tallies
    first = tallies[0]
    # Of fewer than five stretches, draws would hardly differ.
    block = max(1, min(STRETCH, len(first.frames) // 5)) if first.steadiness.is_video else 1
    low, high = miou_interval(np.stack([line.counts for line in first.frames]), block=block)
    return {
        **first.matrix.summary(),
        "miou_interval": {"low": _plain(low), "high": _plain(high), "frames_together": block},
        "frames": len(first.frames),
        "dataset": dataset.name,
        "model": segmenter.model,
        "engine": ", ".join(dict.fromkeys(engine for engine, _ in evaluation.engines)),
        "precision": ", ".join(dict.fromkeys(precision for _, precision in evaluation.engines)),
        "device": segmenter.device,
        "sizes": [
            {"network": "{}x{}".format(*network), "labels": "{}x{}".format(*labels)}
            for network, labels in evaluation.sizes
        ],
        "created": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "notice": segmenter.info.notice,
        "classes": _colors(dataset.classes),
        "confusion": first.matrix.counts.tolist(),
        "boundary": _boundary(first),
        "calibration": _calibration(first, segmenter.info.temperature),
        "temporal": _temporal(first, evaluation.step),
        "rows": [_row(tally, first, block) for tally in tallies],
        "machine": machine(),
        "versions": versions(),
    }


def _row(tally: Tally, first: Tally, block: int) -> Metrics:
    video = tally.steadiness.is_video
    values = {
        "label": tally.row.label,
        "passes": len(tally.row.views),
        **tally.matrix.summary(),
        "boundary_miou": _plain(tally.boundary.miou),
        "boundary_iou": _by_class(tally.classes, tally.boundary.iou),
        "ece": _plain(tally.confidence.reliability().ece),
        "flicker": _plain(tally.steadiness.flicker) if video else None,
        "steady_right": _plain(tally.steadiness.steady_right) if video else None,
    }
    if tally is not first:
        before, after = (np.stack([line.counts for line in one.frames]) for one in (first, tally))
        gain, _ = iou_differences(before, after, paired=True, block=block)
        if np.isfinite(gain.value):
            values["gain"] = {"miou": _plain(gain.value), "low": _plain(gain.low), "high": _plain(gain.high)}
    return values


def _boundary(tally: Tally) -> Metrics:
    boundary = tally.boundary
    iou = _by_class(tally.classes, boundary.iou)
    thin = boundary.iou[[tally.classes.id_of(name) for name in boundary.thin]]
    return {
        "band": boundary.band,
        "band_pixels": sorted(boundary.widths),
        "miou": _plain(boundary.miou),
        "iou": iou,
        "in_band_percent": _by_class(tally.classes, boundary.in_band),
        "thin": boundary.thin,
        "thin_miou": _plain(mean_iou(thin)),
    }


def _calibration(tally: Tally, temperature: float) -> Metrics:
    by_class = tally.confidence.by_class()
    rows = zip(tally.classes.names, by_class.confidence, by_class.accuracy, by_class.count, strict=True)
    return {
        "temperature": temperature,
        **_reliability(tally.confidence.reliability()),
        "by_predicted_class": {
            name: {"confidence": round(sure, 4), "accuracy": round(right, 4), "pixels": count}
            for name, sure, right, count in rows
        },
        "without_temperature": _reliability(tally.unscaled.reliability()),
    }


def _reliability(curve: Reliability) -> Metrics:
    rows = zip(curve.confidence, curve.accuracy, curve.count, strict=True)
    return {
        "ece": _plain(curve.ece),
        "bins": [
            {"confidence": round(sure, 4), "accuracy": round(right, 4), "pixels": count}
            for sure, right, count in rows
        ],
    }


def _temporal(tally: Tally, step: float) -> Metrics:
    steady = tally.steadiness
    if not steady.is_video:
        note = "No two frames follow each other in time, by their names."
        if steady.still is not None:
            note = (
                f"Frames that follow each other by name share {steady.still:.0f} % of their ground truth; "
                f"below {100 * VIDEO:.0f} % they are no video."
            )
        return {"pairs": 0, "note": note}
    return {
        "pairs": steady.pairs,
        "step": step,
        "still_percent": _plain(steady.still),
        "flicker": _plain(steady.flicker),
        "steady_right": _plain(steady.steady_right),
        "flicker_by_class": _by_class(tally.classes, steady.flicker_by_class),
    }


def write_results(out: Path, metrics: Metrics, evaluation: Evaluation) -> list[Path]:
    """Write metrics.json, metrics.csv (a line a row) and frames.csv (a line a frame), each atomically."""
    files = {
        "metrics.json": json.dumps(metrics, indent=2) + "\n",
        "metrics.csv": _rows_csv(metrics),
        "frames.csv": _frames_csv(evaluation),
    }
    for name, text in files.items():
        write_atomically(out / name, _writer(text))
    return [out / name for name in files]


def _writer(text: str) -> Callable[[Path], object]:
    return lambda target: target.write_text(text, encoding="utf-8")


def _rows_csv(metrics: Metrics) -> str:
    figures = (
        "label", "passes", "miou", "pixel_accuracy", "class_accuracy", "boundary_miou", "ece", "flicker",
        "steady_right",
    )  # fmt: skip
    names = list(metrics["classes"])
    head = [*figures, *(f"iou {name}" for name in names), *(f"boundary iou {name}" for name in names)]
    lines = [
        [*(row[figure] for figure in figures), *row["iou"].values(), *row["boundary_iou"].values()]
        for row in metrics["rows"]
    ]
    return _csv(head, lines)


def _frames_csv(evaluation: Evaluation) -> str:
    head = ["frame"]
    for tally in evaluation.tallies:
        head += [f"{figure} ({tally.row.label})" for figure in ("miou", "pixel_accuracy", "flicker")]
    video = [tally.steadiness.is_video for tally in evaluation.tallies]
    lines: list[list[Any]] = []
    for frames in zip(*(tally.frames for tally in evaluation.tallies), strict=True):
        line: list[Any] = [frames[0].stem]
        for frame, moving in zip(frames, video, strict=True):
            line += [
                _plain(frame.miou),
                _plain(frame.pixel_accuracy),
                _plain(frame.flicker) if moving else None,
            ]
        lines.append(line)
    return _csv(head, lines)


def _csv(head: list[str], lines: list[list[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return file.getvalue()


def table(metrics: Metrics) -> str:
    """The figures as lines of text for a terminal, in percent."""

    def row(name: str, value: float | None, beside: float | None = None) -> str:
        bar = "" if value is None else "█" * round(value / 4)
        return f"  {name:<16}{_cell(value)} {_cell(beside)}  {bar}"

    edges = metrics["boundary"]
    lines = [
        f"{metrics['dataset']}: {metrics['frames']} frames, {metrics['model']}",
        "  class             IoU % border",
        *(row(name, value, edges["iou"][name]) for name, value in metrics["iou"].items()),
        "",
        row("mIoU", metrics["miou"], edges["miou"]),
        row("pixel accuracy", metrics["pixel_accuracy"]),
        row("class accuracy", metrics["class_accuracy"]),
        "",
        f"  border: boundary IoU, within {'/'.join(map(str, edges['band_pixels']))} pixels",
    ]
    if (ece := metrics["calibration"]["ece"]) is not None:
        lines.append(f"  confidence is off by {ece:.2f} % (ECE)")
    temporal = metrics["temporal"]
    if temporal["pairs"]:
        lines.append(f"  {temporal['flicker']:.2f} % of the still pixels flicker from frame to frame")
    if len(metrics["rows"]) > 1:
        lines += ["", f"  {'row':<30}{'passes':>6} {'mIoU %':>7}  gain, 95 %"]
    for one in metrics["rows"] if len(metrics["rows"]) > 1 else ():
        gain = one.get("gain")
        words = f"  {gain_words(gain)}" if gain else ""
        lines.append(f"  {one['label']:<30}{one['passes']:>6} {_cell(one['miou']):>7}{words}")
    return "\n".join(lines)


def gain_words(gain: Metrics) -> str:
    """A row's gain in mIoU with its interval, where there are enough frames for one."""
    ends = "" if gain["low"] is None else f" ({gain['low']:+.2f} to {gain['high']:+.2f})"
    return f"{gain['miou']:+.2f}{ends}"


def _cell(value: float | None) -> str:
    return "   -  " if value is None else f"{value:6.2f}"


def _colors(classes: ClassSet) -> dict[str, str]:
    return {
        name: "#{:02x}{:02x}{:02x}".format(*rgb)
        for name, rgb in zip(classes.names, classes.palette, strict=True)
    }


def _by_class(classes: ClassSet, values: np.ndarray) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in zip(classes.names, values, strict=True)}


def _plain(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
