"""Ship a training run's model: `.venv/bin/python scripts/ship_model.py RUN/model.safetensors NAME`.

Scores it in float32, as users run it, on CamVid's val, the held-out synthetic town and the demo's drive; fits
the temperature of its confidence on CamVid's val; and writes it, with these figures, into
sernet_core/weights. Needs SERNET_DATA.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from sernet_core.calibration import fit_temperature, reliability, sample_logits
from sernet_core.checkpoint import SHIPPED, load_checkpoint, save_checkpoint
from sernet_core.datasets import open_dataset
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.evaluate import evaluate
from sernet_core.runtime import Segmenter


def main() -> None:
    """Score, calibrate and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("name")
    args = parser.parse_args()
    camvid = Path(os.environ["SERNET_DATA"]) / "camvid"
    checkpoint = load_checkpoint(args.model)
    segmenter = Segmenter.load(args.model, precision="fp32")
    how = {"precision": segmenter.precision, "input_size": list(segmenter.input_size)}
    metrics = {}
    for root, split in ((camvid, "val"), ("synthetic", "val"), ("synthetic", "demo")):
        dataset = open_dataset(root, split)
        metrics[dataset.name] = evaluate(segmenter, dataset).summary() | how
        print(f"{dataset.name}: {metrics[dataset.name]['miou']:.2f} mIoU", flush=True)
    val = open_dataset(camvid, "val")
    logits, labels = sample_logits(Source.load(args.model, EngineCache(default_folder())), val)
    temperature = fit_temperature(logits, labels)
    for value in (1.0, temperature):
        print(f"temperature {value:.3f}: ECE {reliability(logits, labels, value).ece:.2f} %")
    target = SHIPPED / f"{args.name}.safetensors"
    info = replace(checkpoint.info, metrics=metrics, temperature=temperature)
    save_checkpoint(target, checkpoint.network, info)
    print(f"written: {target}, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
