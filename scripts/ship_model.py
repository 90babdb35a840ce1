"""Ship a training run's model: `.venv/bin/python scripts/ship_model.py RUN/model.safetensors NAME`.

Scores it in float32, as users run it, on CamVid's val, the held-out synthetic town and the demo's drive; fits
the temperature of its confidence on CamVid's val; and writes it, with these figures, into
sernet_core/weights. Needs SERNET_DATA.

A model that was trained on val too has no figure there, and takes the temperature that you give: that of its
twin without val.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from sernet_core.checkpoint import SHIPPED, load_checkpoint, save_checkpoint
from sernet_core.datasets import Dataset, open_dataset
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.evaluate import evaluate
from sernet_core.provenance import saw_val
from sernet_core.runtime import Segmenter
from sernet_core.temperature import calibrate


def main() -> None:
    """Score, calibrate and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("name")
    parser.add_argument("--temperature", type=float, help="of a model that val was not kept from")
    args = parser.parse_args()
    if "SERNET_DATA" not in os.environ:
        parser.error("SERNET_DATA: set it to the folder that holds camvid/")
    camvid = Path(os.environ["SERNET_DATA"]) / "camvid"
    checkpoint = load_checkpoint(args.model)
    segmenter = Segmenter.load(args.model, precision="fp32")
    how = {"precision": segmenter.precision, "input_size": list(segmenter.input_size)}
    metrics = {}
    final = saw_val(checkpoint.info.data)
    if final != (args.temperature is not None):
        parser.error("--temperature: is for a model that val was not kept from, and for that one alone")
    splits: list[tuple[str | Path, str]] = [("synthetic", "val"), ("synthetic", "demo")]
    for root, split in splits if final else [(camvid, "val"), *splits]:
        dataset = open_dataset(root, split)
        metrics[dataset.name] = evaluate(segmenter, dataset).summary() | how
        print(f"{dataset.name}: {metrics[dataset.name]['miou']:.2f} mIoU", flush=True)
    temperature = args.temperature if final else _fit(args.model, open_dataset(camvid, "val"))
    target = SHIPPED / f"{args.name}.safetensors"
    info = replace(checkpoint.info, metrics=metrics, temperature=temperature)
    save_checkpoint(target, checkpoint.network, info)
    print(f"written: {target}, {target.stat().st_size / 1e6:.1f} MB")


def _fit(model: Path, val: Dataset) -> float:
    """The temperature of a model's confidence, by a split that it has not seen."""
    temperature, without, calibrated = calibrate(Source.load(model, EngineCache(default_folder())), val)
    print(f"temperature {temperature:.3f}: ECE {calibrated.ece:.2f} %, {without.ece:.2f} % without it")
    return temperature


if __name__ == "__main__":
    main()
