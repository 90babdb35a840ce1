"""The command `sernet`."""

from __future__ import annotations

import argparse
import importlib
import sys

from sernet_core.errors import SernetError, missing_package

# Name of the subcommand, which is its module in sernet_core.commands, and what it is for.
COMMANDS = {
    "models": "list the models that have a name, with their figures and terms",
    "predict": "segment an image, a folder of images or a video",
    "evaluate": "score a model on a split with ground truth",
    "train": "train a network, or go on with an interrupted run",
    "engines": "list what can run the network on this machine",
    "export": "write a model as a file for other runtimes",
    "quantize": "make the int8 model of a checkpoint for OpenVINO",
    "benchmark": "time models on engines, side by side",
    "profile": "count parameters and multiply-accumulates of any variant",
    "synthesize": "write procedural street scenes with exact labels",
}


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; 2 when it cannot do what was asked, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="sernet",
        description="SERNet-Former: semantic segmentation of street scenes.",
        epilog="`sernet COMMAND --help` explains one command with examples.",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"sernet_core.commands.{name}")
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=(module.__doc__ or "").partition("\n\n")[2],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(handler=module.run)
    args = parser.parse_args(argv)
    try:
        return int(args.handler(args))
    except SernetError as error:
        print(f"sernet {args.command}: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"sernet {args.command}: {missing_package(error, sys.executable)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nsernet {args.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
