"""Digests of files: what changes them, and what does not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sernet_core.digests import file_sha256, sources_sha256


def test_the_digest_of_a_file_is_sha256_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"some weights")

    assert file_sha256(path) == hashlib.sha256(b"some weights").hexdigest()
    with pytest.raises(FileNotFoundError):
        file_sha256(tmp_path / "missing")


def test_the_digest_of_sources_holds_wherever_they_lie_and_in_any_order(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        (folder / "inner").mkdir(parents=True)
        (folder / "a.py").write_text("1")
        (folder / "inner" / "b.py").write_text("2")
    one, other = ([folder / "a.py", folder / "inner" / "b.py"] for folder in folders)
    before = sources_sha256(folders[0], one)

    assert sources_sha256(folders[1], reversed(other)) == before
    assert sources_sha256(folders[1], other[:1]) != before  # a file less
    other[1].rename(folders[1] / "b.py")
    assert sources_sha256(folders[1], [other[0], folders[1] / "b.py"]) != before  # a name
    one[0].write_text("3")
    assert sources_sha256(folders[0], one) != before  # a byte
