"""Child processes that end when their owner does, and whose last words are kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from sernet_ros import tied


class Child:
    """A process in a group of its own: Ctrl-C at the terminal reaches its owner alone, who then ends it.

    On Linux it also ends with SIGTERM when its owner is killed and cannot do that.

    Args:
        name: For messages.
        command: Program and arguments.
        log: File that takes both output streams.
        environment: Environment of the process.

    Raises:
        RuntimeError: Not called in the main thread: the process would end when the other one does.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a child lives as long as the thread that starts it: use the main thread")
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                _tied(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the number of the signal that ended it."""
        return self._process.poll()

    def last_words(self, lines: int = 15) -> str:
        """The end of its output, and where all of it is."""
        text = self._log.read_text(errors="replace").strip().splitlines()[-lines:]
        return "\n".join([*(f"    {line}" for line in text), f"  ({self._log})"])

    def stop(self, patience: float = 6.0) -> None:
        """End it: politely first, by force when it does not listen."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            # The group may hold more than the process itself, and may outlive it.
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                break
            try:
                self._process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _tied(command: Sequence[str]) -> list[str]:
    """The command, such that it ends with this process."""
    if sys.platform != "linux":
        return list(command)
    # Without site packages and their start-up hooks: it only asks the kernel and becomes the command.
    return [sys.executable, "-P", "-S", tied.__file__, str(os.getpid()), *command]
