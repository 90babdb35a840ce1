"""The layouts that data sets come in, and the search for the one of a folder."""

from __future__ import annotations

import textwrap
from pathlib import Path

from sernet_core.datasets.layouts.base import Layout, subfolders
from sernet_core.datasets.layouts.bdd100k import BDD100K
from sernet_core.datasets.layouts.camvid import CamVidOriginal
from sernet_core.datasets.layouts.cityscapes import Cityscapes
from sernet_core.datasets.layouts.folders import Folders
from sernet_core.datasets.layouts.plain import Plain
from sernet_core.datasets.layouts.segnet import SegNet
from sernet_core.errors import InputError

__all__ = ["LAYOUTS", "Layout", "find_layout", "layout_of"]

# The first that fits is taken: those that ask for the most come first.
LAYOUTS: tuple[type[Layout], ...] = (Cityscapes, BDD100K, CamVidOriginal, SegNet, Plain, Folders)


def find_layout(root: Path) -> Layout | None:
    """The layout of a folder, None where none fits."""
    return next((layout for kind in LAYOUTS if (layout := kind(root)).splits()), None)


def layout_of(root: Path) -> Layout:
    """The layout of a data set.

    Raises:
        InputError: None fits; the message shows what was looked for.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if layout := find_layout(root):
        return layout
    below = [name for name in subfolders(root) if find_layout(root / name)]
    hint = f" Did you mean {root / below[0]}?" if below else ""
    tried = "\n".join(
        textwrap.fill(f"  {kind.name + ':':<18}{kind.picture}", 100, subsequent_indent=" " * 20)
        for kind in LAYOUTS
    )
    raise InputError(f"{root}: this folder has none of the layouts of a data set.{hint} Tried were:\n{tried}")
