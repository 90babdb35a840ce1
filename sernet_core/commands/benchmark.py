"""Time models on engines, side by side.

Everything of one frame size is timed in turns on the same synthetic street scenes, after a warm-up, at
levels that are kept apart: the network alone; frame to mask; frame to overlay, where the pipeline that most
tutorials show stands beside. `ros2 run sernet_ros benchmark` has the same options and a further level: from
an image message to its mask, through a running node. Results are written after each size (benchmark.json,
.csv, .html), and the same command goes on where it was interrupted. Only ratios of one run mean something on
a machine that does other things too.

Peers are networks by others, with random weights: they are compared by the time of the network alone. Two of
them need requirements/benchmark.txt.

example:
  sernet benchmark --quick
  sernet benchmark --threads 2 --sizes 480x360 960x720 --engines openvino onnx compile --out out/benchmark
  sernet benchmark --threads 2 --engines openvino --peers
  sernet benchmark --model out/train/model.safetensors --engines openvino openvino:int8 --peers unet-r18
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sernet_core.commands.options import frame_size

if TYPE_CHECKING:
    from sernet_core.benchmark.gather import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet benchmark`."""
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="NAME",
        help="paths or names of models (default: every shipped one)",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        metavar="NAME",
        help="networks by others to stand beside (without a name: all of them)",
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


def settings_of(args: argparse.Namespace, *, nodes: bool = False) -> Settings:
    """What the arguments ask for.

    Args:
        args: Of `add_arguments`.
        nodes: Whether running nodes are asked, too.

    Raises:
        ConfigError: There is no such device, engine or peer.
    """
    from sernet_core.benchmark.gather import Settings
    from sernet_core.checkpoint import SHIPPED
    from sernet_core.devices import resolve_device
    from sernet_core.engines.choose import contenders

    device = resolve_device(args.device)
    sizes = args.sizes or ([(480, 360)] if args.quick else [(480, 360), (960, 720)])
    return Settings(
        models=tuple(args.model or sorted(path.stem for path in SHIPPED.glob("*.safetensors"))),
        engines=tuple(args.engines or contenders(device, "auto")),
        sizes=tuple(sizes),
        input_size=args.input_size,
        device=device,
        threads=args.threads,
        repeats=args.repeats or (10 if args.quick else 30),
        peers=_peers(args),
        nodes=nodes,
    )


def _peers(args: argparse.Namespace) -> tuple[str, ...]:
    """Names of the peers that were asked for."""
    if args.peers is None:
        return ()
    from sernet_core.errors import ConfigError, unknown_name
    from sernet_core.peers.registry import PEERS

    for name in args.peers:
        if name not in PEERS:
            raise ConfigError(unknown_name("peer", name, PEERS))
    return tuple(args.peers or PEERS)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the speed-ups."""
    from sernet_core.benchmark.run import run

    tell(run(settings_of(args), args.out), args.out)
    return 0


def tell(report: Mapping[str, Any], out: Path) -> None:
    """Print a line for each row, and where the results are."""
    from sernet_core.benchmark.cases import LEVELS
    from sernet_core.benchmark.run import PAGE

    print(f"{'model':<22}{'engine':<18}{'size':>10}{'level':>9}{'speed-up':>10}{'median':>10}  over network")
    for row in report["rows"]:
        if row["level"] not in LEVELS:
            continue
        engine, size = f"{row['engine']} {row['precision']}", f"{row['width']}x{row['height']}"
        over = f"{row['over_network']['median']:>6.2f}x" if "over_network" in row else ""
        print(
            f"{row['model']:<22}{engine:<18}{size:>10}{row['level']:>9}"
            f"{row['speedup']['median']:>9.2f}x{row['median_ms']:>7.1f} ms{over}"
        )
    for name, reason in report["faults"].items():
        print(f"{name}: {reason}")
    print(f"\nwritten: {out / PAGE} (and .json, .csv)")
