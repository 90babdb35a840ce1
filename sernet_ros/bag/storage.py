"""One storage file of a recording: its topics and its messages, also where the end of it is missing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sernet_core.errors import InputError
from sernet_ros.bag.cut import CutFile, end_of_records, has_end
from sernet_ros.bag.formats import PACKED, zstd
from sernet_ros.bag.layout import Topic

if TYPE_CHECKING:
    from rosbags.rosbag2 import Reader

_UNREAD_LOG = {"-wal": "PRAGMA wal_checkpoint(TRUNCATE)", "-journal": "PRAGMA integrity_check"}


@dataclass(frozen=True)
class Message:
    """One message as it was recorded.

    Attributes:
        topic: Name of the topic.
        at_ns: When the recorder received it.
        data: CDR bytes.
    """

    topic: str
    at_ns: int
    data: bytes | memoryview


@dataclass(frozen=True)
class Break:
    """The place from which on a recording cannot be read: the file, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Description:
    """How a topic was recorded: the definition of its type, empty where it has none, and its QoS profiles."""

    definition: str = ""
    profiles: tuple[Any, ...] = ()


class StorageFile:
    """An open storage file; made by `open_storage`."""

    def __init__(self, path: Path, reader: Reader, cut: str) -> None:
        self._path = path
        self._reader = reader
        self._cut = cut

    @property
    def topics(self) -> list[Topic]:
        """The topics, with the number of their messages in this file."""
        return [Topic(each.topic, each.msgtype, each.msgcount) for each in self._reader.connections]

    @property
    def descriptions(self) -> dict[str, Description]:
        """How each topic was recorded."""
        return {
            each.topic: Description(
                each.msgdef.data, tuple(getattr(each.ext, "offered_qos_profiles", None) or ())
            )
            for each in self._reader.connections
        }

    @property
    def start_ns(self) -> int:
        """When the first message was received."""
        return self._reader.start_time

    @property
    def end_ns(self) -> int:
        """When the last message was received."""
        return self._reader.end_time - 1

    def messages(self, topics: Collection[str]) -> Iterator[Message | Break]:
        """Messages of some topics in the order in which they were received; a break at most at the end."""
        wanted = [each for each in self._reader.connections if each.topic in topics]
        count = 0
        try:
            for connection, at_ns, data in self._stream(wanted) if wanted else ():
                count += 1
                yield Message(connection.topic, at_ns, data)
        except Exception as error:  # each format and each compression fails in its own way
            yield Break(
                self._path.name,
                f"{self._path} cannot be read on after {count} messages ({type(error).__name__}: {error}); "
                + _remedy(self._path),
            )
            return
        if self._cut:
            yield Break(self._path.name, self._cut)

    def _stream(self, wanted: list[Any]) -> Iterator[tuple[Any, int, bytes]]:
        storage: Any = self._reader.storage
        if hasattr(storage, "messages_scan") and not storage.chunks:
            # Without an index, `messages` refuses what is not in order; recorders do write that.
            return storage.messages_scan(wanted)
        return self._reader.messages(wanted)


@contextmanager
def open_storage(path: Path) -> Iterator[StorageFile]:
    """Open a storage file; one that is compressed as a whole is unpacked into a temporary folder.

    Raises:
        InputError: It cannot be read; the message says what to do.
    """
    from rosbags.rosbag2 import Reader

    with ExitStack() as stack:
        place = stack.enter_context(_unpacked(path)) if path.suffix == PACKED else path
        _check_log(place)
        cut = ""
        try:
            source: Any = place
            if place.suffix == ".mcap" and not has_end(place):
                length = end_of_records(place)
                source = CutFile(place, length)
                cut = (
                    f"{path} breaks off: its last whole record ends at byte {length} of "
                    f"{place.stat().st_size}, and the index is missing; {_remedy(place)}"
                )
            reader = stack.enter_context(Reader(source))
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{path}: not a readable recording ({type(error).__name__}: {error}); {_remedy(place)}"
            ) from error
        yield StorageFile(path, reader, cut)


def _check_log(path: Path) -> None:
    """A recorder that was killed leaves messages in a log beside the database, where nobody reads them."""
    for ending, cure in _UNREAD_LOG.items():
        log = path.with_name(path.name + ending)
        if log.is_file() and log.stat().st_size:
            raise InputError(
                f"{path}: {log.name} beside it holds messages that have not reached the file (the recorder "
                f'was killed): move them over with: sqlite3 {path.name} "{cure}"'
            )


def _remedy(path: Path) -> str:
    if path.suffix == ".mcap":
        return f"`mcap recover {path.name} -o repaired.mcap` rewrites what can be read"
    return f"`sqlite3 {path.name} .recover | sqlite3 repaired.db3` rewrites what can be read"


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sernet_bag_") as folder:
        place = Path(folder, path.stem)
        source: IO[bytes]
        try:
            with zstd().open(path, "rb") as source, place.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
        except (OSError, EOFError, zstd().ZstdError) as error:
            raise InputError(
                f"{path}: cannot be unpacked into {folder} ({error}); unpack it by hand "
                f"(zstd -d {path.name}), or set TMPDIR to a folder with more room"
            ) from error
        yield place
