"""List the models that have a name.

A model is looked up in the folder SERNET_MODELS, then in ~/.local/share/sernet/models, then among
the shipped ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`sernet models` has no arguments."""


def find_encoder(data: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Pretrained encoder of a model, or of the one that its training started from."""
    before = data.get("started_from")
    return data.get("encoder") or (find_encoder(before["data"]) if before else None)


def run(_args: argparse.Namespace) -> int:
    """Print each model with size, figures and terms."""
    from sernet_core.checkpoint import available_models, read_info
    from sernet_core.errors import CheckpointError

    models = available_models()
    if not models:
        print("no models: none is shipped and the model folders are empty")
    for name, path in models.items():
        print(f"{name}\n  file      {path} ({path.stat().st_size / 1e6:.1f} MB)")
        try:
            info = read_info(path)
        except CheckpointError as error:
            print(f"  broken    {error}")
            continue
        width, height = info.input_size
        print(f"  network   depth {info.network.depth}, output stride {info.network.output_stride}")
        print(f"  input     {width}x{height}, {len(info.classes)} classes of {info.classes.name}")
        trained = info.data.get("train") or "procedural scenes"
        print(f"  trained   on {trained}, {100 * info.data.get('synthetic_share', 0):.0f} % synthetic crops")
        if encoder := find_encoder(info.data):
            print(f"  encoder   from {encoder['file']} (sha256 {encoder['sha256'][:12]}...)")
        for dataset, scores in info.metrics.items():
            if isinstance(scores.get("miou"), float):
                print(f"  mIoU      {scores['miou']:.2f} % on {dataset}")
        print(f"  terms     {info.notice or 'none stated'}")
    return 0
