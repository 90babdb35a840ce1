"""What a run is fed: a second data set, several parts, crops to preview, and what is scored on the way."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_run import SMALL, Frames, noise_frames

from sernet_core.augment import AugmentConfig
from sernet_core.checkpoint import read_info
from sernet_core.cli import main
from sernet_core.datasets import without
from sernet_core.errors import CheckpointError, ConfigError, InputError
from sernet_core.labels import CAMVID, IGNORE, ClassSet
from sernet_core.losses import OPEN
from sernet_core.media import read_unchanged
from sernet_core.provenance import saw_val
from sernet_core.runtime import Segmenter
from sernet_core.train import Recipe, load_recipe, train
from sernet_core.train.extra import Extra
from sernet_core.train.origin import describe_origin
from sernet_core.train.parts import open_parts
from sernet_core.train.processes import Processes
from sernet_core.train.scales import scale_warnings
from sernet_core.train.stream import TrainingStream

pytestmark = pytest.mark.usefixtures("slim")

PLAIN = replace(SMALL, synthetic_share=0.0, steps=1)
MIXED = replace(PLAIN, extra_share=0.25, augment=replace(SMALL.augment, scale=(1, 1), flip=0))


def _others(count: int = 4) -> Frames:
    """A second data set, labelled with roads and buildings alone."""
    samples = noise_frames(count, "e")
    labels = [np.where(sample.label == 3, 3, 1).astype(np.uint8) for sample in samples]
    relabelled = [replace(one, label=label) for one, label in zip(samples, labels, strict=True)]
    return Frames(relabelled, "second")


def test_share_of_the_second_data_set() -> None:
    first, second = Frames(noise_frames(3)), _others()
    stream = TrainingStream(replace(MIXED, steps=200), first, second)
    for number in range(400):
        stream[number]
    assert len(first.asked) + len(second.asked) == 400
    assert len(second.asked) == pytest.approx(100, abs=35)  # four standard deviations
    assert set(second.asked) == set(second.stems)
    again = TrainingStream(replace(MIXED, steps=200), first, second)
    assert all(torch.equal(stream[number][1], again[number][1]) for number in range(20))


def test_sequences_in_turns() -> None:
    """Equally: each sequence as often as the others, and of each every frame as often as its others."""
    samples = [replace(one, stem=f"{'a' if i < 2 else 'b'}_{i}") for i, one in enumerate(noise_frames(8))]
    frames = Frames(samples)
    assert Recipe(steps=1).sequences == "by_length"
    for recipe, times in (PLAIN, [3] * 8), (replace(PLAIN, sequences="equally"), [6] * 2 + [2] * 6):
        frames.asked.clear()
        stream = TrainingStream(replace(recipe, steps=12), frames)
        for number in range(24):
            stream[number]
        assert [frames.asked.count(stem) for stem in frames.stems] == times
        later = [stem for stem in frames.asked if stem > "b"]
        assert later[:6] != later[6:12] and sorted(later[:6]) == sorted(
            later[6:12]
        )  # each pass has its order
    turns = [stem[0] for stem in frames.asked]
    rounds = {"".join(turns[start : start + 2]) for start in range(0, 24, 2)}
    assert rounds == {"ab", "ba"}


def test_frames_that_are_a_sequence_each_are_shuffled() -> None:
    frames = Frames(noise_frames(8))
    stream = TrainingStream(replace(PLAIN, sequences="equally", steps=8), frames)
    for number in range(16):
        stream[number]
    first, second = frames.asked[:8], frames.asked[8:]
    assert sorted(first) == sorted(second) == frames.stems and first != second != frames.stems != first


def test_a_second_data_set_must_fit() -> None:
    first, second = Frames(noise_frames(3)), _others()
    with pytest.raises(ConfigError, match="give it with --extra"):
        TrainingStream(MIXED, first)
    with pytest.raises(ConfigError, match="set extra_share in the recipe"):
        TrainingStream(PLAIN, first, second)
    names = ClassSet("others", (*CAMVID.names[:10], "Cyclist"), CAMVID.palette)
    with pytest.raises(ConfigError, match="id 10 is Cyclist in others"):
        TrainingStream(MIXED, first, Frames(noise_frames(2), classes=names))


def test_labels_of_a_set_without_some_classes_are_open() -> None:
    first, second = Frames(noise_frames(3)), _others()
    missing = Extra(second).missing
    assert missing == [number for number in range(11) if number not in (1, 3)]
    plain = TrainingStream(replace(MIXED, steps=20), first, second)
    stream = TrainingStream(replace(MIXED, steps=20), first, second, missing)
    labels = [(plain[number][1], stream[number][1]) for number in range(len(stream))]
    opened = [after for before, after in labels if not after.equal(before)]
    assert 0.1 < len(opened) / len(labels) < 0.4
    assert set(torch.cat(opened).unique().tolist()) <= {255, OPEN + 1, OPEN + 3}
    for before, after in labels:
        assert (after % OPEN).equal(before)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that has seen a little of everything."""
    folder = tmp_path / "model"
    train(replace(PLAIN, steps=3, average_decay=0.0), Frames(noise_frames(3)), [], folder, workers=0)
    return folder / "model.safetensors"


