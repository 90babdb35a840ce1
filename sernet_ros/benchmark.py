"""`sernet benchmark` with running nodes among what is timed: `ros2 run sernet_ros benchmark --help`."""

from __future__ import annotations

import argparse
import functools
import signal
import sys
from collections.abc import Sequence

from sernet_core.errors import SernetError
from sernet_core.waiting import rest_while_waiting
from sernet_ros.interrupts import Interrupts
from sernet_ros.startup import BAD_REQUEST, INTERRUPTED, MISSING_PACKAGE, explain_missing

EPILOG = """\
levels, all in turns on the same frames:
  network  a prepared frame to logits
  mask     uint8 frame to uint8 mask, in this process
  overlay  uint8 frame to mask and blended colours, beside the pipeline that tutorials show
  message  an image message (bgr8) published to its mask received, each engine in a node of its own

A message's time is compared with the inference (frame to mask) and with the network of the same frames in the
node's own process: "over network" and "beyond it" are what the road costs. The page also splits it by stage:
delivery, wait, decode, inference, answer. The stand-in is a node whose network sleeps: the cost of the road
beside a network that leaves the processor alone. `sernet benchmark` needs no ROS, has the other levels, and
its --help says how the options work.

exit code: 0; 1 when what was asked for by name, or a node, could not be timed, or anything failed while it
was timed (a node that ends or is silent, say; the others go on); 2 for a request that cannot be met.

examples:
  benchmark --threads 2 --engines openvino --sizes 480x360 960x720 --out out/message
  benchmark --quick --engines auto --stand-in 20
"""
DEFAULT_STANDIN = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Args:
        argv: Command line without the program's name; that of the process when None.

    Returns:
        0; 1 when something that was asked for by name, or a node, could not be timed, or failed meanwhile;
        2 for a request that cannot be met; 130 after Ctrl-C.
    """
    rest_while_waiting()
    interrupts = Interrupts(INTERRUPTED, signal.SIGINT, signal.SIGTERM)
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from sernet_core.benchmark.run import run
        from sernet_core.commands import benchmark as command
        from sernet_ros.fastdds import use_profile
        from sernet_ros.live_run import isolate
        from sernet_ros.message_level import NAMESPACE, message_tasks
    except (ImportError, OSError) as error:
        print(explain_missing("benchmark", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE
    options = build_parser().parse_args(argv)
    try:
        interrupts.begin()
        settings = command.settings_of(options, nodes=True, standin_ms=options.stand_in)
        print(f"{use_profile()}\n{isolate(NAMESPACE)}")
        options.out.mkdir(parents=True, exist_ok=True)
        with interrupts.held():
            rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        extra = functools.partial(message_tasks, folder=options.out)
        code = command.tell(run(settings, options.out, extra), options.out)
    except (SernetError, OSError) as error:
        print(f"benchmark: error: {error}", file=sys.stderr)
        return BAD_REQUEST
    except KeyboardInterrupt:
        print("\nbenchmark: interrupted; the same command goes on with what is missing", file=sys.stderr)
        return INTERRUPTED
    finally:
        interrupts.ignore()
        rclpy.try_shutdown()
    return code


def build_parser() -> argparse.ArgumentParser:
    """The command line of the benchmark."""
    from sernet_core.commands.benchmark import add_arguments
    from sernet_core.commands.options import whole

    parser = argparse.ArgumentParser(
        prog="benchmark",
        description="Time models on engines side by side, up to running nodes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument(
        "--stand-in",
        type=whole(1),
        default=DEFAULT_STANDIN,
        metavar="MS",
        help=f"time of the network that sleeps (default: {DEFAULT_STANDIN})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
