"""How many CPU threads torch computes with, for whom: its number belongs to the thread that computes."""

from __future__ import annotations

import threading

import torch

_lock = threading.Lock()
_own: int | None = None


def compute_with(threads: int) -> None:
    """Make the calling thread compute with a number of torch's threads.

    `torch.set_num_threads` acts on the thread that calls it, and on those that compute for the first time
    later. To be called before each frame: it costs nothing where the number is right already.

    Args:
        threads: The number; 0 for the one that was in force before this function first changed it, which is
            torch's own choice unless the program has made another.
    """
    global _own
    if not threads and _own is None:
        return
    if torch.get_num_threads() == (threads or _own):
        return
    with _lock:
        if _own is None:
            _own = torch.get_num_threads()
        torch.set_num_threads(threads or _own)
