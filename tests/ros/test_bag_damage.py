"""Damaged recordings: what is whole is read, and the words name the file, the place and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from recordings import read, seconds, shades, split, storage_file, write

from sernet_core.errors import InputError
from sernet_ros.bag.formats import zstd
from sernet_ros.sources import Unreadable, open_source

BIG = (640, 480)  # an image fills a chunk


def test_an_mcap_whose_recorder_was_killed_is_read_to_the_break(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", seconds(8), size=BIG)
    path = storage_file(bag)
    (bag / "metadata.yaml").unlink()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    *shown, last = read(bag)
    assert shades(shown) == [0, 1, 2, 3]
    assert isinstance(last, Unreadable) and last.breaks_off and last.name == path.name
    assert str(path) in last.reason and f"of {path.stat().st_size}" in last.reason
    assert "mcap recover bag.mcap" in last.reason
    assert open_source(str(bag)).length == 4


def test_of_a_short_recording_that_is_cut_most_is_kept(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", seconds(40), size=(80, 60))  # half a megabyte
    path = storage_file(bag)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])
    *shown, last = read(bag)
    assert shades(shown) == list(range(len(shown))) and len(shown) >= 30
    assert isinstance(last, Unreadable) and last.breaks_off


def test_an_mcap_without_its_index_is_read_whole(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", seconds(4), size=BIG)
    path = storage_file(bag)
    path.write_bytes(path.read_bytes()[:-60])
    *shown, last = read(bag)
    assert shades(shown) == [0, 1, 2, 3]
    assert isinstance(last, Unreadable) and "the index is missing" in last.reason
    assert str(path) in last.reason and "mcap recover bag.mcap" in last.reason


def test_a_break_in_the_middle_of_a_split_recording_costs_only_its_part(tmp_path: Path) -> None:
    bag = split(tmp_path, "mcap", 4, metadata=True)
    (bag / "split_2.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    items = read(bag)
    assert shades(items) == [10, 11, 12, 30, 31, 32]
    (broken,) = (item for item in items if isinstance(item, Unreadable))
    assert broken.name == "split_2.mcap" and broken.breaks_off
    assert str(bag / "split_2.mcap") in broken.reason and "mcap recover split_2.mcap" in broken.reason


def test_a_damaged_chunk_ends_the_file_with_its_name_and_place(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", seconds(4), size=BIG, zstd=True)
    path = storage_file(bag)
    content = bytearray(path.read_bytes())
    magic = (0xFD2FB528).to_bytes(4, "little")
    third = -1
    for _ in range(2):
        third = content.index(magic, third + 1)
    content[third : third + 4] = b"oops"
    path.write_bytes(content)
    *shown, last = read(bag)
    assert len(shown) < 4 and shades(shown) == list(range(len(shown)))
    assert isinstance(last, Unreadable) and last.breaks_off
    assert f"{path} cannot be read on after {len(shown)} messages" in last.reason
    assert "mcap recover bag.mcap" in last.reason


def test_a_cut_database_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", seconds(8), storage="sqlite3", size=BIG)
    path = storage_file(bag)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    *shown, last = read(bag)
    assert shades(shown) == list(range(len(shown))) and len(shown) < 8
    assert isinstance(last, Unreadable) and last.breaks_off
    assert str(path) in last.reason and "sqlite3 bag.db3 .recover" in last.reason
    (bag / "metadata.yaml").unlink()
    with pytest.raises(InputError, match=r"not a readable recording .*\.recover"):
        open_source(str(bag))


def test_messages_left_in_a_log_are_not_overlooked(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", seconds(2), storage="sqlite3")
    (bag / "bag.db3-wal").write_bytes(b"x" * 100)
    (item,) = read(bag)
    assert isinstance(item, Unreadable) and item.breaks_off
    assert f"{bag / 'bag.db3'}: bag.db3-wal beside it holds messages" in item.reason
    assert 'sqlite3 bag.db3 "PRAGMA wal_checkpoint(TRUNCATE)"' in item.reason


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_text(path: Path) -> None:
    path.write_text("certainly no recording, but long enough to look at its end")


@pytest.mark.parametrize("damage", [make_empty, make_text])
@pytest.mark.parametrize(
    ("name", "remedy"),
    [("x.mcap", "mcap recover x.mcap"), ("x.db3", "sqlite3 x.db3 .recover"), ("x.mcap.zstd", "x.mcap")],
)
def test_what_is_no_recording_is_refused(
    tmp_path: Path, name: str, remedy: str, damage: Callable[[Path], None]
) -> None:
    damage(tmp_path / name)
    with pytest.raises(InputError) as caught:
        open_source(str(tmp_path / name))
    assert str(tmp_path / name) in str(caught.value) and remedy in str(caught.value)


def test_a_packed_file_that_is_cut_is_told_with_the_remedy(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", seconds(3))
    packed = tmp_path / "cut.mcap.zstd"
    whole = zstd().compress(storage_file(bag).read_bytes())
    packed.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as caught:
        open_source(str(packed))
    words = str(caught.value)
    assert f"{packed}: cannot be unpacked into" in words
    assert "zstd -d cut.mcap.zstd" in words and "TMPDIR" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"compression_mode": "MESSAGE", "compression_format": "lz4"},
            "compressed with 'lz4', which rosbags does not know; rewrite it with `ros2 bag convert`",
        ),
        ({"relative_file_paths": []}, "metadata.yaml: names no file"),
    ],
)
def test_what_metadata_cannot_mean_is_told(tmp_path: Path, change: dict[str, object], words: str) -> None:
    bag = write(tmp_path / "bag", seconds(2))
    content = yaml.safe_load((bag / "metadata.yaml").read_text())
    content["rosbag2_bagfile_information"] |= change
    (bag / "metadata.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        open_source(str(bag))
    assert str(bag) in str(caught.value) and words in str(caught.value)


def test_a_ros_1_bag_is_told_how_to_convert(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(InputError, match=r"rosbags-convert --src old\.bag --dst old"):
        open_source(str(tmp_path / "old.bag"))
