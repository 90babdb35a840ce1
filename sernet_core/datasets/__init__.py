"""Data sets: frames with their ground truth, checked before they are used.

`open_dataset` opens one split of a folder in any of the layouts of `sernet_core.datasets.layouts`, one file a
layout, or of the procedural scenes; `check` looks at a whole tree, `selection` takes parts of a split.
"""

from __future__ import annotations

from pathlib import Path

from sernet_core.datasets.base import PARTS, Dataset, Sample, Split, part_of
from sernet_core.datasets.files import FileDataset, faults, read_label
from sernet_core.datasets.layouts import Layout, find_layout, layout_of
from sernet_core.datasets.selection import only, without
from sernet_core.datasets.synthetic import SyntheticSplit
from sernet_core.errors import ConfigError, InputError, unknown_name

__all__ = [
    "PARTS",
    "SYNTHETIC",
    "Dataset",
    "Sample",
    "Split",
    "only",
    "open_dataset",
    "open_files",
    "read_label",
    "splits_of",
    "without",
]

SYNTHETIC = "synthetic"  # a root that is no folder


def open_dataset(root: str | Path, split: str) -> Split:
    """Open one split of a data set.

    Args:
        root: Folder of a data set in one of the known layouts, or "synthetic".
        split: Name of the part, e.g. "train" or "val".

    Raises:
        ConfigError: There is no such split.
        InputError: The tree is not what its layout promises; the message names the file.
    """
    if str(root) == SYNTHETIC:
        return SyntheticSplit(split)
    return open_files(Path(root), split)


def open_files(root: Path, split: str) -> FileDataset:
    """Open one split of a folder, see `open_dataset`."""
    layout = layout_of(root.expanduser())
    splits = layout.splits()
    if split not in splits:
        raise ConfigError(
            f"{root}: {unknown_name('split', split, splits)} (layout: {layout.name}: {layout.picture})"
        )
    pairs = layout.pairs(split)
    if found := faults(pairs):
        more = f" ({len(found)} faults in all; `sernet data {root}` shows them)" if len(found) > 1 else ""
        raise InputError(f"{root}, split {split}: {found[0]}{more}")
    stems = {pair.stem for pair in pairs}
    if shared := overlaps(layout, split, stems):
        raise InputError(f"{root}: {shared[0]}")
    return FileDataset(f"{layout.root.absolute().name}/{split}", pairs, layout.decoder())


def splits_of(root: str | Path) -> list[str]:
    """Splits of a data set; empty where a folder is none."""
    layout = find_layout(Path(root).expanduser())
    return layout.splits() if layout else []


def overlaps(layout: Layout, split: str, stems: set[str]) -> list[str]:
    """What a part shares with other parts of its tree, in words; nothing for a split that is no part.

    "valid" and "testing" and the like are parts too, see `part_of`.

    Args:
        layout: The tree.
        split: The part.
        stems: Its frames.

    Raises:
        InputError: A list of another part cannot be used.
    """
    if (own := part_of(split)) is None:
        return []
    found = []
    for other in dict.fromkeys((*PARTS, *layout.splits())):
        if part_of(other) in (None, own):
            continue
        if shared := [stem for stem in layout.stems(other, stems) if stem in stems]:
            found.append(
                f"{len(shared)} frame(s) of {split} are in {other} too, the first is {shared[0]}: a frame "
                "belongs to one of train, val and test; where they are different pictures, rename them"
            )
    return found
