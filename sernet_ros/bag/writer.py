"""Writes recordings; the format itself is that of the package `rosbags`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sernet_core.errors import InputError
from sernet_ros.bag.formats import require_rosbags, typestore

_CHUNK = 2**16
"""Bytes from which on a chunk of an mcap is closed: of a file that is cut, the last one is lost."""


class BagWriter:
    """A recording that is whole or absent: it gets its name when the block ends without an error.

    Args:
        path: Folder of the recording, which must not exist yet.
        storage: One of `STORAGES`.
        zstd: Compress the chunks; mcap alone can.

    Raises:
        InputError: It exists already, or cannot be written.
    """

    def __init__(self, path: Path, storage: str = "mcap", zstd: bool = False) -> None:
        require_rosbags()
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        self._path = path.expanduser()
        if self._path.exists():
            raise InputError(f"{path} exists already: choose another name, or remove it first")
        if zstd and storage != "mcap":
            raise InputError(f"{path}: chunks can be compressed in mcap alone, not in {storage}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # The storage file is named after its folder, so only the folder above has another name meanwhile.
            self._place = Path(tempfile.mkdtemp(prefix=".recording_", dir=self._path.parent))
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from error
        self._writer = Writer(
            self._place / self._path.name, version=9, storage_plugin=StoragePlugin[storage.upper()]
        )
        if zstd:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._topics: dict[str, Any] = {}

    def add(self, topic: str, kind: str, latched: bool = False) -> None:
        """Announce a topic; `kind` is its type as package/msg/Name."""
        self._topics[topic] = self._writer.add_connection(
            topic, kind, typestore=typestore(), offered_qos_profiles=[_qos(latched)]
        )

    def add_as(self, topic: str, kind: str, definition: str, profiles: Sequence[Any]) -> None:
        """Announce a topic of any type, as another recording describes it.

        Args:
            topic: Its name.
            kind: Its type.
            definition: The type in the words of its .msg or .idl files; empty: one that is known here.
            profiles: The QoS profiles that it was offered with.

        Raises:
            InputError: Nobody knows the type.
        """
        store = typestore()
        if definition:
            store = _described(topic, kind, definition)
        elif kind not in store.types:
            raise InputError(f"{topic}: the recording does not describe the type {kind}: it is left out")
        self._topics[topic] = self._writer.add_connection(
            topic, kind, typestore=store, offered_qos_profiles=list(profiles)
        )

    def write(self, topic: str, at_ns: int, message: Any) -> None:
        """Append a message of the type store that was received at `at_ns`."""
        data = typestore().serialize_cdr(message, self._topics[topic].msgtype)
        self.write_bytes(topic, at_ns, data)

    def write_bytes(self, topic: str, at_ns: int, data: bytes | memoryview) -> None:
        """Append a message that is CDR bytes already."""
        # An mcap's writer by itself closes a chunk at a megabyte, which is a whole recording of small images.
        storage: Any = self._writer.storage
        try:
            if hasattr(storage, "close_chunk") and storage.chunk.bio.tell() >= _CHUNK:
                storage.close_chunk()
            self._writer.write(self._topics[topic], at_ns, data)
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({error.strerror})") from error

    def __enter__(self) -> BagWriter:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.__exit__(kind, error, trace)
            if error is None:
                (self._place / self._path.name).rename(self._path)
        except OSError as problem:
            raise InputError(f"{self._path}: cannot be written ({problem.strerror})") from problem
        finally:
            shutil.rmtree(self._place, ignore_errors=True)


def _described(topic: str, kind: str, definition: str) -> Any:
    """A type store that knows a type by its definition.

    Raises:
        InputError: The definition is not understood.
    """
    from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    separator = "=" * 80 + "\n"
    try:
        if definition.startswith(f"{separator}IDL: "):
            for part in definition.split(separator)[1:]:
                store.register(get_types_from_idl(part.split("\n", 1)[1]))
        else:
            store.register(get_types_from_msg(definition, kind))
        # What it is needed for: where it fails, the type is not described in full.
        store.hash_rihs01(kind)
    except (TypesysError, KeyError, ValueError) as error:
        raise InputError(
            f"{topic}: the definition of {kind} is not understood ({error!r}): it is left out"
        ) from error
    return store


def _qos(latched: bool) -> Any:
    """Profile that `ros2 bag play` publishes with: reliable; latched for what is said once."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    # What rosbag2 itself writes for "no limit": rmw's infinite duration.
    unlimited = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1 if latched else 10,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        unlimited,
        unlimited,
        QosLiveliness.AUTOMATIC,
        unlimited,
        False,
    )
