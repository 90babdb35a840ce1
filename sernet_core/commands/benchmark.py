"""Time models on engines, side by side.

Everything of one frame size is timed in turns on the same synthetic street scenes, after a warm-up, at
three levels: the network alone; frame to mask; frame to overlay, where the pipeline that most tutorials show
stands beside. Results are written after each size (benchmark.json, .csv, .html), and the same command goes on
where it was interrupted. Only ratios of one run mean something on a machine that does other things too.

example:
  sernet benchmark --quick
  sernet benchmark --threads 2 --sizes 480x360 960x720 --engines openvino onnx compile --out out/benchmark
  sernet benchmark --model out/train/model.safetensors --engines openvino openvino:int8
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sernet_core.commands.options import DEFAULT_MODEL, frame_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet benchmark`."""
    parser.add_argument(
        "--model",
        nargs="+",
        default=[DEFAULT_MODEL],
        metavar="NAME",
        help=f"paths or names of models (default: {DEFAULT_MODEL})",
    )
    parser.add_argument(
        "--engines",
        nargs="+",
        metavar="NAME",
        help="beside eager; NAME:PRECISION for another one (default: those that auto compares)",
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=frame_size,
        metavar="WxH",
        help="of the frames (default: 480x360 960x720; 480x360 with --quick)",
    )
    parser.add_argument(
        "--input-size",
        default="source",
        metavar="SIZE",
        help="size the network sees: source (the frame's), model or WxH (default: source)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: the engine's choice)")
    parser.add_argument(
        "--repeats", type=int, help="rounds (default: 30; ten where a frame takes over 0.3 s)"
    )
    parser.add_argument("--quick", action="store_true", help="one size, ten rounds")
    parser.add_argument(
        "--out", type=Path, default=Path("out/benchmark"), metavar="DIR", help="folder for the results"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, and print the speed-ups."""
    from sernet_core.benchmark.run import PAGE, Settings, run
    from sernet_core.engines.choose import contenders
    from sernet_core.runtime import resolve_device

    device = resolve_device(args.device)
    sizes = args.sizes or ([(480, 360)] if args.quick else [(480, 360), (960, 720)])
    settings = Settings(
        models=tuple(args.model),
        engines=tuple(args.engines or contenders(device, "auto")),
        sizes=tuple(sizes),
        input_size=args.input_size,
        device=device,
        threads=args.threads,
        repeats=args.repeats or (10 if args.quick else 30),
    )
    report = run(settings, args.out)
    print(f"{'model':<22}{'engine':<18}{'size':>10}{'level':>9}{'speed-up':>10}{'median':>10}")
    for row in report["rows"]:
        engine, size = f"{row['engine']} {row['precision']}", f"{row['width']}x{row['height']}"
        print(
            f"{row['model']:<22}{engine:<18}{size:>10}{row['level']:>9}"
            f"{row['speedup']['median']:>9.2f}x{row['median_ms']:>7.1f} ms"
        )
    for name, reason in report["faults"].items():
        print(f"{name}: {reason}")
    print(f"\nwritten: {args.out / PAGE} (and .json, .csv)")
    return 0
