"""The results of an evaluation as one self-contained HTML page, and the worst frames as a sheet."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sernet_core.evaluate.results import gain_words
from sernet_core.evaluate.run import Evaluation
from sernet_core.report import contact_sheet
from sernet_core.report.charts import line_chart
from sernet_core.report.frames import confusion_section
from sernet_core.report.parts import cards_section, details_section, document, number
from sernet_core.report.reliability import reliability_chart
from sernet_core.storage import write_atomically

Metrics = Mapping[str, Any]
_PART = 5.0  # percent of a class's pixels from which on a confusion is named


def write_page(out: Path, metrics: Metrics, evaluation: Evaluation) -> Path:
    """Write report.html, and worst.jpg where a frame had labels, and give the page's path.

    A worst.jpg of before goes: it would be of other frames.
    """
    sheet = None
    if evaluation.worst:
        title = f"{metrics['model']} on {metrics['dataset']}: the frames with the lowest mIoU"
        drawn = contact_sheet(evaluation.worst, evaluation.tallies[0].classes, title, last="errors")
        sheet = _jpeg(drawn)
        write_atomically(out / "worst.jpg", _writer(sheet))
    else:
        (out / "worst.jpg").unlink(missing_ok=True)
    first = evaluation.tallies[0]
    frames = [(index, line.miou, line.flicker) for index, line in enumerate(first.frames)]
    path = out / "report.html"
    text = render(metrics, frames, sheet)
    write_atomically(path, _writer(text.encode()))
    return path


def render(
    metrics: Metrics,
    frames: Sequence[tuple[int, float | None, float | None]] = (),
    sheet: bytes | None = None,
) -> str:
    """The page as text.

    Args:
        metrics: What metrics.json holds; every figure on the page but those of single frames is from it.
        frames: Number, mIoU and flicker of each frame in percent.
        sheet: The worst frames as JPEG.
    """
    sections = [
        _head(metrics),
        _cards(metrics),
        _rows(metrics),
        _classes(metrics),
        _worst(sheet),
        confusion_section(metrics),
        _calibration(metrics),
        _temporal(metrics, frames),
        _details(metrics),
    ]
    return document(f"{metrics['model']} on {metrics['dataset']}", sections)


def _head(metrics: Metrics) -> str:
    sizes = "; ".join(
        f"the network sees {one['network']}, labels are {one['labels']}" for one in metrics["sizes"][:3]
    )
    return (
        f'<header><p class="kicker">Evaluation &middot; {escape(metrics["created"])}</p>'
        f"<h1>{escape(metrics['model'])} <small>on {escape(metrics['dataset'])}</small></h1>"
        f"<p>{metrics['frames']} frames, single scale; {escape(sizes)}; {escape(metrics['engine'])}, "
        f"{escape(metrics['precision'])}.</p></header>"
    )


def _cards(metrics: Metrics) -> str:
    interval, edges = metrics["miou_interval"], metrics["boundary"]
    curve, temporal = metrics["calibration"], metrics["temporal"]
    ends = "too few frames for an interval"
    if interval["low"] is not None:
        ends = f"95 %: {number(interval['low'], 1)} to {number(interval['high'], 1)}"
    recall = f"mean over classes: {number(metrics['class_accuracy'], 1)} %"
    raw = f"{number(curve['without_temperature']['ece'], 2)} % without its temperature"
    cards = [
        ("mIoU", number(metrics["miou"], 2), "%", ends),
        ("pixel accuracy", number(metrics["pixel_accuracy"], 1), "%", recall),
        ("boundary IoU", number(edges["miou"], 1), "%", f"within {_pixels(edges)} of a border"),
        ("calibration error", number(curve["ece"], 2), "%", raw),
    ]
    if temporal["pairs"]:
        words = f"of what stands still, over {temporal['pairs']} pairs of frames"
        cards.append(("flicker", number(temporal["flicker"], 2), "%", words))
    return cards_section(cards)


def _pixels(edges: Metrics) -> str:
    widths = edges["band_pixels"]
    return f"{widths[0]} pixels" if len(widths) == 1 else f"{widths[0]} to {widths[-1]} pixels"


def _rows(metrics: Metrics) -> str:
    rows = metrics["rows"]
    if len(rows) < 2:
        return ""
    lines = []
    for row in rows:
        words = gain_words(row["gain"]) if "gain" in row else ""
        cells = (
            str(row["passes"]), number(row["miou"], 2), words, number(row["boundary_miou"], 2),
            number(row["pixel_accuracy"], 2), number(row["class_accuracy"], 2), number(row["ece"], 2),
            number(row["flicker"], 2),
        )  # fmt: skip
        lines.append(
            f"<tr><th>{escape(row['label'])}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        )
    heads = (
        "passes", "mIoU", "gain, 95 %", "boundary IoU", "pixel accuracy", "class accuracy", "ECE", "flicker",
    )  # fmt: skip
    together = metrics["miou_interval"]["frames_together"]
    drawn = "frames" if together == 1 else f"stretches of {together} frames"
    return (
        "<section><h2>Ways of looking at a frame <small>in percent; a pass is one run of the network</small>"
        '</h2><div class="wide"><table><tr><th></th>'
        + "".join(f"<th>{name}</th>" for name in heads) + "</tr>"
        + "".join(lines) + "</table></div>"
        '<p class="note">The node publishes the single scale. The other rows average the probabilities of '
        f"several passes. An interval holds the gain in 95 % of 4000 draws of {drawn}; one that leaves out "
        "zero is no chance of the frames at hand. Of fewer than five there is none.</p></section>"
    )  # fmt: skip


def _classes(metrics: Metrics) -> str:
    edges, names = metrics["boundary"], list(metrics["classes"])
    flicker = metrics["temporal"].get("flicker_by_class", {})
    counts = np.array(metrics["confusion"])
    total = max(int(counts.sum()), 1)
    lines = []
    for index, (name, color) in enumerate(metrics["classes"].items()):
        iou, border = metrics["iou"][name], edges["iou"][name]
        thin = ' <span class="pill thin">thin</span>' if name in edges["thin"] else ""
        true, predicted = int(counts[index].sum()), int(counts[:, index].sum())
        recall = 100.0 * counts[index, index] / true if true else None
        precision = 100.0 * counts[index, index] / predicted if predicted else None
        lines.append(
            f'<tr><th class="name"><i style="background:{color}"></i>{escape(name)}{thin}</th>'
            f"{_bar(iou, color)}{_bar(border, color)}<td>{number(recall, 1)}</td>"
            f"<td>{number(precision, 1)}</td><td>{number(flicker.get(name), 1)}</td>"
            f"<td>{100.0 * true / total:.1f}</td><td>{_mistaken(counts[index], index, names)}</td></tr>"
        )
    mean = f'<th class="name">mean</th>{_bar(metrics["miou"])}{_bar(edges["miou"])}{"<td></td>" * 5}'
    thin_words = (
        f" Thin are classes most of whose pixels lie in their band, so that their IoU is a matter of the "
        f"border alone; over these the mean boundary IoU is {number(edges['thin_miou'], 1)} %."
        if edges["thin"]
        else ""
    )
    heads = ("IoU", "boundary IoU", "recall", "precision", "flicker", "of all pixels", "missed as")
    return (
        "<section><h2>By class <small>in percent, over all frames together, void left out</small></h2>"
        '<div class="wide"><table class="classes"><tr><th></th>'
        + "".join(f"<th>{head}</th>" for head in heads)
        + f'</tr>{"".join(lines)}<tr class="mean">{mean}</tr></table></div>'
        f'<p class="note">Boundary IoU (Cheng et al. 2021) compares the pixels of a class within '
        f"{_pixels(edges)} ({100 * edges['band']:g} % of the diagonal) of its border with other classes."
        f"{thin_words}</p></section>"
    )


def _bar(value: float | None, color: str = "var(--accent)") -> str:
    width = 0.0 if value is None else value
    return (
        '<td class="bar"><span class="track"><span class="fill" '
        f'style="width:{width:.2f}%;background:{color}"></span></span><b>{number(value, 1)}</b></td>'
    )


def _mistaken(row: np.ndarray, own: int, names: Sequence[str]) -> str:
    """What the missed pixels of a class are taken for, the most first, where it is much of the class."""
    total = int(row.sum())
    if not total:
        return ""
    shares = 100.0 * row / total
    order = [int(index) for index in np.argsort(-shares) if index != own and shares[index] >= _PART]
    return ", ".join(
        f"{escape(names[index]) if index < len(names) else 'unlabeled'} {shares[index]:.0f} %"
        for index in order[:2]
    )


def _worst(sheet: bytes | None) -> str:
    if sheet is None:
        return ""
    data = base64.b64encode(sheet).decode("ascii")
    return (
        "<section><h2>The worst frames <small>red is wrong, blue is void</small></h2><figure>"
        f'<img alt="The worst frames" src="data:image/jpeg;base64,{data}"></figure></section>'
    )


def _calibration(metrics: Metrics) -> str:
    curve = metrics["calibration"]
    raw = curve["without_temperature"]
    ece, raw_ece = (number(one["ece"], 2) for one in (curve, raw))
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{one['confidence']:.1f}</td><td>{one['accuracy']:.1f}</td>"
        f"<td>{one['confidence'] - one['accuracy']:+.1f}</td></tr>"
        for name, one in curve["by_predicted_class"].items()
        if one["pixels"]
    )
    return (
        "<section><h2>Can the confidence be believed? <small>as the node publishes it</small></h2>"
        f'<div class="pair"><figure>{reliability_chart(curve["bins"], raw["bins"])}<figcaption>Below the '
        "dashed diagonal the model is surer than it is right. A dot's area is its share of the pixels. Blue: "
        f"with the checkpoint's temperature of {curve['temperature']:g}, ECE {ece} %; grey: "
        f"without it, {raw_ece} %. Where the temperature was fitted on these frames, "
        "that is the best case.</figcaption></figure><div><table><tr><th>where it says</th>"
        "<th>confidence, %</th><th>right, %</th>"
        f"<th>too sure by</th></tr>{lines}</table></div></div></section>"
    )


def _temporal(metrics: Metrics, frames: Sequence[tuple[int, float | None, float | None]]) -> str:
    temporal = metrics["temporal"]
    points = [(float(index), miou) for index, miou, _ in frames if miou is not None]
    parts = []
    if len(points) > 1:
        chart = line_chart(points, x_label="frame", y_label="mIoU of the frame, %")
        parts.append(
            f"<figure>{chart}<figcaption>mIoU over the classes in the frame; the mean of these is not the "
            "mIoU of the split.</figcaption></figure>"
        )
    words = escape(temporal["note"]) if not temporal["pairs"] else (
        f"{temporal['pairs']} pairs of frames, {temporal['step']:.12g} apart by their number. Still are "
        "pixels where the ground truth has the same class in both frames, whatever moves there: "
        f"{temporal['still_percent']:.1f} % of a median pair. Of these {temporal['flicker']:.2f} % change "
        f"their predicted class, and {temporal['steady_right']:.2f} % are right in both."
    )  # fmt: skip
    if temporal["pairs"]:
        flickers = [(float(index), flicker) for index, _, flicker in frames if flicker is not None]
        chart = line_chart(flickers, x_label="frame", y_label="flicker, %")
        parts.append(f"<figure>{chart}<figcaption>Still pixels that change.</figcaption></figure>")
    return (
        f'<section><h2>Frame by frame</h2><div class="pair">{"".join(parts)}</div>'
        f'<p class="note">{words}</p></section>'
    )


def _details(metrics: Metrics) -> str:
    keys = ("model", "dataset", "frames", "engine", "precision", "device")
    tables = {
        "Run": {key: metrics[key] for key in keys},
        "Machine": metrics["machine"],
        "Versions": metrics["versions"],
    }
    notice = f'<p class="notice">{escape(metrics["notice"])}</p>' if metrics["notice"] else ""
    return details_section(tables, notice)


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()


def _writer(data: bytes) -> Callable[[Path], object]:
    return lambda target: target.write_bytes(data)
