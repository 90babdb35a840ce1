"""Time models on engines, side by side.

Everything of one frame size is timed in turns on the same synthetic street scenes, after a warm-up, at
levels that are kept apart: the network alone; frame to mask; frame to overlay, where the pipeline that most
tutorials show stands beside. `ros2 run sernet_ros benchmark` has the same options and a further level: from
an image message to its mask, through a running node. Last comes the picture of accuracy against latency,
frame to mask: each model at the size that its accuracy was measured at. Results are written after each size
(benchmark.json, .csv, .html), and the same command goes on where it was interrupted, with the same models,
versions and code; a folder that holds results of others is refused. Only ratios of one run mean something on
a machine that does other things too. Whatever takes over 0.3 s leaves the turns after ten rounds, and the
rest goes on: "runs" says how many a time has, and a ratio is of the rounds that both had.

Peers are networks by others, with random weights: they are compared by the time of the network alone, on
every engine but auto and int8, which need trained weights. Two of them need requirements/benchmark.txt. One
that `sernet ablate --rows peers` has trained is named with --model.

All that takes turns is in memory at once: by estimate 0.2 to 0.5 GB for each model and peer on each engine at
960x720, 10 GB for two models and all peers on four engines. A run that would not fit is refused.

exit code: 0; 1 when a model, an engine or a peer that was asked for by name could not be timed, or anything
failed while it was timed, with the reason at the end; 2 for a request that cannot be met. What is merely a
default is left out where it cannot be had. What fails loses its own times alone: the others go on.

example:
  sernet benchmark --quick
  sernet benchmark --threads 2 --sizes 480x360 960x720 --engines openvino onnx compile --out out/benchmark
  sernet benchmark --threads 2 --engines auto
  sernet benchmark --threads 2 --engines openvino --peers
  sernet benchmark --model out/train/model.safetensors --engines openvino openvino:int8 --peers unet-r18
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sernet_core.commands.options import frame_size, whole

if TYPE_CHECKING:
    from sernet_core.benchmark.settings import Settings


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
        help="beside eager: names that `sernet engines` lists, NAME:PRECISION for another precision, or "
        "auto, which shows what it chose (default: what auto compares here, with openvino:int8 where a model "
        "has an int8 file)",
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
    parser.add_argument(
        "--threads", type=whole(0), default=0, help="CPU threads (default: 0, the engine's choice)"
    )
    parser.add_argument(
        "--repeats", type=whole(1), help="rounds (default: 30); what takes over 0.3 s leaves after ten"
    )
    parser.add_argument("--quick", action="store_true", help="one size, ten rounds")
    parser.add_argument(
        "--out", type=Path, default=Path("out/benchmark"), metavar="DIR", help="folder for the results"
    )


def settings_of(args: argparse.Namespace, *, nodes: bool = False, standin_ms: int = 0) -> Settings:
    """What the arguments ask for.

    Args:
        args: Of `add_arguments`.
        nodes: Whether running nodes are asked, too.
        standin_ms: With nodes: milliseconds of the network that sleeps.

    Raises:
        ConfigError: There is no such device, engine or peer.
    """
    from sernet_core.benchmark.settings import Settings
    from sernet_core.checkpoint import SHIPPED
    from sernet_core.devices import resolve_device

    device = resolve_device(args.device)
    sizes = args.sizes or ([(480, 360)] if args.quick else [(480, 360), (960, 720)])
    models = tuple(args.model or sorted(path.stem for path in SHIPPED.glob("*.safetensors")))
    return Settings(
        models=models,
        engines=tuple(args.engines or _default_engines(device, models)),
        sizes=tuple(sizes),
        input_size=args.input_size,
        device=device,
        threads=args.threads,
        repeats=args.repeats or (10 if args.quick else 30),
        peers=_peers(args),
        nodes=nodes,
        standin_ms=standin_ms,
        named=(*models, *(args.engines or ()), *(args.peers or ())),
    )


def _default_engines(device: str, models: Sequence[str]) -> list[str]:
    """Engines that `auto` compares here, for any of these models."""
    import sernet_core.peers.registry  # noqa: F401 (makes the checkpoints of peers readable)
    from sernet_core.checkpoint import resolve_model
    from sernet_core.engines.choose import INT8, contenders
    from sernet_core.engines.quantised import read_quantised

    engines = contenders(device, "auto")
    if INT8.partition(":")[0] in engines and any(read_quantised(resolve_model(model)) for model in models):
        engines.append(INT8)
    return engines


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
    """Measure, and print the speed-ups; 1 when something failed, or was asked for by name and not timed."""
    from sernet_core.benchmark.run import run

    return tell(run(settings_of(args), args.out), args.out)


def tell(report: Mapping[str, Any], out: Path) -> int:
    """Print a line for each row, where the results are, and what is missing; the exit code."""
    from sernet_core.benchmark.cases import LEVELS, label_of
    from sernet_core.benchmark.run import PAGE

    print(
        f"{'model':<22}{'engine':<22}{'size':>10}{'level':>9}{'speed-up':>10}{'median':>11}{'runs':>6}"
        f"{'over network':>15}{'beyond it':>13}"
    )
    for row in report["rows"]:
        if row["level"] not in LEVELS:
            continue
        speedup = f"{row['speedup']['median']:.2f}x" if "speedup" in row else ""
        over = ""
        if "over_network" in row and row["level"] != "network":
            over = f"{row['over_network']['median']:>14.2f}x{row['beyond_network_ms']:>10.1f} ms"
        print(
            f"{row['model']:<22}{label_of(row):<22}{row['width']:>5}x{row['height']:<4}{row['level']:>9}"
            f"{speedup:>10}{row['median_ms']:>8.1f} ms{row['runs']:>6}{over}"
        )
    print(f"\nwritten: {out / PAGE} (and .json, .csv)")
    for title, reasons in (("left out", report["left_out"]), ("not timed", report["faults"])):
        for name, reason in reasons.items():
            print(f"{title}: {name}: {reason}")
    return 1 if report["faults"] else 0
