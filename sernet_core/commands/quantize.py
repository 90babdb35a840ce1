"""Make the int8 model of a checkpoint, for the engine openvino.

It is calibrated on frames of a data set, best those that the model was trained on, and written beside the
checkpoint as NAME.int8.xml and NAME.int8.bin. Needs requirements/engines.txt; running the result needs
OpenVINO alone. CPUs with int8 instructions (VNNI, AMX, or dot products on ARM) gain the most.

With --score the mIoU of float32 and of int8 on a labelled part is kept in the file: `sernet models` shows it,
and the engine auto may take int8 where it costs at most half a point.

example:
  sernet quantize --model my.safetensors --data $SERNET_DATA/camvid --score val
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
    parser.add_argument("--score", metavar="SPLIT", help="labelled part to score float32 and int8 on")


def run(args: argparse.Namespace) -> int:
    """Quantise and say what was written."""
    from sernet_core.datasets import open_dataset
    from sernet_core.engines.base import Source
    from sernet_core.engines.cache import EngineCache, default_folder
    from sernet_core.engines.quantised import read_quantised
    from sernet_core.quantize import quantize

    source = Source.load(args.model, EngineCache(default_folder()))
    path = quantize(
        source,
        open_data(args),
        frames=args.frames,
        score=open_dataset(args.data, args.score) if args.score else None,
    )
    made = read_quantised(source.path)
    assert made is not None
    print(made.words)
    print(f"the engine auto leaves it alone: {made.doubt}" if made.doubt else "the engine auto may use it")
    for written in (path, path.with_suffix(".bin")):
        print(f"written: {written} ({written.stat().st_size / 1e6:.1f} MB)")
    return 0
