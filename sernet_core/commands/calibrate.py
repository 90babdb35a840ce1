"""Fit the temperature of a model's confidence.

The node publishes a confidence beside the mask. Of a model that comes out of training it mostly says too
much or too little; one number, which divides the logits and leaves the mask as it is, brings it close to the
share of right pixels (Guo et al., ICML 2017). It is fitted on labelled frames that the model has not seen,
and written into a copy of the model.

example:
  sernet calibrate --model RUN/model.safetensors --data my_frames --split val --out mine.safetensors
  sernet evaluate --model mine.safetensors --data my_frames --out out/val      its page shows the reliability
"""

from __future__ import annotations

import argparse

from sernet_core.commands.options import add_data_arguments, model_file, open_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet calibrate`."""
    parser.add_argument("--model", required=True, help="path or name of a model")
    add_data_arguments(parser, split="val")
    parser.add_argument(
        "--out", type=model_file, required=True, metavar="FILE", help="file to write, .safetensors"
    )


def run(args: argparse.Namespace) -> int:
    """Fit, say what it brings, and write."""
    from dataclasses import replace

    from sernet_core.checkpoint import load_checkpoint, save_checkpoint
    from sernet_core.engines.base import Source
    from sernet_core.engines.cache import EngineCache, default_folder
    from sernet_core.storage import make_folder
    from sernet_core.temperature import calibrate

    dataset = open_data(args)
    source = Source.load(args.model, EngineCache(default_folder()))
    make_folder(args.out.parent)
    temperature, before, after = calibrate(source, dataset)
    checkpoint = load_checkpoint(source.path)
    save_checkpoint(args.out, checkpoint.network, replace(checkpoint.info, temperature=temperature))
    print(
        f"temperature {temperature:.3f}: on {dataset.name} the confidence is off by {after.ece:.2f} % (ECE), "
        f"without it by {before.ece:.2f} %"
    )
    print(f"written: {args.out}")
    return 0
