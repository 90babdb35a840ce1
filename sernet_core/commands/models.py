"""List the models that have a name.

A model is looked up in the folder SERNET_MODELS, then in ~/.local/share/sernet/models, then among
the shipped ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`sernet models` has no arguments."""


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
    from sernet_core.provenance import pretrained_encoder, saw_val

    info = read_info(path)
    width, height = info.input_size
    trained = info.data.get("train") or "procedural scenes"
    lines = [
        f"  file      {path} ({path.stat().st_size / 1e6:.1f} MB)",
        f"  network   depth {info.network.depth}, output stride {info.network.output_stride}",
        f"  input     {width}x{height}, {len(info.classes)} classes of {info.classes.name}",
        f"  trained   on {trained}, {100 * info.data.get('synthetic_share', 0):.0f} % synthetic crops in its "
        "last run",
    ]
    if saw_val(info.data):
        lines.append("  final     run on val too: no part of the data was held back to choose by")
    averaged = info.data.get("averaged", [])
    if averaged:
        lines.append(f"  average   of {', '.join(map(_file, averaged))}")
    runs = [info.data, *(model.get("data", {}) for model in averaged)]
    lines += dict.fromkeys(line for run in runs for line in _made_from(run))  # each once
    if encoder := pretrained_encoder(info.data):
        lines.append(f"  encoder   from {_file(encoder)}")
    for dataset, scores in info.metrics.items():
        if isinstance(scores.get("miou"), float | int):
            precision = f" with {scores['precision']}" if "precision" in scores else ""
            lines.append(f"  mIoU      {scores['miou']:.2f} % on {dataset}{precision}")
    if made := read_quantised(path):
        lines.append(f"  int8      {made.path.name} ({made.size_mb:.1f} MB), {made.words}")
    return [*lines, f"  terms     {info.notice or 'none stated'}"]


def _made_from(run: Mapping[str, Any]) -> Iterator[str]:
    """What a run had besides its training frames."""
    if extra := run.get("extra"):
        masked = extra.get("masked")
        by = f", its gaps masked by {_file(masked)}" if masked else ""
        yield f"  extra     {100 * extra['share']:.0f} % of the crops from {extra['train']}{by}"
    if before := run.get("started_from"):
        yield f"  from      {_file(before)}"
    if teacher := run.get("teacher"):
        yield f"  teacher   {_file(teacher)}"


def _file(model: Mapping[str, Any]) -> str:
    """A file of weights: its name at that time, and what tells it from others of that name."""
    digest = model.get("sha256")
    name = model.get("file", "a model of an earlier run")
    return f"{name} (sha256 {digest[:12]}...)" if digest else name
