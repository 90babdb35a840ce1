"""Runs a program that ends when its owner does, however that ends: `tied.py OWNER_PID PROGRAM ARGUMENT ...`.

The kernel sends SIGTERM to the program when the thread that started it is gone. A process of its own asks for
that, and not a function between fork and exec, which could hang in an owner with several threads. Linux only.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(owner: int, command: list[str]) -> None:
    """Become `command`, tied to the process `owner`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != owner:
        # It ended before the kernel knew whom to tell.
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
