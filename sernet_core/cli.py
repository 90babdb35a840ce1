"""The command `sernet`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from sernet_core.errors import SernetError, missing_package
from sernet_core.waiting import rest_while_waiting

# Name of the subcommand, which is its module in sernet_core.commands, and what it is for.
COMMANDS = {
    "models": "list the models that have a name, with their figures and terms",
    "predict": "segment an image, a folder of images or a video",
    "evaluate": "score a model on a split with ground truth",
    "inspect": "look at the gates and features inside of a model",
    "data": "check and describe a data set",
    "train": "train a network, or go on with an interrupted run",
    "average": "average the weights of models that were fine-tuned from one",
    "calibrate": "fit the temperature of a model's confidence",
    "ablate": "train variants of a recipe, and say what each part or setting brings",
    "engines": "list what can run the network on this machine",
    "export": "write a model as a file for other runtimes",
    "quantize": "make the int8 model of a checkpoint for OpenVINO",
    "benchmark": "time models on engines, side by side",
    "profile": "count parameters and multiply-accumulates of any variant",
    "synthesize": "write procedural street scenes with exact labels",
}

BROKEN_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE has ended


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; 2 when it cannot do what was asked, 130 when interrupted, 141 when nobody reads."""
    rest_while_waiting()
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()  # here, where the error can still be caught
    except BrokenPipeError:  # whoever read our output has seen enough, e.g. `| head`
        # What is still in the buffer has nowhere to go either, and Python would say so at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _run(argv: list[str]) -> int:
    command = next((word for word in argv if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(
        prog="sernet",
        description="SERNet-Former: semantic segmentation of street scenes.",
        epilog="`sernet COMMAND --help` explains one command with examples.",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    try:
        for name, summary in COMMANDS.items():
            subparser = subparsers.add_parser(
                name,
                help=summary,
                description=summary[0].upper() + summary[1:] + ".",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            if name == command:  # the others may need packages that this one does without
                module = importlib.import_module(f"sernet_core.commands.{name}")
                subparser.epilog = (module.__doc__ or "").partition("\n\n")[2]
                module.add_arguments(subparser)
                subparser.set_defaults(handler=module.run)
        args = parser.parse_args(argv)
        return int(args.handler(args))
    except SernetError as error:
        return _fail(command, str(error))
    except ImportError as error:
        return _fail(command, missing_package(error, sys.executable))
    except BrokenPipeError:
        raise
    except OSError as error:
        # The system numbers its errors; one without a number is a shared library that does not load.
        return _fail(command, str(error) if error.errno else missing_package(error, sys.executable))
    except KeyboardInterrupt:
        print(f"\nsernet {command}: interrupted", file=sys.stderr)
        return 130


def _fail(command: str, why: str) -> int:
    print(f"sernet {command}: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
