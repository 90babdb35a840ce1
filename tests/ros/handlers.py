"""Whether a process has come so far that it takes signals."""

from __future__ import annotations

import signal
from pathlib import Path


def takes_signals(pid: int) -> bool:
    """Whether a process handles SIGTERM, which Python by itself does not."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
