"""Make the int8 model of a checkpoint, for the engine openvino.

It is calibrated on frames of a data set, best those that the model was trained on, and written beside the
checkpoint as NAME.int8.xml and NAME.int8.bin. Needs requirements/engines.txt; running the result needs
OpenVINO alone. CPUs with int8 instructions (VNNI, AMX, or dot products on ARM) gain the most. How much
accuracy it costs is the difference of the two evaluations below.

example:
  sernet quantize --model my.safetensors --data $SERNET_DATA/camvid
  sernet evaluate --model my.safetensors --data $SERNET_DATA/camvid --engine openvino
  sernet evaluate --model my.safetensors --data $SERNET_DATA/camvid --engine openvino --precision int8
"""

from __future__ import annotations

import argparse

from sernet_core.commands.options import DEFAULT_MODEL, add_data_arguments, open_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet quantize`."""
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"path or name of a model (default: {DEFAULT_MODEL})"
    )
    add_data_arguments(parser, split="train")
    parser.add_argument("--frames", type=int, default=300, help="frames to calibrate on (default: 300)")


def run(args: argparse.Namespace) -> int:
    """Quantise and say what was written."""
    from sernet_core.engines.base import Source
    from sernet_core.engines.cache import EngineCache, default_folder
    from sernet_core.quantize import quantize

    source = Source.load(args.model, EngineCache(default_folder()))
    path = quantize(source, open_data(args), frames=args.frames)
    for written in (path, path.with_suffix(".bin")):
        print(f"written: {written} ({written.stat().st_size / 1e6:.1f} MB)")
    return 0
