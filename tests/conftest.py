"""What all tests share: nothing they build goes into the user's own cache, and no signal handler is left."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator

import pytest

os.environ.setdefault("SERNET_CACHE", tempfile.mkdtemp(prefix="sernet-engines-"))


@pytest.fixture(autouse=True)
def child_signal() -> Iterator[None]:
    """Take back the handler that torch sets for ended children when it loads data with worker processes.

    In a process that had also run the engines' tests, the next child's end was a segmentation fault.
    """
    yield
    if signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        loading = sys.modules.get("torch.utils.data._utils.signal_handling")
        if loading is not None:
            loading._SIGCHLD_handler_set = False  # type: ignore[attr-defined]
