"""Built engines on disk: found by everything they depend on, whole or absent, checked before use."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sernet_core.digests import file_sha256
from sernet_core.errors import ConfigError

ENTRY = "entry.json"
VALUE = "value.json"
ROOM = 2**20  # bytes; a folder that has no room for so many has none for an entry
FULL = (errno.ENOSPC, errno.EDQUOT)
LEFTOVER = re.compile(r"\.\w+-[0-9a-f]{16}\.\w{8}")  # `_beside`
LEFTOVER_AGE = 86400  # seconds; no build takes as long
_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """`SERNET_CACHE`, or sernet/engines in the user's cache folder."""
    if own := os.environ.get("SERNET_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sernet" / "engines"


class EngineCache:
    """Folder of entries; each is a folder named by the engine and a digest of its key.

    Args:
        folder: Made when the first entry is written.
        update: Build each entry anew, once in this object's life, whether or not it is there.
        spare: Where entries cannot be written to the folder, write them to a temporary one, which ends with
            this object, instead of raising an error. Entries that are in the folder serve all the same.

    Attributes:
        folder: As given.
        updates: Whether entries are built anew.
        fault: Why a temporary folder has taken the place of the folder, and what to do; "" while none has.
    """

    def __init__(self, folder: Path, *, update: bool = False, spare: bool = False) -> None:
        self.folder = folder
        self.updates = update
        self.fault = ""
        self._spare = spare
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._fresh: set[Path] = set()

    def check(self) -> None:
        """Make sure that entries can be written.

        Raises:
            ConfigError: They cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _probe(self.folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def writable_folder(self) -> Path:
        """The folder, or the temporary one in its place.

        Raises:
            ConfigError: It cannot be written, and there is to be no other.
        """
        if self._temporary is not None:
            return Path(self._temporary.name)
        try:
            self.check()
            return self.folder
        except ConfigError as error:
            return self._spare_folder(error)

    def _spare_folder(self, error: ConfigError) -> Path:
        """The temporary folder, which from now on takes the place of the one that cannot be written.

        Raises:
            ConfigError: The error given: there is to be no other folder, or no room for it either.
        """
        if not self._spare:
            raise error
        if self._temporary is None:
            try:
                self._temporary = tempfile.TemporaryDirectory(prefix="sernet_engines_")
            except OSError:
                raise error from None
            self.fault = f"built engines are not kept: {error}"
            _log.warning("%s", self.fault)
        return Path(self._temporary.name)

    def files(self, name: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """Folder with the files of an entry, built if it is not there, is damaged or is to be updated.

        Args:
            name: First part of the folder's name, e.g. the engine's.
            key: Everything that the files depend on; values that JSON knows.
            build: Fills the empty folder that it is given.

        Raises:
            ConfigError: The cache cannot be written.
        """
        entry, there = self._find(name, key)
        return entry if there else self._write(entry, key, build)

    def record(
        self,
        name: str,
        key: Mapping[str, Any],
        measure: Callable[[], Any],
        lasts: Callable[[], bool] = lambda: True,
    ) -> Any:
        """A value that JSON knows, from the cache, or measured and kept there.

        Args:
            name: First part of the entry's name.
            key: Everything that the value depends on; values that JSON knows.
            measure: Gives the value.
            lasts: Whether the value that was measured may be kept.

        Raises:
            ConfigError: The cache cannot be written.
        """
        entry, there = self._find(name, key)
        if there:
            return json.loads((entry / VALUE).read_text())
        text = json.dumps(measure(), indent=2) + "\n"
        if lasts():
            self._write(entry, key, lambda folder: (folder / VALUE).write_text(text))
        return json.loads(text)

    def _find(self, name: str, key: Mapping[str, Any]) -> tuple[Path, bool]:
        """Where an entry is, or is to be written; and whether it is there.

        Raises:
            ConfigError: It is not, and cannot be written. Before a long build or measurement, not after it.
        """
        entry = self.folder / f"{name}-{digest(key)}"
        if self._serves(entry, key):
            return entry, True
        place = self.writable_folder() / entry.name
        return place, place != entry and self._serves(place, key)

    def _serves(self, entry: Path, key: Mapping[str, Any]) -> bool:
        """Whether an entry is there, whole, and not to be updated."""
        if self.updates and entry not in self._fresh:
            return False
        if _is_whole(entry, key):
            return True
        if os.path.exists(entry):  # also in a folder that may not be read
            _log.warning("%s is damaged and is built anew", entry)
        return False

    def _write(self, entry: Path, key: Mapping[str, Any], build: Callable[[Path], object]) -> Path:
        """Where an entry was written: in its place, or in the temporary folder if there is no room there."""
        while True:
            try:
                self._fill(entry, key, build)
                return entry
            except OSError as error:
                fault = self._unwritable(error)
                if entry.parent != self.folder:
                    raise fault from error
                entry = self._spare_folder(fault) / entry.name

    def _fill(self, entry: Path, key: Mapping[str, Any], build: Callable[[Path], object]) -> None:
        """Build an entry beside its place and move it there.

        Raises:
            OSError: It cannot be written.
        """
        _remove_leftovers(entry.parent)
        work = _beside(entry)
        try:
            try:
                build(work)
            except OSError:
                raise
            except Exception:  # some libraries have another type for a disk that is full
                _probe(work)
                raise
            files = {path.name: file_sha256(path) for path in sorted(work.iterdir())}
            text = json.dumps({"key": dict(key), "files": files}, indent=2)
            (work / ENTRY).write_text(text + "\n")
            # Another process may use by now what it has built from the same key.
            if self.updates or not _is_whole(entry, key):
                _put(work, entry)
            self._fresh.add(entry)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _unwritable(self, error: OSError) -> ConfigError:
        remedy = "Make room there" if error.errno in FULL else "Make it writable"
        return ConfigError(
            f"engine_cache_dir: {self.folder} cannot be written: {error.strerror or error}. {remedy}, "
            "name another folder with engine_cache_dir, or use the engine eager, which needs none"
        )


def digest(key: Mapping[str, Any]) -> str:
    """Sixteen digits that stand for a key."""
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:16]


def weights_hash(model: nn.Module) -> str:
    """Digest of all parameters and buffers, by name and value."""
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def device_name(device: str) -> str:
    """Name of a GPU, or the CPU's model: what is built for one need not fit another."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "cpu"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "cpu")


def _probe(folder: Path) -> None:
    """Write something, which goes at once.

    Raises:
        OSError: The folder cannot be written, or is full.
    """
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        left = memoryview(bytes(ROOM))
        while left:
            left = left[file.write(left) :]


def _beside(entry: Path) -> Path:
    """A new folder beside an entry, on the same disk, whose name tells whose it is."""
    return Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes have left beside their entries that were killed while they wrote."""
    with suppress(OSError):
        for path in folder.iterdir():
            if LEFTOVER.fullmatch(path.name) and time.time() - path.lstat().st_mtime > LEFTOVER_AGE:
                shutil.rmtree(path, ignore_errors=True)


def _put(work: Path, entry: Path) -> None:
    """Move a finished folder to its place, in one step, and an old one out of the way."""
    work.chmod(0o755)
    if entry.exists():
        old = _beside(entry)
        try:
            with suppress(FileNotFoundError):  # another process that updates has just moved it
                entry.replace(old / entry.name)
        finally:
            shutil.rmtree(old, ignore_errors=True)
    try:
        work.replace(entry)
    except OSError as error:
        # Another process was faster; its entry was built from the same key.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _is_whole(entry: Path, key: Mapping[str, Any]) -> bool:
    try:
        stored = json.loads((entry / ENTRY).read_text())
        return stored["key"] == json.loads(json.dumps(dict(key))) and all(
            file_sha256(entry / name) == value for name, value in stored["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
