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
    share = info.data.get("synthetic_share", 0)
    trained = info.data.get("train") or ("procedural scenes" if share else "data that are not stated")
    lines = [
        f"  file      {path} ({path.stat().st_size / 1e6:.1f} MB)",
        f"  network   depth {info.network.depth}, output stride {info.network.output_stride}"
        + (f", lateral {info.network.lateral}" if info.network.lateral != "none" else ""),
        f"  input     {width}x{height}, {len(info.classes)} classes of {info.classes.name}",
        f"  trained   on {trained}, {100 * share:.0f} % synthetic crops in its last run",
    ]
    if saw_val(info.data):
        lines.append("  final     run on val too: no part of the data was held back to choose by")
    lines += [f"  {line}" for line in _history(info.data, set())]
    if encoder := pretrained_encoder(info.data):
        lines.append(f"  encoder   from {_file(encoder)}")
    for dataset, scores in info.metrics.items():
        if isinstance(scores.get("miou"), float | int):
            precision = f" with {scores['precision']}" if "precision" in scores else ""
            lines.append(f"  mIoU      {scores['miou']:.2f} % on {dataset}{precision}")
    if made := read_quantised(path):
        lines.append(f"  int8      {made.path.name} ({made.size_mb:.1f} MB), {made.words}")
    return [*lines, f"  terms     {info.notice or 'none stated'}"]


def _history(run: Mapping[str, Any], told: set[str]) -> Iterator[str]:
    """What a model was made of: of each model that it comes from a line, and below it that one's own history.

    Args:
        run: The `data` of its metadata.
        told: SHA-256 of the models whose history has been told, to which is added.
    """
    if extra := run.get("extra"):
        yield f"extra     {100 * extra['share']:.0f} % of the crops from {extra['train']}"
    models = [("mean of", model) for model in run.get("averaged", ())]
    models.append(("masked by", run.get("extra", {}).get("masked")))
    models += [("from", run.get("started_from")), ("teacher", run.get("teacher"))]
    for role, model in models:
        if not model:
            continue
        digest = model.get("sha256")
        known = digest in told
        yield f"{role:<10}{_file(model)}{', see above' if known else ''}"
        if not known:
            told |= {digest} - {None}  # of the oldest runs no file is known
            yield from (f"  {line}" for line in _history(model.get("data", {}), told))


def _file(model: Mapping[str, Any]) -> str:
    """A file of weights: its name at that time, and what tells it from others of that name."""
    digest = model.get("sha256")
    name = model.get("file", "a model of an earlier run")
    return f"{name} (sha256 {digest[:12]}...)" if digest else name
