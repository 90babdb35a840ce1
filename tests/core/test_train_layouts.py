"""Training and scoring on the layouts that people have, by the recipe for 19 classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import layout_trees
import pytest
from small_run import SMALL

from sernet_core.checkpoint import read_info
from sernet_core.datasets import open_dataset
from sernet_core.labels import CITYSCAPES
from sernet_core.train import load_recipe, train

RECIPE = load_recipe(Path(__file__).parents[2] / "config/train_cityscapes.yaml")


@pytest.mark.usefixtures("slim")
@pytest.mark.parametrize("tree", [layout_trees.cityscapes, layout_trees.bdd100k])
def test_a_step_and_a_score(tree: Callable[[Path], Path], tmp_path: Path) -> None:
    root = tree(tmp_path / "data")
    small = replace(
        RECIPE,
        steps=1,
        batch_size=2,
        input_size=SMALL.input_size,
        network=replace(SMALL.network, classes=19),
        augment=replace(RECIPE.augment, crop=SMALL.augment.crop, scale=(1.5, 2.5), paste=0.0),
        warmup_steps=0,
        validate_every=1,
    )
    training, validation = (open_dataset(root, split) for split in ("train", "val"))
    assert train(small, training, [validation], tmp_path / "run", workers=0)
    info = read_info(tmp_path / "run/model.safetensors")
    assert info.classes == CITYSCAPES and info.data["stems"] == sorted(training.stems)
    assert info.metrics[validation.name]["miou"] is not None
