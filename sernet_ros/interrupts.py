"""The signals that end a program: taken from its first moment on, and only once.

Whoever needs it imports it before anything that takes time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """Turns the first of some signals into a KeyboardInterrupt; further ones change nothing.

    One Ctrl-C often comes as two signals, from the terminal and from whoever started the program: the second
    must not hit the teardown. Until `begin` the process just ends: an exception in the middle of an import
    would come out as something else, and there is nothing to tidy up yet.

    Args:
        code: Exit code of the process for a signal before `begin`.
        numbers: The signals. A hang-up that nohup has the process ignore stays ignored.
    """

    def __init__(self, code: int, *numbers: signal.Signals) -> None:
        self._code = code
        self._begun = self._taken = self._held = False
        self._numbers = [number for number in numbers if number != signal.SIGHUP or not _is_ignored(number)]
        for number in self._numbers:
            signal.signal(number, self._take)

    def begin(self) -> None:
        """Raise from now on."""
        self._begun = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put a signal off to the end of the block, which must not be left half done."""
        before, self._held = self._taken, True
        try:
            yield
        finally:
            self._held = False
            if self._taken and not before:
                raise KeyboardInterrupt

    def ignore(self) -> None:
        """Take no signal from now on, not even when Python ends and takes its own handlers back."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)

    def _take(self, *_: Any) -> None:
        if not self._begun:
            os._exit(self._code)
        if not self._taken:
            self._taken = True
            if not self._held:
                raise KeyboardInterrupt


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN
