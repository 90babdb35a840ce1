"""The procedural street scenes: deterministic, continuous, complete, and honest about bad arguments."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sernet_core.cli import main
from sernet_core.commands import synthesize
from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID, IGNORE
from sernet_core.synthetic import (
    CONDITIONS,
    HELD_OUT_TOWN,
    TOWNS,
    TRAINING_TOWNS,
    Frame,
    Sequence,
    random_frame,
)

SMALL = (160, 120)
ALLOWED = {*range(len(CAMVID)), IGNORE}


def digest(frame: Frame) -> str:
    return hashlib.sha256(frame.image.tobytes() + frame.label.tobytes()).hexdigest()


def test_same_arguments_give_same_bytes() -> None:
    first, second = (Sequence("brickford", "rain", 5, SMALL)[7] for _ in range(2))
    assert digest(first) == digest(second)
    assert digest(random_frame(11, SMALL)) == digest(random_frame(11, SMALL))
    assert digest(random_frame(11, SMALL)) != digest(random_frame(12, SMALL))


def test_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib\n"
        "from sernet_core.synthetic import Sequence, random_frame\n"
        "for frame in (Sequence('limewood', 'dusk', 3, (160, 120))[4], random_frame(21, (160, 120))):\n"
        "    print(hashlib.sha256(frame.image.tobytes() + frame.label.tobytes()).hexdigest())\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    here = [digest(Sequence("limewood", "dusk", 3, SMALL)[4]), digest(random_frame(21, SMALL))]
    assert done.stdout.split() == here


def test_random_access_equals_iteration() -> None:
    sequence = Sequence("stonebridge", "night", 2, SMALL, frames=6)
    in_order = [digest(frame) for frame in sequence]
    assert len(in_order) == len(sequence) == 6
    again = Sequence("stonebridge", "night", 2, SMALL, frames=6)
    assert [digest(again[i]) for i in (5, 0, 3)] == [in_order[i] for i in (5, 0, 3)]
    assert digest(again[-1]) == in_order[-1]
    with pytest.raises(IndexError):
        again[6]


def test_drive_has_no_end() -> None:
    late = Sequence("brickford", frames=10_000_000, size=SMALL)[9_999_999]
    assert set(np.unique(late.label)) >= {CAMVID.id_of("Road"), CAMVID.id_of("Sky")}


def test_stamps_follow_the_rate() -> None:
    sequence = Sequence("brickford", size=(64, 64), rate=8.0, frames=9)
    assert sequence[8].stamp_ns == 1_000_000_000
    assert sequence[8].index == 8


@pytest.mark.parametrize("town", TOWNS)
def test_every_class_occurs_in_every_town(town: str) -> None:
    sequence = Sequence(town, frames=2000, size=(240, 180), rate=2.0)
    seen: set[int] = set()
    for index in range(0, 120, 8):
        seen |= set(np.unique(sequence[index].label).tolist())
        if seen >= set(range(len(CAMVID))):
            break
    missing = [CAMVID.names[i] for i in range(len(CAMVID)) if i not in seen]
    assert not missing
    assert seen <= ALLOWED


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (200, 64), (64, 200), (640, 480), (960, 540)])
def test_any_size(size: tuple[int, int]) -> None:
    for frame in (Sequence("harbourside", "night", 1, size)[3], random_frame(3, size, conditions=("rain",))):
        assert frame.image.shape == (size[1], size[0], 3) and frame.image.dtype == np.uint8
        assert frame.label.shape == (size[1], size[0]) and frame.label.dtype == np.uint8
        assert frame.image.flags.c_contiguous and frame.label.flags.c_contiguous
        assert set(np.unique(frame.label).tolist()) <= ALLOWED


def test_conditions_differ_in_brightness() -> None:
    mean = {
        condition: np.mean([Sequence("marketcross", condition, s, SMALL)[0].image.mean() for s in range(3)])
        for condition in CONDITIONS
    }
    assert mean["day"] > 1.15 * mean["dusk"] > mean["night"]
    assert mean["rain"] > 1.5 * mean["night"]


def test_condition_leaves_the_labels_alone() -> None:
    day, night = (Sequence("brickford", condition, 4, SMALL)[10] for condition in ("day", "night"))
    assert np.array_equal(day.label, night.label)


@pytest.mark.parametrize("town", [TRAINING_TOWNS[0], HELD_OUT_TOWN])
def test_neighbouring_frames_are_alike(town: str) -> None:
    sequence = Sequence(town, "day", 9, (240, 180), rate=15.0)
    frames = [sequence[i] for i in (0, 1, 2, 60)]
    near = [np.mean(a.label == b.label) for a, b in itertools.pairwise(frames[:3])]
    assert min(near) > 0.9
    assert np.mean(frames[0].label == frames[3].label) < min(near)
    # The world moves: no two frames are the same picture.
    assert all(np.any(a.label != b.label) for a, b in itertools.pairwise(frames))


def test_held_out_town_is_not_trained_on() -> None:
    assert HELD_OUT_TOWN in TOWNS
    assert HELD_OUT_TOWN not in TRAINING_TOWNS
    assert set(TRAINING_TOWNS) | {HELD_OUT_TOWN} == set(TOWNS)
    assert len(TOWNS) >= 4


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"town": "bricford"}, "brickford"),
        ({"town": "brickford", "condition": "snow"}, "dusk"),
        ({"town": "brickford", "size": (32, 480)}, "64x64"),
        ({"town": "brickford", "rate": 0.0}, "rate"),
        ({"town": "brickford", "frames": 0}, "frame"),
    ],
)
def test_bad_arguments_say_what_is_right(arguments: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Sequence(**arguments)


def test_random_frame_refuses_bad_arguments() -> None:
    for arguments in ({"towns": ()}, {"conditions": ("fogg",)}, {"towns": ("nowhere",)}, {"size": (10, 10)}):
        with pytest.raises(ConfigError):
            random_frame(0, **arguments)


def test_command_writes_a_plain_tree(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    options = ["--frames", "2", "--size", "96x72", "--town", "limewood", "--condition", "rain", "--seed", "7"]
    assert main(["synthesize", "--out", str(out), "--split", "val", *options]) == 0
    stems = (out / "val.txt").read_text().split()
    assert len(stems) == 2
    assert (out / "classes.csv").read_text().splitlines()[1] == "0,Sky,128,128,128"
    frame = Sequence("limewood", "rain", 7, (96, 72), frames=2)[1]
    image = cv2.imread(str(out / "val" / "images" / f"{stems[1]}.png"))
    label = cv2.imread(str(out / "val" / "labels" / f"{stems[1]}.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(image[..., ::-1], frame.image)
    assert np.array_equal(label, frame.label)


def test_the_list_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set that breaks off has no list, and no file that is half there."""
    written: list[str] = []

    def write(path: Path, fill: Callable[[Path], object]) -> None:
        if path.name == "train.txt":
            raise InputError(f"{path}: cannot be written")
        written.append(path.name)

    monkeypatch.setattr(synthesize, "write_atomically", write)
    options = ["--frames", "1", "--size", "64x64", "--varied"]
    assert main(["synthesize", "--out", str(tmp_path), *options]) == 2
    assert written == ["varied_0000000.png", "varied_0000000.png", "classes.csv"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_command_writes_varied_frames(tmp_path: Path) -> None:
    assert main(["synthesize", "--out", str(tmp_path), "--varied", "--frames", "1", "--size", "64x64"]) == 0
    image = cv2.imread(str(tmp_path / "train" / "images" / "varied_0000000.png"))
    assert np.array_equal(image[..., ::-1], random_frame(0, (64, 64)).image)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--out", "x", "--size", "480"],
        ["--out", "x", "--town", "atlantis"],
        ["--out", "x", "--frames", "0"],
        ["--sheet", "x.gif"],
    ],
)
def test_command_refuses_bad_options(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["synthesize", *options]) == 2
    assert capsys.readouterr().err.startswith("sernet synthesize: ")
    assert not list(tmp_path.iterdir())


def test_fog_hides_what_is_far_and_is_not_drawn_for_training() -> None:
    assert "fog" not in CONDITIONS
    day, fog = (Sequence("brickford", condition, 5, SMALL)[0] for condition in ("day", "fog"))
    assert (day.label == fog.label).all()
    end_of_the_street = np.s_[20:60, 60:100]
    assert fog.image[end_of_the_street].std() < 0.6 * day.image[end_of_the_street].std()
