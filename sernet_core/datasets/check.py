"""A look at a whole data set: what is in it, and what is wrong with it, file by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sernet_core.datasets import overlaps
from sernet_core.datasets.base import Sample
from sernet_core.datasets.files import FileDataset, LabelDecoder, Pair, faults
from sernet_core.datasets.layouts import Layout, layout_of
from sernet_core.datasets.selection import sequence_of
from sernet_core.errors import ConfigError, InputError, unknown_name
from sernet_core.labels import IGNORE, ClassSet

_SEQUENCES = 12  # more beginnings of names than these are no sequences


@dataclass
class SplitReport:
    """What one split holds.

    Attributes:
        name: Of the split.
        frames: How many there are.
        read: How many of them were read.
        labelled: Whether there is ground truth.
        sequences: Frames by the beginning of their names, where there are few beginnings.
        sizes: Frames read by their size, "WxH".
        pixels: Pixels of each class in the frames read, int64 (K,).
        void: Pixels without a class.
        problems: What is wrong, each with its file.
        notes: What is unusual.
    """

    name: str
    frames: int = 0
    read: int = 0
    labelled: bool = False
    sequences: dict[str, int] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    void: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def shares(self, classes: ClassSet) -> dict[str, float]:
        """Share of each class among the labelled pixels, in percent; empty where none is labelled."""
        total = int(self.pixels.sum())
        if not total:
            return {}
        return {name: 100 * int(n) / total for name, n in zip(classes.names, self.pixels, strict=True)}


@dataclass
class TreeReport:
    """What a tree holds: layout, classes, one report a split, and a few frames to look at."""

    root: str
    layout: str
    classes: ClassSet
    splits: list[SplitReport]
    samples: list[tuple[str, Sample]]

    @property
    def problems(self) -> list[str]:
        """All that is wrong."""
        return [f"{split.name}: {problem}" for split in self.splits for problem in split.problems]

    def summary(self) -> dict[str, Any]:
        """The report as JSON-ready values; shares in percent of the labelled pixels."""
        return {
            "root": self.root,
            "layout": self.layout,
            "classes": {"name": self.classes.name, "names": list(self.classes.names)},
            "splits": {
                split.name: {
                    "frames": split.frames,
                    "read": split.read,
                    "labelled": split.labelled,
                    "sequences": split.sequences,
                    "sizes": dict(split.sizes),
                    "shares": {name: round(share, 4) for name, share in split.shares(self.classes).items()},
                    "void_pixels": split.void,
                    "labelled_pixels": int(split.pixels.sum()),
                    "problems": split.problems,
                    "notes": split.notes,
                }
                for split in self.splits
            },
        }


def check_tree(
    root: Path, splits: Sequence[str] = (), *, sample: int = 0, shown: int = 6, quiet: bool = False
) -> TreeReport:
    """Read a data set and say what is in it and what is wrong.

    Args:
        root: Folder of the data set.
        splits: The splits to look at; none means all.
        sample: Read so many frames of each split, evenly spread; 0 reads all. Names are always checked.
        shown: How many frames to keep to look at.
        quiet: No progress bar.

    Raises:
        InputError: The folder has no known layout, or its class file cannot be used.
        ConfigError: There is no such split.
    """
    layout = layout_of(root.expanduser())
    known = layout.splits()
    for split in splits:
        if split not in known:
            raise ConfigError(f"{root}: {unknown_name('split', split, known)}")
    decoder = layout.decoder()
    tree = TreeReport(str(root), layout.name, decoder.classes, [], [])
    names = list(splits) or known
    for name in names:
        report = SplitReport(name, pixels=np.zeros(len(decoder.classes), np.int64))
        tree.splits.append(report)
        try:
            pairs = layout.pairs(name)
        except InputError as error:
            report.problems.append(str(error))
            continue
        _check_names(layout, report, pairs)
        wanted = max(1, shown // len(names))
        tree.samples += [(name, found) for found in _read(report, pairs, decoder, sample, wanted, quiet)]
        _take_notes(layout, report, decoder.classes)
        if alone := _labels_alone(layout, pairs):
            report.notes.append(
                f"{len(alone)} label(s) are of no frame of any split, the first is {alone[0]}"
            )
    return tree


def _check_names(layout: Layout, report: SplitReport, pairs: Sequence[Pair]) -> None:
    report.frames = len(pairs)
    report.labelled = any(pair.label is not None for pair in pairs)
    report.problems += faults(pairs)
    try:
        report.problems += overlaps(layout, report.name, {pair.stem for pair in pairs})
    except InputError as error:
        report.problems.append(f"overlaps not checked: {error}")
    counts = Counter(sequence_of(pair.stem) for pair in pairs)
    report.sequences = dict(counts) if len(counts) <= min(_SEQUENCES, max(1, len(pairs) // 2)) else {}


def _read(
    report: SplitReport, pairs: Sequence[Pair], decoder: LabelDecoder, sample: int, wanted: int, quiet: bool
) -> list[Sample]:
    """Read frames into the report, and keep some that are spread evenly."""
    there = [p for p in pairs if p.image.is_file() and (p.label is None or p.label.is_file())]
    if sample and sample < len(there):
        there = [there[index] for index in _spread(len(there), sample)]
    dataset = FileDataset(report.name, there, decoder)
    keep, kept, blank = set(_spread(len(there), wanted)), [], []
    for index in tqdm(range(len(there)), f"read {report.name}", leave=False, disable=quiet or None):
        try:
            found = dataset[index]
        except InputError as error:
            report.problems.append(str(error))
            continue
        report.read += 1
        report.sizes[f"{found.image.shape[1]}x{found.image.shape[0]}"] += 1
        if found.label is not None:
            counts = np.bincount(found.label.ravel(), minlength=256)
            report.pixels += counts[: len(decoder.classes)]
            report.void += int(counts[IGNORE])
            if counts[IGNORE] == found.label.size:
                blank.append(found.stem)
        if index in keep:
            kept.append(found)
    if blank:
        report.notes.append(f"{len(blank)} frame(s) have no labelled pixel, the first is {blank[0]}")
    return kept


def _take_notes(layout: Layout, report: SplitReport, classes: ClassSet) -> None:
    published = layout.counts.get(report.name)
    if published is not None and published != report.frames:
        report.notes.append(f"as published, this part has {published} frames")
    if len(report.sizes) > 1:
        report.notes.append("frames are of several sizes")
    if report.frames and not report.labelled:
        report.notes.append("no ground truth")
    absent = [name for name, count in zip(classes.names, report.pixels, strict=True) if not count]
    if len(absent) < len(classes) and absent:
        report.notes.append(f"no pixel of {', '.join(absent)} in the {report.read} frame(s) read")


def _labels_alone(layout: Layout, pairs: Sequence[Pair]) -> list[Path]:
    """Labels that lie among those of a split and belong to no frame: images that were lost, or not listed."""
    labels = [pair.label for pair in pairs if pair.label is not None]
    endings = {pair.label.name.removeprefix(Path(pair.stem).name) for pair in pairs if pair.label is not None}
    found = {
        path
        for folder in {label.parent for label in labels if label.parent.is_dir()}
        for path in folder.iterdir()
        if path.name.endswith(tuple(endings))
    }
    if found <= set(labels):
        return []
    for split in layout.splits():
        try:
            found -= {pair.label for pair in layout.pairs(split) if pair.label is not None}
        except InputError:  # told as a fault of that split, whose labels are then unknown
            return []
    return sorted(found)


def _spread(length: int, count: int) -> list[int]:
    """Indices that are spread evenly over a sequence."""
    return [int(index) for index in np.unique(np.linspace(0, length - 1, min(length, count)).round())]
