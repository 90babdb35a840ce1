"""What a training run is made of: crops, loss, rates, running average, each against plain arithmetic."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_run import SMALL, Frames, noise_frames
from torch.nn.functional import interpolate

from sernet_core import synthetic
from sernet_core.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from sernet_core.datasets import open_dataset
from sernet_core.losses import HardPixels, dice_loss, lovasz_softmax, pixel_loss
from sernet_core.train import Recipe, train
from sernet_core.train.extra import Extra
from sernet_core.train.state import TrainingNetwork, TrainingState
from sernet_core.train.stream import TrainingStream

pytestmark = pytest.mark.usefixtures("slim")

ONE_STEP = replace(SMALL, steps=1, synthetic_share=0.0, balance="median", auxiliary_weight=0.4)


def test_stream_is_a_function_of_seed_and_number(tree: Path) -> None:
    dataset = open_dataset(tree, "val")
    stream, again = TrainingStream(SMALL, dataset), TrainingStream(SMALL, dataset)
    other = TrainingStream(replace(SMALL, seed=1), dataset)
    for number in (0, 5, 11):
        assert torch.equal(stream[number][0], again[number][0]) and torch.equal(
            stream[number][1], again[number][1]
        )
    assert any(not torch.equal(stream[number][0], other[number][0]) for number in range(4))


def test_rates_and_decay_by_group() -> None:
    state = TrainingState(SMALL, {})
    state.set_rates()
    names = {id(parameter): name for name, parameter in state.model.named_parameters()}
    for group in state.optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            pretrained = "encoder" in name and "gain" not in name
            peak = SMALL.encoder_rate if pretrained else SMALL.rate
            assert group["lr"] == pytest.approx(peak / 2)
            assert (group["weight_decay"] > 0) == (parameter.ndim > 1), name


def test_rates_rise_and_fall() -> None:
    state = TrainingState(replace(SMALL, steps=10, warmup_steps=4, poly_power=2.0), {})
    for step, factor in ((1, 0.5 * 0.9**2), (4, 0.6**2), (8, 0.2**2)):
        state.step = step
        state.set_rates()
        assert all(
            group["lr"] == pytest.approx(factor * group["peak"]) for group in state.optimizer.param_groups
        )


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_share_of_synthetic_crops(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = synthetic.random_frame(0, (96, 72))
    drawn: list[int] = []
    monkeypatch.setattr(synthetic, "random_frame", lambda seed, _size: drawn.append(seed) or scene)
    dataset = Frames(noise_frames(3))
    stream = TrainingStream(replace(SMALL, steps=200, synthetic_share=share), dataset)
    for number in range(400):
        stream[number]
    assert len(drawn) + len(dataset.asked) == 400
    room = 35 if share == 0.25 else 0  # four standard deviations
    assert len(drawn) == pytest.approx(400 * share, abs=room)
    assert len(set(drawn)) >= 0.98 * len(drawn)  # of a million scenes


def test_each_pass_has_all_frames_in_an_order_of_its_own() -> None:
    dataset = Frames(noise_frames(12))
    stream = TrainingStream(replace(SMALL, steps=18, synthetic_share=0.0), dataset)
    for number in range(36):
        stream[number]
    passes = [dataset.asked[start : start + 12] for start in (0, 12, 24)]
    assert all(sorted(one) == sorted(dataset.stems) for one in passes)
    assert len({tuple(one) for one in (*passes, dataset.stems)}) == 4


@pytest.mark.parametrize(("change", "share"), [
    ({}, 0.0),
    ({"balance": "none"}, 0.0),
    ({"auxiliary_weight": 0.0}, 0.0),
    ({"auxiliary_weight": 1.5}, 0.0),
    ({"ohem_threshold": 0.05}, 0.0),
    ({"ohem_threshold": 0.001, "ohem_share": 0.3}, 0.0),
    ({"region": "lovasz", "region_weight": 0.7}, 0.0),
    ({"region": "dice", "region_weight": 0.7}, 0.0),
    ({}, 0.75),
    ({"ohem_threshold": 0.05, "region": "lovasz", "region_weight": 0.7}, 0.75),
], ids=["usual", "no balance", "no auxiliary loss", "heavy auxiliary loss", "hard", "hardest", "lovasz",
        "dice", "open labels", "hard and lovasz with open labels"])  # fmt: skip
def test_loss_of_a_step(change: dict[str, Any], share: float, tmp_path: Path) -> None:
    """Against the losses, put together by hand; each setting moves it by more than its last place."""
    recipe = replace(ONE_STEP, extra_share=share, **change)
    dataset, second = Frames(noise_frames(2)), _of_two_classes() if share else None
    extra = Extra(second) if second is not None else None
    train(recipe, dataset, [], tmp_path, extra=extra, workers=0)
    with (tmp_path / "history.csv").open() as file:
        loss = float(next(csv.DictReader(file))["loss"])
    assert loss == pytest.approx(_expected_loss(recipe, dataset, second), abs=2e-4)
    others: list[dict[str, Any]] = [{"balance": "sqrt_median"}, {"auxiliary_weight": 0.8}]
    others += [{key: getattr(ONE_STEP, key)} for key in change]
    for other in others:
        assert abs(loss - _expected_loss(replace(recipe, **other), dataset, second)) > 2e-3, other
    if second is not None:
        assert abs(loss - _expected_loss(recipe, dataset, second, labelled=range(11))) > 2e-3


def _of_two_classes() -> Frames:
    """A second data set that labels roads and buildings alone."""
    samples = noise_frames(2, "e")
    return Frames([replace(one, label=np.where(one.label == 3, 3, 1).astype(np.uint8)) for one in samples])


def _expected_loss(
    recipe: Recipe, dataset: Frames, second: Frames | None, labelled: Sequence[int] = (1, 3)
) -> float:
    """The loss of the first step; labels of the second data set choose between the labelled classes."""
    stream = TrainingStream(recipe, dataset, second)
    images, labels = map(torch.stack, zip(stream[0], stream[1], strict=True))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    model = TrainingState(recipe, {}).model.train()
    with torch.no_grad():
        logits, auxiliary = model((images / 255 - mean) / std)
    # Each frame is alike and wholly labelled: a class's frequency is its share of the pixels.
    share = np.bincount(dataset.samples[0].label.ravel(), minlength=11) / (64 * 96)
    balanced = np.where(share > 0, np.median(share[share > 0]) / np.maximum(share, 1e-9), 1.0)
    power = {"none": 0.0, "sqrt_median": 0.5, "median": 1.0}[recipe.balance]
    weights = torch.tensor(balanced**power, dtype=torch.float32)
    hard = HardPixels(recipe.ohem_threshold, recipe.ohem_share) if recipe.ohem_threshold else None
    region = {"none": lambda *_: torch.tensor(0.0), "lovasz": lovasz_softmax, "dice": dice_loss}[
        recipe.region
    ]
    heads = [(logits, 1.0, recipe.region_weight)]
    if auxiliary is not None:
        large = interpolate(auxiliary, labels.shape[-2:], mode="bilinear")
        heads.append((large, recipe.auxiliary_weight, 0.0))
    mass = torch.where(labels == 255, 0.0, weights[labels.clamp(max=10)]).sum()
    total = 0.0
    for number, label in enumerate(labels):
        kept = list(labelled if _is_of_the_second(label) else range(11))
        ids = torch.full((256,), 255)
        ids[kept] = torch.arange(len(kept))
        for head, pixel_weight, region_weight in heads:
            crop = head[number : number + 1, kept], ids[label][None]
            total += pixel_weight * pixel_loss(*crop, weights[kept], hard).item() / mass.item()
            total += region_weight * region(*crop).item() / len(labels)
    return total


def _is_of_the_second(label: torch.Tensor) -> bool:
    return bool((label == 1).any())


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_of_a_step(
    precision: str, kind: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, seen = TrainingNetwork.forward, []

    def watched(self: TrainingNetwork, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        logits, auxiliary = forward(self, image)
        seen.append(auxiliary.dtype)  # type: ignore[union-attr]
        return logits, auxiliary

    monkeypatch.setattr(TrainingNetwork, "forward", watched)
    train(replace(ONE_STEP, precision=precision), Frames(noise_frames(2)), [], tmp_path, workers=0)
    assert seen == [kind]


@pytest.mark.parametrize(("step", "decay"), [(0, 0.1), (8, 0.5), (100_000, 0.9)])
def test_running_average(step: int, decay: float) -> None:
    state = TrainingState(replace(SMALL, average_decay=0.9), {})
    before = {key: value.clone() for key, value in state.average.state_dict().items()}
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter.add_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    state.step = step
    for group in state.optimizer.param_groups:
        group["lr"] = 0.0
    state.advance()
    for key, value in state.average.named_parameters():
        assert torch.allclose(value, before[key] + (1 - decay), atol=1e-5), key


def test_what_is_kept_is_the_average(tmp_path: Path) -> None:
    train(replace(ONE_STEP, steps=3), Frames(noise_frames(2)), [], tmp_path, workers=0)
    state, model = (load_file(tmp_path / f"{name}.safetensors") for name in ("state", "model"))
    key = "head.classify.weight"
    assert torch.equal(model[key], state[f"average.{key}"].half())
    assert not torch.equal(model[key], state[f"model.network.{key}"].half())
