"""The node with stopwatches on it: `python -m sernet_ros.timed_node FILE segment|stand-in --ros-args ...`.

The process and all that runs in it is what a user starts; as a profiler would, it puts stopwatches around
three methods: the network, frame to mask, and the monitor that hears each answered frame's times. FILE gets a
line for each answered frame, written after its mask is out.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sernet_ros import node
from sernet_ros.frame_times import Answered

SEGMENT, STAND_IN = "segment", "stand-in"


class Stopwatches:
    """Notes when the worker's last inference began and ended, and what of it the network took.

    Args:
        path: File that is written anew.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._began = self._ended = 0.0
        self._network: float | None = None

    def around_network(self, kind: type, name: str) -> None:
        """Time a method that runs the network alone."""
        method = getattr(kind, name)

        @functools.wraps(method)
        def timed(*args: Any) -> Any:
            began = time.monotonic()
            result = method(*args)
            if getattr(result, "is_cuda", False):
                import torch

                torch.cuda.synchronize(result.device)  # what comes next would wait for it
            self._network = (self._network or 0.0) + time.monotonic() - began
            return result

        setattr(kind, name, timed)

    def around_inference(self, kind: type) -> None:
        """Time `segment`, frame to mask."""
        method = getattr(kind, "segment")  # noqa: B009 (a type without it is not known here)

        @functools.wraps(method)
        def timed(*args: Any, **options: Any) -> Any:
            self._network = None
            self._began = time.monotonic()
            answer = method(*args, **options)
            self._ended = time.monotonic()
            return answer

        setattr(kind, "segment", timed)  # noqa: B010

    def around_answers(self, kind: type) -> None:
        """Write a line whenever a monitor hears of an answered frame."""
        method = getattr(kind, "answered")  # noqa: B009

        @functools.wraps(method)
        def noted(monitor: Any, seconds: Mapping[str, float]) -> None:
            method(monitor, seconds)
            parts = {stage: seconds[stage] for stage in ("wait", "decode", "publish")}
            Answered(self._began, self._ended, self._network, **parts).write(self._file)

        setattr(kind, "answered", noted)  # noqa: B010


def main(argv: Sequence[str]) -> int:
    """Run the node as `sernet_ros.node.main` does.

    Args:
        argv: Program, file, kind of network, and what the node gets.
    """
    program, path, kind, *arguments = argv
    watches = Stopwatches(Path(path))
    loader = _stand_in if kind == STAND_IN else _segmenter
    return node.main([program, *arguments], functools.partial(_load, watches, loader))


def _load(
    watches: Stopwatches, loader: Callable[[Stopwatches], Callable[..., Any]], *args: Any, **options: Any
) -> Any:
    from sernet_ros.diagnostics import CameraMonitor

    watches.around_answers(CameraMonitor)
    return loader(watches)(*args, **options)


def _segmenter(watches: Stopwatches) -> Callable[..., Any]:
    import sernet_core.peers.registry  # noqa: F401 (makes the checkpoints of peers readable)
    from sernet_core.engines.registry import ENGINES, engine_class
    from sernet_core.runtime import Segmenter

    for name in ENGINES:
        watches.around_network(engine_class(name), "batch_logits")
    watches.around_inference(Segmenter)
    return functools.partial(Segmenter.load, background=True)


def _stand_in(watches: Stopwatches) -> Callable[..., Any]:
    from sernet_ros.standin import StandIn

    watches.around_network(StandIn, "run_network")
    watches.around_inference(StandIn)
    return StandIn


if __name__ == "__main__":
    sys.exit(main(sys.argv))
