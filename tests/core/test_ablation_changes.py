"""Rows of an ablation that a file gives: what they change, learn from and are scored on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import layout_trees as trees
import pytest
from small_run import SMALL, Frames, noise_frames

from sernet_core.ablation.changes import load_rows
from sernet_core.ablation.plan import Plan
from sernet_core.ablation.rows import BASE, choose
from sernet_core.ablation.run import PAGE, RESULT, TABLE, run
from sernet_core.checkpoint import load_checkpoint, read_info
from sernet_core.cli import main
from sernet_core.errors import ConfigError, InputError
from sernet_core.train import load_recipe

pytestmark = pytest.mark.usefixtures("slim")

RECIPE = replace(SMALL, steps=1, synthetic_share=0.0, validate_every=1)


def rows_file(folder: Path, text: str) -> Path:
    path = folder / "rows.yaml"
    path.write_text(text)
    return path


def test_rows_of_a_file_change_the_recipe(tmp_path: Path) -> None:
    text = """
    no light: {augment: {brightness: 0, hue: 0.0}}
    sgd: {optimizer: sgd, rate: "2e-2"}
    lateral: {network: {lateral: skip, dbn_rates: [2, 3]}, auxiliary_weight: 0.0}
    """
    base, *rows = load_rows(rows_file(tmp_path, text), RECIPE)
    assert base.name == BASE and base.apply(RECIPE) == RECIPE
    light, sgd, lateral = (row.apply(RECIPE) for row in rows)
    assert light == replace(RECIPE, augment=replace(RECIPE.augment, brightness=0.0, hue=0.0))
    assert sgd == replace(RECIPE, optimizer="sgd", rate=0.02)
    network = replace(RECIPE.network, lateral="skip", dbn_rates=(2, 3))
    assert lateral == replace(RECIPE, network=network, auxiliary_weight=0.0)
    assert rows[2].changes == {
        "network": {"lateral": "skip", "dbn_rates": (2, 3)},
        "auxiliary_weight": 0.0,
    }
    assert [row.name for row in choose([base, *rows], ["sgd"])] == [BASE, "sgd"]
    assert rows[1].recipe == {"optimizer": "sgd", "rate": 0.02}, "as the recipe reads them"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("all: {rate: 1.0}", "row 'all': is the recipe itself"),
        ("settings: {rate: 1.0}", "row 'settings': is what --rows calls all rows"),
        ("a/b: {rate: 1.0}", "row 'a/b': a row's name has letters"),
        ("a name of nineteen c: {rate: 1.0}", "at most 18"),
        ("no: {rate: 1.0}", "row 'False': YAML reads this name as a bool; put it in quotes"),
        ("a b: {rate: 1.0}\nA-B: {rate: 2.0}", "row 'A-B': its runs would lie in the folders of row 'a b'"),
        ("a: {rate: 1.0}\na: {rate: 2.0}", "line 2, column 1: 'a' is there twice"),
        ("{}", "needs at least one row"),
        ("a: 5", "row 'a': must be settings of the recipe that it changes"),
        ("a: {}", "row 'a': must be settings"),
        ("a: {network: fixed}", "row 'a': network and augment must be settings"),
        ("a: {rato: 1.0}", "row 'a': .*Did you mean 'rate'"),
        ("a: {augment: {hew: 1.0}}", "row 'a': augment: .*Did you mean 'hue'"),
        ("a: {network: {gait: fixed}}", "row 'a': network: .*Did you mean 'gate'"),
        ("a: {network: {gate: shut}}", "row 'a': network.gate: .*shut"),
        ("a: {network: {depth: 7}}", "row 'a': depth: 7 is not one of"),
        ("a: {synthetic_share: 2.0}", "row 'a': synthetic_share: must be from 0 to 1"),
        ("a: {steps: 9}", "row 'a': steps is the same in all rows"),
        ("a: {input_size: [128, 96]}", "row 'a': input_size is the same in all rows"),
        ("a: {momentum: 0.9}", "row 'a': changes nothing"),
    ],
)
def test_rows_of_a_file_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_rows(rows_file(tmp_path, text), RECIPE)


def test_settings_are_compared_on_what_is_left_out_and_on_another_set(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The whole command: rows of a file, a sequence left out, a second data set, a further split to score."""
    for stem in ("a_1", "a_2", "b_1", "b_2"):
        trees.write_image(tmp_path / f"camvid/train/images/{stem}.png", (96, 64))
        trees.write_label(tmp_path / f"camvid/train/labels/{stem}.png", [0, 3], (96, 64))
    for name, stem in (("city/val", "c_1"), ("facades/train", "f_1")):
        trees.write_image(tmp_path / f"{name}/images/{stem}.png", (96, 64))
        trees.write_label(tmp_path / f"{name}/labels/{stem}.png", [3, 8], (96, 64))
    recipe = tmp_path / "recipe.yaml"
    settings = {"network": {"depth": 18, "dbn_rates": [1, 2, 3]}, "augment": {"crop": [96, 64]}}
    settings |= {"steps": 1, "input_size": [96, 64], "batch_size": 2, "notice": "test"}
    recipe.write_text(json.dumps(settings))
    rows = rows_file(tmp_path, "no auxiliary: {auxiliary_weight: 0.0}\nextra: {extra_share: 0.5}\n")
    out = tmp_path / "out"
    command = ["ablate", "--recipe", str(recipe), "--changes", str(rows), "--data", str(tmp_path / "camvid")]
    command += ["--leave-out", "b", "--also", f"{tmp_path}/city:val", "--out", str(out), "--workers", "0"]
    command += ["--seeds", "1", "--repeats", "1"]
    assert main(command) == 2
    assert "row 'extra': the recipe takes 0.5 of its crops from a second data set" in capsys.readouterr().err
    assert not out.exists(), "nothing is written of what cannot be trained"
    command += ["--extra", f"{tmp_path}/facades:train"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "no auxiliary" in shown and "city/val" in shown
    report = json.loads((out / RESULT).read_text())
    assert report["settings"]["validation"] == "camvid/train only b"
    assert report["sources"]["extra"]["extra"]["train"] == "facades/train"
    for row in report["rows"]:
        info = read_info(out / f"runs/{row['row'].replace(' ', '-')}_seed0/model.safetensors")
        assert ("extra" in info.data) == (row["row"] == "extra")
        assert not {"b_1", "b_2", "c_1"} & set(info.data["stems"])
        assert row["miou"]["mean"] == pytest.approx(info.metrics["camvid/train only b"]["miou"], abs=1e-3)
        other = row["also"]["city/val"]
        assert other["miou"]["mean"] == pytest.approx(info.metrics["city/val"]["miou"], abs=1e-3)
        assert (other["against"] is None) == (row["row"] == BASE)
    assert len({row["latency"]["median_ms"] for row in report["rows"]}) == 1, "they share one network"
    with (out / TABLE).open() as file:
        assert all(line["city/val_miou_mean"] for line in csv.DictReader(file))
    page = (out / PAGE).read_text()
    assert "extra_share 0.5" in page and "Every run on city/val" in page
    chosen = [*command[:-2], "--rows", "no auxiliary"]  # what another row learned from need not be given
    assert main(chosen) == 0 and "extra" in capsys.readouterr().out
    assert main([*command[:-1], f"{tmp_path}/city:val"]) == 2
    assert "(the extra of row 'extra')" in capsys.readouterr().err
    assert main([*command, "--also", f"{tmp_path}/city:val"]) == 2
    assert "two splits to score are called city/val" in capsys.readouterr().err
    rows_file(tmp_path, "no auxiliary: {auxiliary_weight: 0.1}\nextra: {extra_share: 0.5}\n")
    assert main(command) == 2
    assert "other settings or data (what row 'no auxiliary' changes)" in capsys.readouterr().err
    assert main([*command, "--validate", "val"]) == 2
    assert "--validate: what is left out is scored" in capsys.readouterr().err


def test_a_teacher_is_for_the_rows_that_give_it_a_weight(tmp_path: Path) -> None:
    recipe = replace(RECIPE, distil_weight=0.0)
    rows = load_rows(rows_file(tmp_path, "teacher: {distil_weight: 2.0}"), recipe)
    data = [Frames(noise_frames(4), "camvid/train"), Frames(noise_frames(2, "v"), "camvid/val")]
    with pytest.raises(ConfigError, match=r"row 'teacher': .*give one with --teacher"):
        run(Plan(recipe, rows, data[0], data[1], rows), tmp_path / "none")
    first = Plan(RECIPE, rows[:1], *data, seeds=1, repeats=1, workers=0)
    run(first, tmp_path / "first", tell=lambda _: None)
    path = first.jobs()[0].folder(tmp_path / "first") / "model.safetensors"
    plan = Plan(recipe, rows, *data, rows, teacher=load_checkpoint(path), seeds=1, repeats=1, workers=0)
    assert run(plan, tmp_path / "second", tell=lambda _: None) is not None
    taught = {
        job.row.name: "teacher" in read_info(job.folder(tmp_path / "second") / "model.safetensors").data
        for job in plan.jobs()
    }
    assert taught == {BASE: False, "teacher": True}
    with pytest.raises(ConfigError, match="--teacher: a teacher is given, and no row has"):
        Plan(recipe, rows[:1], *data, rows[:1], teacher=load_checkpoint(path))
    seen = replace(plan, validation=Frames(noise_frames(2), "camvid/train only n"))
    with pytest.raises(InputError, match=r"(?s)row 'all': .*training list"):
        run(replace(seen, dataset=data[0]), tmp_path / "third")
    other = replace(seen, dataset=data[1])
    with pytest.raises(InputError, match=r"(?s)row 'teacher': .*training list of the teacher"):
        run(other, tmp_path / "third")


def test_the_rows_that_ship_fit_their_recipe() -> None:
    recipe = load_recipe(Path("config/ablation_settings.yaml"))
    rows = load_rows(Path("config/ablation_settings_rows.yaml"), recipe)
    assert len({row.name for row in rows}) == len(rows) > 10
