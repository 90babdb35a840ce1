"""Count parameters and multiply-accumulates.

example:
  sernet profile
  sernet profile --depth 18 --output-stride 8 --size 480x360 --no-afn2 --fusion gated
  sernet profile --model sernet-r50-camvid --time --threads 1
  sernet profile --all --json
  sernet profile --trunk --time --runs 30        what each part costs beside the plain residual network
"GMAC" counts one multiply and one add as one; what papers on this subject call GFLOPs is usually that.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sernet_core.commands.options import frame_size

if TYPE_CHECKING:
    from sernet_core.network import NetworkConfig
    from sernet_core.profile import Profile

DEFAULT_SIZE = (960, 720)
TABLE_STRIDES = (16, 8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet profile`; those of the network are absent from the result unless given."""
    parser.add_argument("--model", help="count a checkpoint's network (path or name) instead of a variant")
    parser.add_argument(
        "--size", type=frame_size, metavar="WxH", help="input size (960x720; a model's own with --model)"
    )
    parser.add_argument(
        "--all", action="store_true", help="one line for each depth at output stride 16 and 8"
    )
    parser.add_argument(
        "--trunk",
        action="store_true",
        help="from the plain residual network to the whole one, part by part; timed in turns with --time",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--time", action="store_true", help="also time the network on this machine's CPU")
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads for --time (default: torch's choice)"
    )
    parser.add_argument(
        "--runs", type=int, default=10, help="timed runs for --time, of which the median (10)"
    )

    variant = parser.add_argument_group(
        "variant", "left out: the default network", argument_default=argparse.SUPPRESS
    )
    variant.add_argument("--depth", type=int, help="of the encoder: 18, 29, 34, 50 or 101 (50)")
    variant.add_argument("--output-stride", type=int, help="16, 8 or 32 (16)")
    variant.add_argument("--classes", type=int, metavar="K", help="number of classes (11)")
    for switch, part in (("abm", "AbM"), ("dbn", "DbN"), ("afn1", "AfN1"), ("afn2", "AfN2")):
        variant.add_argument(f"--no-{switch}", dest=switch, action="store_false", help=f"leave {part} out")
    variant.add_argument("--gate", help="learned or fixed (learned)")
    variant.add_argument("--fusion", help="concat, add or gated (concat)")
    variant.add_argument(
        "--lateral", help="branch that takes in features at an eighth too: skip, context or none (none)"
    )
    variant.add_argument(
        "--rates", dest="dbn_rates", type=_rates, metavar="R,R,R", help="dilations of DbN (12,16,18)"
    )
    variant.add_argument(
        "--dense-dbn", dest="dbn_separable", action="store_false", help="dense convolutions in DbN"
    )
    variant.add_argument("--dbn-channels", type=int, metavar="C", help="width of DbN (128 or 256, by depth)")
    variant.add_argument("--afn-channels", type=int, metavar="W", help="width of each decoder branch (64)")


def run(args: argparse.Namespace) -> int:
    """Print the cost of what was asked for."""
    import json

    from sernet_core.profile import latency, profile

    configs, (width, height) = _requested(args)
    if args.trunk:
        return _run_trunk(args, configs[0], width, height)
    profiles = [profile(config, width, height) for config in configs]
    times = [
        latency(config, width, height, threads=args.threads, runs=args.runs) if args.time else None
        for config in configs
    ]
    if args.json:
        values = [_as_json(*pair) for pair in zip(profiles, times, strict=True)]
        print(json.dumps(values if args.all else values[0], indent=2))
        return 0
    if args.all:
        _print_overview(profiles, times)
    else:
        _print_stages(profiles[0], times[0])
    return 0


def _run_trunk(args: argparse.Namespace, config: NetworkConfig, width: int, height: int) -> int:
    import json

    import torch

    from sernet_core.benchmark.timing import speedup, summary
    from sernet_core.errors import ConfigError
    from sernet_core.trunk import steps, time_steps

    if args.all or args.threads < 0 or args.runs < 1:
        raise ConfigError("--trunk takes one network, threads from 0 and runs from 1")
    if args.threads:
        torch.set_num_threads(args.threads)
    found = steps(config, width, height)
    rows: list[dict[str, Any]] = [
        {"name": step.name, "parameters": step.parameters, "macs": step.macs} for step in found
    ]
    if args.time:
        times = time_steps(found, width, height, args.runs)
        own_trunk = times[[step.name for step in found if step.trunk][-1]]
        for row in rows:
            seconds = times[row["name"]]
            row |= {"times_trunk": speedup(seconds, own_trunk), **summary(seconds)}
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"depth {config.depth}, input {width}x{height}\n")
    heads = f"{'':<32}{'parameters':>14}{'GMAC':>10}"
    print(heads + (f"{'times the trunk (quartiles)':>30}{'ms':>10}" if args.time else ""))
    for row in rows:
        line = f"{row['name']:<32}{row['parameters']:>14,}{row['macs'] / 1e9:>10.3f}"
        if args.time:
            ratio = row["times_trunk"]
            words = f"{ratio['median']:.3f} ({ratio['p25']:.3f} to {ratio['p75']:.3f})"
            line += f"{words:>30}{row['median_ms']:>10.1f}"
        print(line)
    if args.time:
        print(f"\nin turns; {_conditions()}")
    return 0


