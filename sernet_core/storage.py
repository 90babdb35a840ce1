"""Files that are whole or absent: written beside their place, then moved there in one step."""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sernet_core.errors import InputError

_MARK = ".part-"  # in the name of a file that is not whole yet
_STALE_AFTER = 600.0  # seconds without a write after which nobody is at work on such a file any more


def make_folder(path: Path) -> Path:
    """Make sure, before any work is done, that results can be written into a folder.

    Raises:
        InputError: It cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise InputError(f"{path}: not a folder that can be written: {error.strerror}") from error


@contextmanager
def claim(folder: Path, name: str = "") -> Iterator[bool]:
    """Hold a folder against other processes; whether it could be had. A kill lets go of it.

    Processes that are forked meanwhile do not hold it. A file system that knows no locks gives it to all.

    Args:
        folder: It is made if it is not there.
        name: Of a file in it whose lock is taken, so that one may hold both that and the folder itself.

    Raises:
        InputError: The folder cannot be made or written.
    """
    make_folder(folder)
    try:
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT if name else os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    _claims.add(file)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except OSError as error:
            mine = error.errno not in (errno.EAGAIN, errno.EACCES)
        yield mine
    finally:
        if file in _claims:  # not in a fork
            _claims.remove(file)
            os.close(file)


_claims: set[int] = set()  # descriptors whose lock a fork would share, and hold on to


def _let_go() -> None:
    while _claims:
        os.close(_claims.pop())


os.register_at_fork(after_in_child=_let_go)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then put it in place of `path`; on an error `path` is untouched.

    Raises:
        InputError: The file cannot be written, e.g. on a full disk.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            write(temporary)
            move_into_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def temporary_beside(path: Path) -> Path:
    """A new, empty, hidden file in a path's folder, with its suffix.

    Raises:
        OSError: It cannot be made.
    """
    _remove_stale(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}{_MARK}", suffix=path.suffix)
    os.close(handle)
    return Path(name)


def move_into_place(temporary: Path, path: Path) -> None:
    """Put a finished temporary file in place of `path`, once it is on the disk.

    Raises:
        OSError: It cannot be moved, or its bytes have not all reached the disk.
    """
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    # mkstemp makes files that only the owner reads; a result is for everyone the user's umask allows.
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
    temporary.replace(path)


@functools.cache  # once a process and folder: a folder of results may be long
def _remove_stale(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left behind."""
    for path in folder.glob(f".*{_MARK}*"):
        try:
            if time.time() - path.stat().st_mtime > _STALE_AFTER:
                path.unlink()
        except OSError:
            continue  # not ours, or gone already
