"""What killed processes leave in shared memory goes, and what belongs to a living one stays."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
import shared_memory
from shared_memory import remove_orphans


def test_only_what_nobody_holds_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "SHARED", tmp_path)
    gone = ("fastrtps_1", "fastrtps_1_el", "fastrtps_port7", "sem.fastrtps_port7_mutex")
    kept = ("fastrtps_2", "fastrtps_2_el", "fastrtps_port8", "fastrtps_port8_sl", "fastrtps_young", "other")
    for name in gone + kept:
        (tmp_path / name).touch()
        if name != "fastrtps_young":
            os.utime(tmp_path / name, (0, 0))
    with (tmp_path / "fastrtps_2_el").open() as one, (tmp_path / "fastrtps_port8_sl").open() as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_SH)
        assert remove_orphans() == 2
    assert {path.name for path in tmp_path.iterdir()} == set(kept)
