"""The executable `segment`: one process with the segmentation node in it."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, NoReturn

from sernet_core.waiting import rest_while_waiting
from sernet_ros.startup import MISSING_PACKAGE, explain_missing

_FAILED = 1
_TEARDOWN_TIMEOUT = 10.0  # seconds


def main(args: Sequence[str] | None = None, load: Callable[..., Any] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: Command line with the program's name first; that of the process when None.
        load: Makes the network, in the place of `sernet_core.runtime.Segmenter.load`.

    Returns:
        0 after a signal, 1 when the node could not start, 2 when a package is missing.

    Raises:
        SystemExit: 0 after --help, 2 for a command line that is not ROS's.
    """
    # A queue, because it is the one thing that a signal handler may put into at any moment. Whatever is
    # put first ends the process; a second signal, as launch sends one beside the terminal's, changes nothing.
    endings: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: endings.put(0))
    from sernet_ros.node_arguments import check_arguments

    check_arguments((sys.argv if args is None else args)[1:])
    rest_while_waiting()
    try:
        import rclpy  # noqa: F401

        from sernet_core.checkpoint import read_info
        from sernet_core.default_model import AUTO
        from sernet_core.labels import ClassSet
        from sernet_core.runtime import Segmenter
        from sernet_ros.segmenter_node import SegmenterNode
    except (ImportError, OSError) as error:
        print(explain_missing("segment", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE
    # Eager answers from the first frame on, while a faster engine is built.
    load = load or functools.partial(Segmenter.load, background=True)

    def classes_of(model: str) -> ClassSet | None:
        return None if model == AUTO else read_info(model).classes

    return _run(lambda: SegmenterNode(load, classes_of), endings, args)


def _run(make_node: Any, endings: SimpleQueue[int], args: Sequence[str] | None) -> int:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from sernet_ros.fastdds import use_profile

    profile = use_profile()
    try:
        rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
    except Exception as error:
        print(f"segment: cannot start: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return _FAILED
    node.get_logger().info(profile)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    finished = threading.Event()

    def start() -> None:
        if not node.start():
            endings.put(_FAILED)

    def finish() -> None:
        node.finish()
        finished.set()

    spinner = threading.Thread(target=_spin, args=(executor, node, finished, endings), daemon=True)
    if node.settings.autostart:
        executor.create_task(start)
    spinner.start()
    code = endings.get()

    node.interrupt()
    executor.create_task(finish)
    spinner.join(_TEARDOWN_TIMEOUT)
    if spinner.is_alive() or node.left_behind:
        _end_hard(code)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    # From here on Python takes its handlers back, and would die of a signal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if threading.active_count() > 1:
        # Most likely an engine is being built.
        _end_hard(code)
    return code


def _end_hard(code: int) -> NoReturn:
    """Leave out the interpreter's own end, which a thread in native code would hang or crash."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _spin(executor: Any, node: Any, finished: threading.Event, endings: SimpleQueue[int]) -> None:
    """Run callbacks until the node has finished; one that raises is logged and costs nothing else."""
    from rclpy.executors import ExternalShutdownException

    while not finished.is_set():
        try:
            executor.spin_once()
        except ExternalShutdownException:
            endings.put(_FAILED)
            return
        except Exception:
            node.get_logger().error(f"a callback failed:\n{traceback.format_exc()}")


if __name__ == "__main__":
    sys.exit(main())
