"""What processes that were killed have left of Fast DDS in shared memory."""

from __future__ import annotations

import fcntl
import time
from contextlib import ExitStack, suppress
from pathlib import Path

SHARED = Path("/dev/shm")
_LOCKS = ("_el", "_sl")  # exclusive and shared, held as long as their process lives
_YOUNG = 60.0  # seconds; a file may be made a moment before it is locked


def remove_orphans() -> int:
    """Remove segments and ports whose process is gone; how many there were.

    A test that kills a process leaves tens of megabytes there, and ports that may swallow a later one's
    messages. Whatever is locked belongs to a process that lives, and stays.
    """
    removed = 0
    for path in SHARED.glob("fastrtps_*"):
        if path.name.endswith(_LOCKS):
            continue
        locks = [path.with_name(path.name + ending) for ending in _LOCKS]
        with suppress(OSError), ExitStack() as held:
            if time.time() - path.stat().st_mtime < _YOUNG:
                continue
            for lock in filter(Path.exists, locks):
                fcntl.flock(held.enter_context(lock.open()), fcntl.LOCK_EX | fcntl.LOCK_NB)
            for each in (path, *locks, SHARED / f"sem.{path.name}_mutex"):
                each.unlink(missing_ok=True)
            removed += 1
    return removed