def test_labels_are_void_where_a_model_sees_what_they_lack(model: Path, tmp_path: Path) -> None:
    second = _others()
    segmenter = Segmenter.load(model)
    masked = Extra(second, model).prepare(tmp_path / "run", Processes())
    lacking = [number for number in range(11) if number not in (1, 3)]
    count = 0
    for before, after in zip(second, masked, strict=True):
        exact = np.isin(segmenter.segment(before.image).mask, lacking)
        seen = np.zeros_like(exact)
        for row, column in np.argwhere(exact):
            seen[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = True
        count += int(seen.sum())
        assert before.label is not None and after.label is not None
        assert (after.label[seen] == IGNORE).all() and (after.label[~seen] == before.label[~seen]).all()
        assert (after.image == before.image).all()
    assert 0 < count < 4 * 64 * 96
    # What is there is not made again, so that a run goes on at once.
    written = sorted((tmp_path / "run").rglob("*.png"))
    times = [path.stat().st_mtime_ns for path in written]
    Extra(second, model).prepare(tmp_path / "run", Processes())
    assert len(written) == 4 and [path.stat().st_mtime_ns for path in written] == times


def test_a_run_remembers_its_second_data_set(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first, folder = Frames(noise_frames(3)), tmp_path / "run"
    assert train(MIXED, first, [], folder, extra=Extra(_others(), model), workers=0)
    lacking = ", ".join(name for name in CAMVID.names if name not in ("Building", "Road"))
    assert capsys.readouterr().out.count(f"labels of second leave open: {lacking}\n") == 1
    data = read_info(folder / "model.safetensors").data
    assert data["extra"]["train"] == "second" and data["extra"]["share"] == 0.25
    assert data["extra"]["unlabelled"] == data["extra"]["masked"]["classes"]
    assert data["extra"]["masked"]["file"] == "model.safetensors"
    assert "stems" not in data["extra"]["masked"]["data"]
    assert "Pole" in data["extra"]["masked"]["classes"] and "Road" not in data["extra"]["masked"]["classes"]
    assert {"e0", "n0"} <= set(data["stems"])
    with pytest.raises(CheckpointError, match="another recipe, data set"):
        train(MIXED, first, [], folder, extra=Extra(_others()), workers=0)


def test_what_the_masking_model_has_seen_the_run_has_too(model: Path) -> None:
    extra = Extra(_others(), model)
    origin = describe_origin(MIXED, Frames(noise_frames(2, "f")), None, None, extra=extra)
    assert origin["stems"] == ["e0", "e1", "e2", "e3", "f0", "f1", "n0", "n1", "n2"]  # n: the model's own


def test_masked_labels_of_other_data_are_not_taken(model: Path, tmp_path: Path) -> None:
    second = _others()
    Extra(second, model).prepare(tmp_path / "run", Processes())
    other = Frames(second.samples, "third")
    Extra(other, model).prepare(tmp_path / "run", Processes())
    assert len(list((tmp_path / "run").iterdir())) == 2
    larger = [replace(one, image=np.zeros((80, 96, 3), np.uint8)) for one in second.samples]
    grown = Extra(Frames(larger, "second"), model).prepare(tmp_path / "run", Processes())
    assert grown is not None
    with pytest.raises(InputError, match="a label of 96x64 for a frame of 96x80: the data set has changed"):
        grown[0]


def test_masking_heeds_a_stop(model: Path, tmp_path: Path) -> None:
    stopped = threading.Event()
    stopped.set()
    assert Extra(_others(), model).prepare(tmp_path / "run", Processes(), stopped) is None
    assert not list((tmp_path / "run").rglob("*.png"))


def test_a_set_that_lacks_no_class_needs_no_model(model: Path, tmp_path: Path) -> None:
    whole = noise_frames(1)[0]
    label = np.arange(64 * 96, dtype=np.int64).reshape(64, 96) % 11
    dataset = Frames([replace(whole, label=label.astype(np.uint8))])
    assert Extra(dataset).summary() == "labels of memory leave open: no class"
    with pytest.raises(ConfigError, match="labels every class"):
        Extra(dataset, model).prepare(tmp_path, Processes())


@pytest.fixture
def parts(tree: Path) -> Path:
    """The tree with a `train` beside its `val`."""
    for sample in noise_frames(3):
        for kind, pixels in (("images", sample.image), ("labels", sample.label)):
            path = tree / "train" / kind / f"{sample.stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert pixels is not None and cv2.imwrite(str(path), pixels)
    return tree


def test_joined_parts_are_named_by_their_folder(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parts)
    assert open_parts(".", "train+val").name == open_parts(str(parts), "train+val").name == "tree/train+val"


def test_a_final_run_is_marked(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """On train and val: the model says so, `sernet models` shows it, and val is no longer to be scored on."""
    dataset = open_parts(str(parts), "train+val")
    assert dataset.stems == ["n0", "n1", "n2", "f0", "f1", "f2"] and dataset[4].stem == "f1"
    assert [sample.stem for sample in dataset] == dataset.stems and dataset.name == "tree/train+val"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "steps: 1\nbatch_size: 2\nnetwork: {depth: 18, dbn_rates: [1, 2, 3]}\n"
        "augment: {crop: [96, 64]}\ninput_size: [96, 64]\n"
    )
    command = ["train", "--recipe", str(recipe), "--data", str(parts), "--workers", "0", "--device", "cpu"]
    run = tmp_path / "models/final"
    assert main([*command, "--split", "train+val", "--run", str(run)]) == 0
    assert "nothing is scored on the way" in capsys.readouterr().out
    model = run / "model.safetensors"
    assert read_info(model).data["parts"] == ["train", "val"] and read_info(model).metrics == {}
    out = tmp_path / "scores"
    score = ["evaluate", "--model", str(model), "--data", str(parts), "--split", "val", "--out", str(out)]
    assert main(score) == 2 and not out.exists()
    assert "3 of 3 frames are in the training list" in capsys.readouterr().err
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERNET_MODELS", str(run))
        main(["models"])
    assert "run on val too: no part of the data was held back" in capsys.readouterr().out
    fold = without(dataset, ["n0"])
    assert describe_origin(load_recipe(recipe), fold, None, None)["parts"] == ["train", "val"]
    for role in ("started_from", "teacher"):
        assert saw_val({"train": "camvid/train", role: {"data": {"parts": ["train", "val"]}}})
    for name in ("camvid/val without a", "my data/val", "my data/val without a b"):
        assert saw_val({"train": name})
    assert saw_val({"train": "camvid/all"})
    masked = {"train": "photographs/train", "masked": {"data": {"train": "camvid/val"}}}
    assert saw_val({"train": "camvid/train", "extra": masked})
    second = {"train": "mine/train without a", "extra": {"train": "mine/val"}}
    assert saw_val(second) and saw_val({"train": None, "teacher": {"data": second}})
    assert not saw_val({"train": "mine/train", "extra": {"train": "camvid/val"}})  # nothing of mine
    for name in ("my val/train", "camvid/all without a"):
        assert not saw_val({"train": name, "extra": {"train": "photographs/all"}})
    assert not saw_val(
        {"parts": ["train"], "train": "camvid/train", "started_from": {"data": {"train": None}}}
    )
    again = [*command, "--split", "train+val", "--validate", f"{parts}:val", "--run", str(tmp_path / "other")]
    assert main(again) == 2
    assert main([*command, "--split", "train+train", "--run", str(tmp_path / "twice")]) == 2
    assert "names a part twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "doubt", "warned"),
    [
        ("distil_weight: 1.0", "", "the recipe's distil_weight is for a teacher"),
        ("distil_weight: 0", "", ""),
        ("precision: bf16", "no AMX", "bf16 may be slower than fp32 here: no AMX"),
        ("precision: bf16", "", ""),
        ("precision: fp32", "no AMX", ""),
    ],
)
def test_a_setting_that_gains_nothing_here_is_warned_of(
    setting: str,
    doubt: str,
    warned: str,
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr("sernet_core.train.train", lambda *_, **__: True)
    monkeypatch.setattr("sernet_core.engines.processor.bf16_doubt", lambda: doubt)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"steps: 1\ninput_size: [96, 64]\n{setting}\n")
    command = ["train", "--recipe", str(recipe), "--data", str(parts), "--run", str(tmp_path / "run")]
    assert main([*command, "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert ("warning" in text) == bool(warned) and warned in text


def test_two_splits_of_one_name_cannot_be_scored(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    recipe, other = tmp_path / "recipe.yaml", tmp_path / "other/tree"
    recipe.write_text("steps: 1\n")
    shutil.copytree(parts, other)
    command = ["train", "--recipe", str(recipe), "--data", str(parts), "--run", str(tmp_path / "run")]
    assert main([*command, "--validate", f"{parts}:val", "--validate", f"{other}:val"]) == 2
    assert "--validate: two splits are called tree/val" in capsys.readouterr().err


def test_preview_shows_the_first_crops(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: 4\nbatch_size: 1\naugment: {crop: [128, 96], scale: [1, 1], flip: 0}\n")
    picture = tmp_path / "crops.png"
    assert main(["train", "--recipe", str(recipe), "--data", str(parts), "--preview", str(picture)]) == 0
    assert str(picture) in capsys.readouterr().out
    image = read_unchanged(picture)
    width, height = 6 * 264, 2 * (195 + 4)
    assert image.shape[1] == width and height < image.shape[0] < height + 120
    assert len(np.unique(image[:190, 264:524].reshape(-1, 3), axis=0)) > 20  # the labels' colours on the crop
    assert (image[205:390, 2 * 264 :] == 255).all()  # four crops: the last row has one
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["tree"]  # and no run has begun


def test_frames_of_another_size_than_the_recipe_is_for(parts: Path, tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "recipe.yaml"
    command = ["train", "--recipe", str(recipe), "--data", str(parts), "--preview", str(tmp_path / "p.png")]
    for size, scale, fitting in (
        ([96, 64], [0.6, 1.8], ""),
        ([98, 66], [0.5, 1], ""),  # as good as 1
        ([192, 128], [0.6, 1.8], "[1.2, 3.5]"),
        ([192, 128], [4, 4], "[2, 2]"),
    ):
        recipe.write_text(
            f"steps: 1\nbatch_size: 1\ninput_size: {size}\naugment: {{crop: [64, 64], scale: {scale}}}"
        )
        assert main(command) == 0
        text = capsys.readouterr().out
        assert ("warning" in text) == bool(fitting) and fitting in text
    assert "the frames of tree/train, 96x64, with the pixels of 192x128" in text


def test_scenes_of_another_size_than_the_recipe_is_for() -> None:
    """A range for frames of 960x720 is none for scenes that stayed at 480x360."""
    large = replace(noise_frames(1)[0], image=np.zeros((720, 960, 3), np.uint8))
    recipe = Recipe(steps=1, augment=AugmentConfig(scale=(0.29, 0.87)), synthetic_share=0.5)
    (words,) = scale_warnings(recipe, [Frames([large])])
    assert "procedural scenes (synthetic_size), 480x360, with the pixels of 480x360 (input_size)" in words
    assert words.endswith("render scenes at the size of the data set's frames")
    for fitting in ({"synthetic_size": (960, 720)}, {"synthetic_share": 0.0}):
        assert not list(scale_warnings(replace(recipe, **fitting), [Frames([large])]))
    assert list(scale_warnings(replace(recipe, synthetic_share=1.0), []))


def test_what_is_scored_where_nothing_is_named(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The data set's val, if it has one that is not trained on."""
    scored: list[list[str]] = []

    def train(recipe: object, dataset: object, validation: list[Frames], *_: object, **__: object) -> bool:
        scored.append([split.name for split in validation])
        return True

    monkeypatch.setattr("sernet_core.train.train", train)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: 1\ninput_size: [96, 64]\n")
    given = ["train", "--recipe", str(recipe), "--device", "cpu", "--run", str(tmp_path / "run"), "--data"]
    assert main([*given, str(parts)]) == 0 and scored[-1] == [f"{parts.name}/val"]
    assert main([*given, str(parts), "--split", "train+val"]) == 0 and scored[-1] == []
    shutil.rmtree(parts / "val")
    capsys.readouterr()
    assert main([*given, str(parts)]) == 0 and scored[-1] == []
    assert "nothing is scored on the way" in capsys.readouterr().out
    assert main([*given, "synthetic"]) == 0 and scored[-1] == ["synthetic/val"]
    assert main([*given, "synthetic", "--split", "train+val"]) == 0 and scored[-1] == []
