"""List the engines, and why one cannot run on this machine.

With --check each engine that can run is built for a model and compared with eager on pictures of synthetic
streets: the share of pixels with the same class, mIoU with eager's masks as truth, and the time relative to
eager's in the same run.

example:
  sernet engines
  sernet engines --check --model sernet-r50-camvid --size 480x360 --threads 2
  sernet engines --check --precision int8
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sernet_core.commands.options import DEFAULT_MODEL, frame_size

if TYPE_CHECKING:
    from sernet_core.engines.base import Source
    from sernet_core.engines.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet engines`."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N (default: auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 or int8 (default: auto)")
    parser.add_argument("--check", action="store_true", help="build each and compare it with eager")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"for --check: path or name (default: {DEFAULT_MODEL})"
    )
    parser.add_argument(
        "--size", type=frame_size, metavar="WxH", help="for --check: of the frames (default: the model's)"
    )
    parser.add_argument("--threads", type=int, default=0, help="for --check: CPU threads")


def run(args: argparse.Namespace) -> int:
    """Print a line for each engine."""
    from sernet_core.devices import resolve_device
    from sernet_core.engines.registry import PRECISIONS, engine_class, obstacles
    from sernet_core.errors import ConfigError, unknown_name

    if args.precision not in PRECISIONS:
        raise ConfigError(unknown_name("precision", args.precision, PRECISIONS))
    device = resolve_device(args.device)
    reasons = obstacles(device, args.precision)
    print(f"{'engine':<12}{'on ' + device:<12}what it is")
    for name, reason in reasons.items():
        kind = engine_class(name)
        print(f"{name:<12}{'no' if reason else 'yes':<12}{kind.summary}")
        if reason:
            print(f"{'':<24}{reason}")
        else:
            print(f"{'':<24}precisions: {', '.join(kind.precisions[device.partition(':')[0]])}")
    if args.check:
        _check([name for name, reason in reasons.items() if not reason], args)
    return 0


def _check(names: list[str], args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from sernet_core.engines.choose import build, reference
    from sernet_core.engines.parity import Parity, compare, street_frames
    from sernet_core.errors import EngineError

    source, plan = _source_and_plan(args)
    engines, faults = {}, {}
    for name in tqdm(names, "build", unit="engine", leave=False, disable=None):
        try:
            engines[name] = build(name, source, plan)
        except EngineError as error:
            faults[name] = str(error)
    engines["eager"] = reference(source, plan)
    checks: dict[str, Parity] = {}
    for name, found in compare(engines["eager"], engines, street_frames(*plan.frame)).items():
        if isinstance(found, Parity):
            checks[name] = found
        elif name == "eager":
            raise found
        else:
            faults[name] = f"engine {name} could not be run: {found}"
    print(f"\n{'engine':<12}{'precision':<12}{'same pixels':>12}{'mIoU':>8}{'time':>8}")
    for name, parity in checks.items():
        share = parity.seconds / checks["eager"].seconds
        print(
            f"{name:<12}{engines[name].precision:<12}{parity.agreement:>12.2%}{parity.miou:>8.2f}{share:>7.2f}x"
        )
    for fault in faults.values():
        print(fault)


def _source_and_plan(args: argparse.Namespace) -> tuple[Source, Plan]:
    """What the engines are built from, and the sizes: frames are not resized."""
    import torch

    from sernet_core.devices import resolve_device
    from sernet_core.engines.base import Source
    from sernet_core.engines.cache import EngineCache, default_folder
    from sernet_core.errors import ConfigError
    from sernet_core.input_size import MIN_SIZE

    if args.threads < 0:
        raise ConfigError(f"--threads: needs 0 (automatic) or more, got {args.threads}")
    if args.threads:
        torch.set_num_threads(args.threads)
    source = Source.load(
        args.model,
        EngineCache(default_folder()),
        device=resolve_device(args.device),
        precision=args.precision,
        threads=args.threads,
    )
    width, height = args.size or source.info.input_size
    if min(width, height) < MIN_SIZE:
        raise ConfigError(f"--size: needs at least {MIN_SIZE}x{MIN_SIZE}, got {width}x{height}")
    return source, source.plan((height, width), (height, width))
