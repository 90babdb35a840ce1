"""YAML into dataclasses, and the recipes that ship."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path

import pytest
import yaml

from sernet_core.augment import AugmentConfig
from sernet_core.config import load_yaml
from sernet_core.errors import ConfigError
from sernet_core.train import Recipe, load_recipe

CONFIG = Path(__file__).parents[2] / "config"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(CONFIG.glob("train_*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_load(path: Path) -> None:
    assert load_recipe(path).steps > 0


def test_values_arrive(tmp_path: Path) -> None:
    recipe = load_recipe(
        write(tmp_path, "steps: 5\nrate: 1\naugment: {crop: [96, 64]}\nnetwork: {depth: 18}\n")
    )
    assert (
        recipe.steps == 5
        and recipe.rate == 1.0
        and recipe.augment.crop == (96, 64)
        and recipe.network.depth == 18
    )


def test_numbers_with_an_exponent_need_no_point(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "steps: 5\nrate: 1e-3\naugment: {scale: [5e-1, 2E+0]}\n"))
    assert recipe.rate == 1e-3 and recipe.augment.scale == (0.5, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepps: 5", "Did you mean 'steps'"),
        ("rate: 1.0", "'steps' is missing"),
        ("steps: many", "steps: must be int"),
        ("steps: true", "steps: must be int"),
        ("steps: 5\nrate: fast", "rate: must be float, is 'fast'"),
        ("steps: 5\nrate: nan", "rate: must be float, is 'nan'"),
        ("steps: 5\nrate: true", "rate: must be float, is True"),
        ("steps: 0", "at least 1"),
        ("steps: 5\nseed: -1", "seed: must not be negative"),
        ("steps: 5\nrate: .nan", "rate: must be a finite number, got nan"),
        ("steps: 5\nweight_decay: .inf", "weight_decay: must be a finite number, got inf"),
        ("steps: 5\npoly_power: -0.9", "poly_power: must not be negative"),
        ("steps: 5\ndistil_temperature: .nan", "distil_temperature: must be a finite number"),
        ("steps: 5\nseed: 4294967296", "seed: must be below"),
        ("steps: 5\nnetwork: {depth: 19}", "19 is not one of 18, 29, 34, 50, 101"),
        ("steps: 5\nnetwork: {fusion: sum}", "fusion"),
        ("steps: 5\nnetwork: 18", "must be a mapping"),
        ("steps: 5\naugment: {crop: [96]}", "must have 2 values"),
        ("steps: 5\naugment: {crop: 96}", "must be a list"),
        ("steps: 5\nbalance: medain", "Did you mean 'median'"),
        ("steps: 5\nsynthetic_share: 2", "from 0 to 1"),
        ("steps: 5\naugment: {crop: [32, 64]}", "crop: needs at least 64x64"),
        ("steps: 5\naugment: {scale: [2, 1]}", "scale: needs 0 < low"),
        ("steps: 5\naugment: {blur: 2.0}", "blur: must be from 0 to 1"),
        ("steps: 5\naugment: {hue: .nan}", "augment.hue: must be a finite number, got nan"),
        ("steps: 5\naugment: {scale: [0.5, .inf]}", "scale.1.: must be a finite number, got inf"),
        ("steps: 5\naugment: {scale: [1, 1000]}", "scale: 1000 times enlarged, a crop of"),
        ("steps: 5\naugment: {hue: -1}", "hue: must be from 0 to 180"),
        ("steps: 5\ninput_size: [0, 0]", "input_size: needs at least"),
        ("steps: 5\nseed: 1\nseed: 2", "line 3, column 1: 'seed' is there twice"),
        ("steps: 5\naugment: {flip: 0, flip: 1}", "'flip' is there twice"),
        ("- 5", "must be a mapping"),
        ("steps: [", "not valid YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(path)
    assert str(path) in str(error.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")


def test_schedule_warms_up_and_falls() -> None:
    recipe = Recipe(steps=100, warmup_steps=10)
    factors = [recipe.rate_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors.index(max(factors)) == 9
    assert all(a > b for a, b in itertools.pairwise(factors[9:])) and factors[-1] > 0


def test_every_key_of_a_recipe_has_a_line_in_the_docs() -> None:
    """With its default, and no line for what does not exist."""
    page = (Path(__file__).parents[2] / "docs/recipe.md").read_text()
    lines = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE))
    known = {field.name: field for kind in (Recipe, AugmentConfig) for field in dataclasses.fields(kind)}
    assert lines.keys() == known.keys()
    for name, field in known.items():
        if field.default is not dataclasses.MISSING:
            shown = yaml.safe_load(lines[name])
            assert shown == (list(field.default) if isinstance(field.default, tuple) else field.default), name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: 5\n  rate: : 1\n", "line 2, column 7: mapping values are not allowed here"),
        ("steps: [5\nrate: 1\n", "line 2, column 5: while parsing a flow sequence, expected ',' or ']'"),
        ("steps: \0\n", "unacceptable character"),
    ],
)
def test_a_fault_of_yaml_is_one_line_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, text))
    message = str(caught.value)
    assert words in message and "recipe.yaml: not valid YAML: " in message and "\n" not in message


def test_anchors_and_merges_are_yaml_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("steps: 5\naugment: &it {flip: 0.0, crop: [96, 64]}\n")
    assert load_recipe(path).augment.flip == 0.0
    path.write_text("a: &it {x: 1, y: 2}\nb: {<<: *it, y: 3}\n")
    assert load_yaml(path)["b"] == {"x": 1, "y": 3}
