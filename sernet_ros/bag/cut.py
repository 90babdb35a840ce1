"""MCAP files whose recorder was killed: whole records without the index that belongs at the end.

Only the framing of records is looked at here: https://mcap.dev/spec (magic, then one byte of opcode and eight
of length before each record). What is in them is for the reader.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"\x89MCAP0\r\n"
_FRAME = 9  # bytes before a record's content: opcode and length
_DATA_END, _FOOTER = 0x0F, 0x02
# A footer that promises no summary: the reader then scans the records.
_EMPTY_FOOTER = bytes([_FOOTER]) + (20).to_bytes(8, "little") + bytes(20) + MAGIC


def has_end(path: Path) -> bool:
    """Whether a file ends as a finished MCAP file does."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(MAGIC)))
        return size > 2 * len(MAGIC) and file.read() == MAGIC


def end_of_records(path: Path) -> int:
    """Position behind the last whole record of messages, in bytes; 0 for what is no MCAP file."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            return 0
        end = len(MAGIC)
        while end + _FRAME <= size:
            file.seek(end)
            frame = file.read(_FRAME)
            following = end + _FRAME + int.from_bytes(frame[1:], "little")
            if following > size or frame[0] in (0, _DATA_END, _FOOTER):
                break
            end = following
        return end


class CutFile:
    """Looks to the reader like the file up to a position, properly ended there."""

    def __init__(self, path: Path, length: int) -> None:
        self._path = path
        self._length = length
        self.suffix = path.suffix
        self.stem = path.stem

    def open(self, *_: Any) -> BinaryIO:
        """The file, read-only."""
        return io.BufferedReader(_Ended(self._path, self._length))

    def exists(self) -> bool:
        return self._path.exists()

    def is_dir(self) -> bool:
        return False

    def __str__(self) -> str:
        return str(self._path)


class _Ended(io.RawIOBase):
    """The first `length` bytes of a file, then an empty footer."""

    def __init__(self, path: Path, length: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._length = length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._position,
            os.SEEK_END: self._length + len(_EMPTY_FOOTER),
        }
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position < self._length:
            self._file.seek(self._position)
            data = self._file.read(min(len(buffer), self._length - self._position)) or b""
        else:
            start = self._position - self._length
            data = _EMPTY_FOOTER[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
