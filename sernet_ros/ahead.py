"""Reads frames in a thread of its own, so that decoding does not disturb the pace."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def read_ahead(frames: Callable[[], Iterator[T]], depth: int = 4) -> Iterator[Iterator[T]]:
    """Iterate over `frames()` with up to `depth` items read in advance.

    An exception of the source is raised where its item would have come. Leaving the block ends the thread,
    even when items are left.
    """
    items: queue.Queue[tuple[str, T | Exception | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: T | Exception | None) -> bool:
        while not stop.is_set():
            try:
                items.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for item in frames():
                if not put("item", item):
                    return
            put("end", None)
        except Exception as error:
            put("error", error)

    def iterate() -> Iterator[T]:
        while True:
            kind, value = items.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, Exception)
                raise value
            yield value  # type: ignore[misc]

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield iterate()
    finally:
        stop.set()
        thread.join(timeout=5.0)
