"""What the kernel tells of a process."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from sernet_ros.fastdds import use_profile


def takes_signals(pid: int) -> bool:
    """Whether a process handles SIGTERM, which Python by itself does not."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def has_large_segment(pid: int) -> bool:
    """Whether a process has the shared memory for large images that config/fastdds.xml asks for.

    True as well where that cannot be seen: with the user's own profile, another middleware, or in a container
    without room in /dev/shm.
    """
    ours = use_profile(dict(os.environ)).startswith("Fast DDS profile for large images")
    if not ours or shutil.disk_usage("/dev/shm").free < 2**28:
        return True
    largest = 0
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, *_, name = line.split()
        if name.startswith("/dev/shm/fastrtps_"):
            begin, end = (int(part, 16) for part in span.split("-"))
            largest = max(largest, end - begin)
    return largest >= 32 * 2**20
