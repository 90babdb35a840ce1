"""Files that are whole or absent."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from sernet_core.errors import InputError
from sernet_core.storage import claim, temporary_beside, write_atomically


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("old")

    def fail(target: Path) -> None:
        target.write_text("ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match=r"figures\.json: cannot be written: No space left"):
        write_atomically(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_fork_does_not_hold_what_was_claimed(tmp_path: Path) -> None:
    """As a worker that outlives the process which a kill ended."""
    ready, tell = os.pipe()
    with claim(tmp_path) as mine:
        child = os.fork()
        if not child:
            os.write(tell, b".")
            time.sleep(60)
            os._exit(0)
        assert os.read(ready, 1) == b"."
        with claim(tmp_path) as second:
            assert mine and not second
    try:
        with claim(tmp_path) as third:
            assert third
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(tell)


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = folder / "m.safetensors"
    stale, present = temporary_beside(path), temporary_beside(path)
    (folder / ".config.settings.json").write_text("the user's")
    for name in (stale, folder / ".config.settings.json"):
        os.utime(name, (time.time() - 3600,) * 2)
    os.rename(folder, tmp_path / "again")  # as another process finds it: each looks once into a folder
    write_atomically(tmp_path / "again/m.safetensors", lambda target: target.write_text("new"))
    assert {file.name for file in (tmp_path / "again").iterdir()} == {
        "m.safetensors",
        ".config.settings.json",
        present.name,
    }
