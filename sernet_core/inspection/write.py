"""What was seen inside of a model, as files: pictures, tables and a page."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sernet_core.datasets import Dataset
from sernet_core.frame_scores import iou_of, mean_iou
from sernet_core.inspection.page import image_page, split_page
from sernet_core.inspection.pictures import Tile, directions, energy, heat, sheet
from sernet_core.inspection.probe import FUSIONS, STAGES, Look, Probe
from sernet_core.inspection.relation import Relation, figures_of, frames_to_relate, relate
from sernet_core.labels import overlay
from sernet_core.media import read_image
from sernet_core.storage import make_folder, write_atomically


def inspect_image(probe: Probe, model: str, path: Path, out: Path, *, without: bool = False) -> str:
    """Look at one picture; writes frame.png, gates.png, features.png and inspect.html.

    Of a model without gates or fusions there is no such picture, and one of before goes.

    Returns:
        Words for a terminal.

    Raises:
        InputError: The picture cannot be read, or a result cannot be written.
    """
    image = read_image(path)
    make_folder(out)
    look = probe.look(image, without=without)
    classes = probe.info.classes
    tiles = [Tile("the frame", image), Tile("its mask", overlay(image, look.mask, classes, 0.6))]
    for part, mask in look.without.items():
        changed = 100.0 * np.count_nonzero(mask != look.mask) / mask.size
        caption = f"without {part}: {changed:.1f} % of the pixels change"
        tiles.append(Tile(caption, overlay(image, mask, classes, 0.6)))
    sheets = {"frame": sheet([("", tiles[start : start + 3]) for start in range(0, len(tiles), 3)])}
    if look.gates:
        sheets["gates"] = sheet(_gate_rows(look, probe))
    if look.fusions:
        sheets["features"] = sheet(_fusion_rows(look))
    files = {name: _png(drawn) for name, drawn in sheets.items()}
    for name, data in files.items():
        write_atomically(out / f"{name}.png", lambda target, data=data: target.write_bytes(data))  # type: ignore[misc]
    for name in {"gates", "features"} - files.keys():
        (out / f"{name}.png").unlink(missing_ok=True)
    height, width = probe.network_size(*image.shape[:2])
    facts = {"model": model, "picture": path.name, "size": f"{width}x{height}", "created": _now(),
             "notice": probe.info.notice}  # fmt: skip
    activity = {name: (probe.gains[name], gate.activity) for name, gate in look.gates.items()}
    page = out / "inspect.html"
    text = image_page(facts, activity, files)
    write_atomically(page, lambda target: target.write_text(text, encoding="utf-8"))
    lines = [
        f"{name} ({stage:<6})  gain {gain:+.3f}   {share:5.1f} % of what the module gives"
        for (name, (gain, share)), stage in zip(activity.items(), STAGES, strict=False)
    ]
    return "\n".join([*lines, "", f"written: {page}, {', '.join(f'{name}.png' for name in files)}"])


def _gate_rows(look: Look, probe: Probe) -> list[tuple[str, list[Tile]]]:
    tiles = []
    for (name, gate), stage in zip(look.gates.items(), STAGES, strict=True):
        caption = f"{name}, {stage}: gain {probe.gains[name]:+.3f}, activity {gate.activity:.1f} %"
        tiles.append(heat(caption, gate.energy))
    return [("", tiles[:3]), ("", tiles[3:])]


def _fusion_rows(look: Look) -> list[tuple[str, list[Tile]]]:
    rows = []
    for name in FUSIONS:
        if name not in look.fusions:
            continue
        before, after = look.fusions[name]
        # DbN's output is not its input and something more: its channels mean something else.
        residual = name != "DbN"
        colors = directions(before, after) if residual else [*directions(before), *directions(after)]
        first, second = energy(before), energy(after)
        top = float(np.percentile(np.concatenate([first.ravel(), second.ravel()]), 99))
        tiles = [
            heat("energy before", first, top),
            heat("energy after", second, top),
            Tile("main directions before", colors[0]),
            Tile("main directions after" + ("" if residual else " (their own)"), colors[1]),
        ]
        if residual:
            tiles.append(heat("what it adds", energy(after - before), top))
        shape = " x ".join(map(str, after.shape))
        rows.append((f"{name}: {shape}", tiles))
    return rows


def inspect_split(
    probe: Probe, model: str, dataset: Dataset, out: Path, *, without: bool = False, every: int = 1
) -> str:
    """Relate gates and parts to the quality of the masks; writes inspect.json, frames.csv and inspect.html.

    Returns:
        Words for a terminal.

    Raises:
        ConfigError, InputError: See `relate`.
    """
    frames_to_relate(probe, model, dataset, every)
    make_folder(out)
    relation = relate(probe, model, dataset, without=without, every=every)
    figures: dict[str, Any] = {
        "model": model,
        "dataset": dataset.name,
        "created": _now(),
        "notice": probe.info.notice,
        **figures_of(relation, probe, list(dataset.classes.names), every),
    }
    files = {
        "inspect.json": json.dumps(figures, indent=2) + "\n",
        "frames.csv": _frames_csv(relation),
        "inspect.html": split_page(figures, relation),
    }
    for name, text in files.items():
        write_atomically(out / name, lambda target, text=text: target.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    return f"{_words(figures)}\n\nwritten: {out / 'inspect.html'}, inspect.json, frames.csv"


def _words(figures: dict[str, Any]) -> str:
    def span(one: dict[str, float | None]) -> str:
        if one["value"] is None or one["low"] is None:
            return "-"
        return f"{one['value']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f})"

    lines = [
        f"{figures['dataset']}: {figures['frames']} frames, mIoU {figures['miou']:.2f} %, {figures['model']}"
    ]
    if figures["gates"]:
        lines.append(
            "  gate   gain  activity %  rank correlation with mIoU   energy, wrong over right pixels"
        )
    for name, gate in figures["gates"].items():
        lines.append(
            f"  {name} {gate['gain']:+7.3f} {gate['activity']['median']:8.1f}     "
            f"{span(gate['with_miou']):<28} {span(gate['wrong_over_right'])}"
        )
    for part, one in figures["without"].items():
        lines.append(f"  without {part:<5} mIoU {one['miou']:6.2f}   {span(one['change'])}")
    return "\n".join(lines)


def _frames_csv(relation: Relation) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = ["frame", "miou", *(f"activity {name}" for name in relation.activity)]
    head += [f"wrong over right {name}" for name in relation.contrast]
    head += [f"miou without {part}" for part in relation.without]
    writer.writerow(head)
    for index, stem in enumerate(relation.stems):
        values = [mean_iou(iou_of(relation.counts[index]))]
        values += [rows[index] for rows in (*relation.activity.values(), *relation.contrast.values())]
        values += [mean_iou(iou_of(rows[index])) for rows in relation.without.values()]
        writer.writerow(
            [stem, *("" if value is None or value != value else f"{value:.4f}" for value in values)]
        )
    return file.getvalue()


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
