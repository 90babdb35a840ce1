"""Shows a running node in the browser: `ros2 run sernet_ros view`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from sernet_core.errors import SernetError
from sernet_ros.interrupts import Interrupts
from sernet_ros.options import whole_number
from sernet_ros.startup import BAD_REQUEST, MISSING_PACKAGE, explain_missing

LOOPBACK = "127.0.0.1"
EPILOG = """\
examples:
  view                                                          a node and a camera without namespace
  view --ros-args -r image:=/camera/image_raw                   the camera's own topic
  view --ros-args -r __ns:=/front                               everything below /front
  view --ros-args -r __ns:=/front -r image:=image_raw           one of several cameras of a launched node
  view --host 0.0.0.0 --port 9000                               for other machines in the network, too

The page shows camera, overlay, the classes with their share, latency, rate and drops, and loads nothing from
the internet. It is for this machine alone unless --host says otherwise: whoever reaches it sees the camera.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until SIGINT or SIGTERM.

    Args:
        argv: Command line without the program's name; that of the process when None.

    Returns:
        0 after a signal, 2 for a request that cannot be met.
    """
    interrupts = Interrupts(0, signal.SIGINT, signal.SIGTERM)
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from rclpy.utilities import remove_ros_args

        from sernet_ros.viewer.listener import Listener
    except (ImportError, OSError) as error:
        print(explain_missing("view", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE
    from sernet_ros.fastdds import use_profile
    from sernet_ros.viewer.server import ViewServer
    from sernet_ros.viewer.state import ViewState

    arguments = list(sys.argv if argv is None else ["view", *argv])
    options = build_parser().parse_args(remove_ros_args(arguments)[1:])
    state = ViewState()
    with ExitStack() as stack:
        try:
            interrupts.begin()
            with interrupts.held():
                server = ViewServer(state, options.host, options.port)
                stack.callback(server.close)
                use_profile()
                stack.callback(rclpy.try_shutdown)
                # Signals stay Python's: no context may vanish between two calls.
                rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
                listener = Listener(state)
                stack.callback(listener.destroy_node)
            print(f"view: {server.address}", flush=True)
            while True:
                # Short waits: a signal is only seen between them.
                rclpy.spin_once(listener, timeout_sec=0.1)
        except SernetError as error:
            print(f"view: error: {error}", file=sys.stderr)
            return BAD_REQUEST
        except KeyboardInterrupt:
            return 0
        finally:
            interrupts.ignore()


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="view",
        description="Show what a segmentation node sees and says, on a page for the browser.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=whole_number(0), default=8080, help="port; 0 takes a free one (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
