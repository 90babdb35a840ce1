"""List the models that have a name.

A model is looked up in the folder SERNET_MODELS, then in ~/.local/share/sernet/models, then among
the shipped ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`sernet models` has no arguments."""


def find_encoder(data: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Pretrained encoder of a model, or of the one that its training started from."""
    before = data.get("started_from")
    return data.get("encoder") or (find_encoder(before["data"]) if before else None)


def trained_on_val(data: Mapping[str, Any]) -> bool:
    """Whether a model, or the one that its training started from, saw val too."""
    before = data.get("started_from")
    return "val" in data.get("parts", ()) or (before is not None and trained_on_val(before["data"]))


def run(_args: argparse.Namespace) -> int:
    """Print each model with size, figures and terms."""
    from sernet_core.checkpoint import available_models
    from sernet_core.errors import CheckpointError

    models = available_models()
    if not models:
        print("no models: none is shipped and the model folders are empty")
    for name, path in models.items():
        print(name)
        try:
            print("\n".join(_describe(path)))
        except (CheckpointError, OSError, UnicodeError) as error:  # one bad file hides no other
            print(f"  broken    {error}")
    return 0


def _describe(path: Path) -> list[str]:
    from sernet_core.checkpoint import read_info
    from sernet_core.engines.quantised import read_quantised

    info = read_info(path)
    width, height = info.input_size
    trained = info.data.get("train") or "procedural scenes"
    lines = [
        f"  file      {path} ({path.stat().st_size / 1e6:.1f} MB)",
        f"  network   depth {info.network.depth}, output stride {info.network.output_stride}",
        f"  input     {width}x{height}, {len(info.classes)} classes of {info.classes.name}",
        f"  trained   on {trained}, {100 * info.data.get('synthetic_share', 0):.0f} % synthetic crops",
    ]
    if trained_on_val(info.data):
        lines.append("  final     run on val too: no part of the data was held back to choose by")
    if extra := info.data.get("extra"):
        lines.append(f"  extra     {100 * extra['share']:.0f} % of the crops from {extra['train']}")
    if encoder := find_encoder(info.data):
        lines.append(f"  encoder   from {encoder['file']} (sha256 {encoder['sha256'][:12]}...)")
    for dataset, scores in info.metrics.items():
        if isinstance(scores.get("miou"), float | int):
            precision = f" with {scores['precision']}" if "precision" in scores else ""
            lines.append(f"  mIoU      {scores['miou']:.2f} % on {dataset}{precision}")
    if made := read_quantised(path):
        lines.append(f"  int8      {made.path.name} ({made.size_mb:.1f} MB), {made.words}")
    return [*lines, f"  terms     {info.notice or 'none stated'}"]
