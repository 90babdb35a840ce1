"""SHA-256 of a file, and of a set of source files by name and content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sources_sha256(folder: Path, paths: Iterable[Path]) -> str:
    """One SHA-256 for files below a folder, in hexadecimal: the same in any order, wherever the folder lies.

    Args:
        folder: What their names are relative to.
        paths: The files.

    Raises:
        OSError: One cannot be read.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    lines = (f"{file_sha256(folder / name)} {name}\n" for name in names)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
