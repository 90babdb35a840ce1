"""Write a model as a file for other runtimes.

The file takes uint8 RGB frames (1, H, W, 3) and gives the mask, uint8 (1, H, W); normalisation and argmax
are inside. Class names, palette, mean and std, and the terms of the weights are in its metadata. It is run
after it is written, and kept only if its masks are the network's.

  onnx      one .onnx file; metadata in metadata_props
  openvino  an .xml and a .bin file; metadata in rt_info under sernet
  torch     one .pt2 file for torch.export.load; metadata in its extra file sernet.json
  tensorrt  one .ep file for torch_tensorrt.load, in fp16, for one size and the GPU that it is written on;
            metadata as for torch. Needs requirements/tensorrt.txt; never tried on TensorRT itself

example:
  sernet export --model sernet-r50-camvid --format onnx
  sernet export --format openvino --size 960x720 --out street.xml
  sernet export --format torch --size any
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sernet_core.commands.options import DEFAULT_MODEL, frame_size

ANY = "any"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet export`."""
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"path or name of a model (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--format", required=True, help="onnx, openvino, torch or tensorrt")
    parser.add_argument(
        "--size",
        type=lambda text: ANY if text == ANY else frame_size(text),
        metavar="WxH",
        help="of the frames, or any: free, in multiples of the output stride (default: the model's own)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: MODEL with the format's suffix)")


def run(args: argparse.Namespace) -> int:
    """Export and say what was written."""
    from sernet_core.devices import resolve_device
    from sernet_core.engines.base import Source
    from sernet_core.engines.cache import EngineCache, default_folder
    from sernet_core.errors import ConfigError, unknown_name
    from sernet_core.export import FORMATS, export

    if args.format not in FORMATS:
        raise ConfigError(unknown_name("format", args.format, FORMATS))
    device = resolve_device("auto") if FORMATS[args.format].engine else "cpu"
    source = Source.load(args.model, EngineCache(default_folder()), device=device)
    size = None if args.size == ANY else args.size or source.info.input_size
    path = args.out or Path(source.path.stem + FORMATS[args.format].suffix)
    for written in export(source, args.format, path, size):
        print(f"written: {written} ({written.stat().st_size / 1e6:.1f} MB)")
    print("checked: its metadata is there, and its masks are the network's")
    return 0
