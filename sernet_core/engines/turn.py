"""One build at a time in a process: torch.export, the converters and NNCF break when two threads use them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sernet_core.errors import EngineError

_POLL = 0.1  # seconds
_turn = threading.RLock()


class NotWantedError(EngineError):
    """A build was given up, because nobody wants the engine any more."""


def never() -> bool:
    """The answer of who does not stop."""
    return False


@contextmanager
def alone(stopped: Callable[[], bool] = never) -> Iterator[None]:
    """Wait until no other thread builds an engine, and keep others from it meanwhile.

    A thread that is in here may enter again.

    Args:
        stopped: Whether the build is not wanted any more; asked again and again while it waits.

    Raises:
        NotWantedError: It was not wanted any more before its turn came.
    """
    while not _turn.acquire(timeout=_POLL):
        check_wanted(stopped)
    try:
        check_wanted(stopped)
        yield
    finally:
        _turn.release()


def check_wanted(stopped: Callable[[], bool]) -> None:
    """Raise where a build is not wanted any more.

    Raises:
        NotWantedError: It is not.
    """
    if stopped():
        raise NotWantedError("the engine is not wanted any more")