def _requested(args: argparse.Namespace) -> tuple[list[NetworkConfig], tuple[int, int]]:
    """The networks to count, and the width and height to count them at.

    Raises:
        ConfigError: Options that contradict each other, or a value that does not exist.
        CheckpointError: There is no such model.
    """
    import dataclasses

    from sernet_core.checkpoint import read_info
    from sernet_core.encoder import DEPTHS
    from sernet_core.errors import ConfigError
    from sernet_core.network import NetworkConfig

    known = [field.name for field in dataclasses.fields(NetworkConfig)]
    given = {name: getattr(args, name) for name in known if hasattr(args, name)}
    if args.model is not None:
        if given or args.all:
            raise ConfigError(
                "--model brings its own network: leave out --all and the options of the variant"
            )
        info = read_info(args.model)
        return [info.network], args.size or info.input_size
    size = args.size or DEFAULT_SIZE
    if not args.all:
        return [NetworkConfig(**given)], size
    if given.keys() & {"depth", "output_stride"}:
        raise ConfigError(
            "--all goes through depths and output strides: leave out --depth and --output-stride"
        )
    config = NetworkConfig(**given)
    pairs = [(depth, stride) for depth in DEPTHS for stride in TABLE_STRIDES]
    return [dataclasses.replace(config, depth=depth, output_stride=stride) for depth, stride in pairs], size


def _print_stages(result: Profile, milliseconds: float | None) -> None:
    print(f"{_describe(result.network)}\n{_describe_size(result)}\n")
    print(f"{'stage':<8}{'output':>18}{'parameters':>14}{'GMAC':>10}")
    for stage in result.stages:
        shape = " x ".join(map(str, stage.output))
        print(f"{stage.name:<8}{shape:>18}{stage.parameters:>14,}{stage.macs / 1e9:>10.3f}")
    print(f"{'total':<8}{'':>18}{result.parameters:>14,}{result.macs / 1e9:>10.3f}")
    if milliseconds is not None:
        print(f"\nlatency {milliseconds:.1f} ms: {_conditions()}")


def _print_overview(profiles: list[Profile], times: list[float | None]) -> None:
    timed = times[0] is not None
    print(f"{_describe_size(profiles[0])}\n")
    print(f"{'depth':>5}{'stride':>8}{'parameters':>14}{'GMAC':>10}" + (f"{'ms':>10}" if timed else ""))
    for result, milliseconds in zip(profiles, times, strict=True):
        network = result.network
        row = (
            f"{network.depth:>5}{network.output_stride:>8}{result.parameters:>14,}{result.macs / 1e9:>10.3f}"
        )
        print(row if milliseconds is None else f"{row}{milliseconds:>10.1f}")
    if timed:
        print(f"\nlatency: {_conditions()}")


def _describe(network: NetworkConfig) -> str:
    parts = {"AbM": network.abm, "DbN": network.dbn, "AfN1": network.afn1, "AfN2": network.afn2}
    off = [name for name, on in parts.items() if not on]
    return (
        f"depth {network.depth}, output stride {network.output_stride}, {network.classes} classes, "
        f"gate {network.gate}, fusion {network.fusion}, DbN rates {', '.join(map(str, network.dbn_rates))}"
        + (f", lateral {network.lateral}" if network.lateral != "none" else "")
        + (f", without {', '.join(off)}" if off else "")
    )


def _describe_size(result: Profile) -> str:
    padded = "" if result.padded == result.size else f", padded to {'x'.join(map(str, result.padded))}"
    return f"input {'x'.join(map(str, result.size))}{padded}"


def _conditions() -> str:
    import torch

    return f"median, CPU, {torch.get_num_threads()} thread(s), float32, eager, torch {torch.__version__}"


def _as_json(result: Profile, milliseconds: float | None) -> dict[str, Any]:
    from dataclasses import asdict

    values = {**asdict(result), "parameters": result.parameters, "macs": result.macs}
    if milliseconds is not None:
        values["latency"] = {"milliseconds": round(milliseconds, 2), "conditions": _conditions()}
    return values


def _rates(text: str) -> tuple[int, ...]:
    """Numbers separated by commas."""
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of dilations, e.g. 6,8,9")
    return tuple(map(int, parts))
