"""A recording as a stream of messages: one file after the other, one chunk in memory at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sernet_core.errors import InputError
from sernet_ros.bag.formats import require_rosbags, zstd
from sernet_ros.bag.layout import Topic, find_files
from sernet_ros.bag.storage import Break, Description, Message, open_storage


class Bag:
    """A rosbag2 recording, mcap or sqlite3, in one file or split, compressed or not, whole or cut off.

    Attributes:
        path: As it was given.
        topics: What was recorded, by topic name.
        duration_ns: From the first message to the last.
        notes: What is unusual about it, for people.

    Args:
        path: Folder of the recording, or one of its storage files.

    Raises:
        InputError: There is nothing to read; the message names the file and says what to do.
        ConfigError: The package `rosbags` is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        require_rosbags()
        self.path = Path(path).expanduser()
        self._layout = find_files(self.path)
        self.notes = list(self._layout.notes)
        self.duration_ns = self._layout.duration_ns
        described = self._layout.topics
        self.topics: Mapping[str, Topic] = self._ask_files() if described is None else described

    @property
    def name(self) -> str:
        """What people call it: the folder's or the file's name."""
        resolved = self.path.resolve()
        return resolved.name if resolved.is_dir() else resolved.stem

    def messages(self, topics: Collection[str]) -> Iterator[Message | Break]:
        """Read from the beginning.

        Args:
            topics: Names of the topics that are wanted.

        Yields:
            Messages, ordered by their time of reception within each file. A `Break` where a file cannot be
            read on: later files follow.
        """
        for path in self._layout.files:
            try:
                with open_storage(path) as file:
                    yield from map(self._unpack, file.messages(topics))
            except InputError as error:
                yield Break(path.name, str(error))

    def descriptions(self) -> dict[str, Description]:
        """How each topic was recorded."""
        found: dict[str, Description] = {}
        for path in self._layout.files:
            try:
                with open_storage(path) as file:
                    found = {**file.descriptions, **found}
            except InputError:
                continue  # who reads the messages is told
        return found

    def _unpack(self, item: Message | Break) -> Message | Break:
        if not self._layout.packed_messages or isinstance(item, Break):
            return item
        try:
            return Message(item.topic, item.at_ns, zstd().decompress(item.data))
        except zstd().ZstdError:
            # Left as it is: who decodes it tells that it is no message.
            return item

    def _ask_files(self) -> dict[str, Topic]:
        found: dict[str, Topic] = {}
        problems: list[str] = []
        starts, ends = [], []
        for path in self._layout.files:
            try:
                with open_storage(path) as file:
                    starts.append(file.start_ns)
                    ends.append(file.end_ns)
                    for topic in file.topics:
                        earlier = found[topic.name].count if topic.name in found else 0
                        found[topic.name] = Topic(topic.name, topic.type, topic.count + earlier)
            except InputError as error:
                problems.append(str(error))
        if not found:
            raise InputError("; ".join(problems) or f"{self.path}: nothing was recorded here")
        self.duration_ns = max(0, max(ends) - min(starts))
        return found
