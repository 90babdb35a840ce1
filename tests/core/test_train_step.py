"""A step of learning: optimisers, parts of a batch, norms, and the average of the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_run import SMALL, Frames, noise_frames

from sernet_core.checkpoint import load_checkpoint
from sernet_core.errors import ConfigError
from sernet_core.peers.registry import PeerConfig
from sernet_core.train import Recipe, train
from sernet_core.train.average import calibrated, norms_of, update_average
from sernet_core.train.distil import Teacher
from sernet_core.train.processes import Processes
from sernet_core.train.state import TrainingState
from sernet_core.train.step import Learner
from sernet_core.train.stream import TrainingStream, training_batches

PLAIN = replace(SMALL, synthetic_share=0.0, auxiliary_weight=0.4)
DROPOUT = replace(PLAIN, network=PeerConfig("deeplabv3plus-r18"))  # type: ignore[arg-type]
SGD = replace(PLAIN, optimizer="sgd", rate=1e-2, encoder_rate=1e-2)


def _learn(recipe: Recipe, steps: int = 2, teacher: Teacher | None = None) -> TrainingState:
    state = TrainingState(recipe, {})
    learner = Learner(state, torch.linspace(0.5, 2.0, 11), Processes(), teacher)
    batches = training_batches(TrainingStream(recipe, Frames(noise_frames(3))), 0, 0)
    for _, (image, label) in zip(range(steps), batches, strict=False):
        learner.learn(image, label, print)
    return state


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_is_the_formula(nesterov: bool) -> None:
    """v = m v + g + d w, then w -= r v or, looking ahead, w -= r (g + d w + m v); without decay for norms."""
    recipe = replace(SGD, nesterov=nesterov, momentum=0.8, weight_decay=0.1)
    state = TrainingState(recipe, {})
    expected = {name: value.detach().clone() for name, value in state.model.named_parameters()}
    velocity = {name: torch.zeros_like(value) for name, value in expected.items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(2):
        state.set_rates()
        for name, parameter in state.model.named_parameters():
            random = torch.randn(parameter.shape, generator=generator)
            parameter.grad = torch.empty_like(parameter).copy_(
                random
            )  # in its memory layout, as autograd does
            pretrained = "encoder" in name and "gain" not in name
            rate = recipe.rate_factor(step) * (recipe.encoder_rate if pretrained else recipe.rate)
            decay = 0.1 if parameter.ndim > 1 else 0.0
            slope = parameter.grad + decay * expected[name]
            velocity[name] = slope if step == 0 else 0.8 * velocity[name] + slope
            move = slope + 0.8 * velocity[name] if nesterov else velocity[name]
            expected[name] = expected[name] - rate * move
        state.advance()
    for name, parameter in state.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], msg=name)


@pytest.mark.parametrize("recipe", [SGD, replace(SGD, momentum=0.0, nesterov=False), PLAIN, DROPOUT,
                                    replace(PLAIN, freeze=("encoder", "head"))],
                         ids=["momentum", "none", "adamw", "dropout", "frozen parts"])  # fmt: skip
def test_resumed_in_the_middle_ends_the_same(recipe: Recipe, tmp_path: Path) -> None:
    whole = _learn(replace(recipe, average="last", average_from=0.2, calibrate=2), 4)
    first = _learn(whole.recipe, 2)
    first.save(tmp_path / "state.safetensors", {"losses": []})
    second = TrainingState(whole.recipe, {})
    second.restore(tmp_path / "state.safetensors")
    learner = Learner(second, torch.linspace(0.5, 2.0, 11), Processes())
    stream = TrainingStream(recipe, Frames(noise_frames(3)))
    for _, (image, label) in zip(range(2), training_batches(stream, 2, 0), strict=False):
        learner.learn(image, label, print)
    for one, two in ((whole.model, second.model), (whole.average, second.average)):
        values = two.state_dict()
        assert all(torch.equal(value, values[key]) for key, value in one.state_dict().items())


def test_states_of_before_are_resumed(tmp_path: Path) -> None:
    """A state that knows nothing of later settings had their defaults; one that differs is another run's."""
    path = tmp_path / "state.safetensors"
    state = TrainingState(PLAIN, {"train": "x"})
    state.save(path, {})
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    recipe, origin = asdict(PLAIN), {"train": "x"}
    later = "accumulate optimizer momentum nesterov ohem_threshold ohem_share region region_weight average "
    later += "average_from batch_norm calibrate extra_share"
    for key in later.split():
        del recipe[key]
    for key in ("white_balance", "shadow", "jpeg", "rare", "rare_crops", "paste"):
        del recipe["augment"][key]
    save_file(
        tensors, path, metadata | {"identity": json.dumps({"recipe": recipe, "origin": {"train": "x"}})}
    )
    assert TrainingState(PLAIN, origin).restore(path) == {}
    with pytest.raises(Exception, match="another recipe"):
        TrainingState(replace(PLAIN, optimizer="sgd"), origin).restore(path)


@pytest.mark.parametrize(("change", "near"), [
    ({}, 1e-4),
    ({"region": "dice", "auxiliary_weight": 0.0}, 1e-4),
    # Both sort pixels, and what is nearly equal may change places.
    ({"ohem_threshold": 0.1, "ohem_share": 0.3, "region": "lovasz"}, 5e-3),
], ids=["usual", "dice", "ohem and lovasz"])  # fmt: skip
def test_parts_give_the_gradient_of_the_whole(change: dict[str, object], near: float) -> None:
    """With frozen norms, to rounding; norms that see a part alone give another one."""
    recipe = replace(SGD, batch_size=4, batch_norm="frozen", **change)
    assert _distance(_learn(recipe), _learn(replace(recipe, accumulate=4))) < near
    recipe = replace(recipe, batch_norm="batch")
    assert _distance(_learn(recipe), _learn(replace(recipe, accumulate=4))) > 0.05


def test_the_largest_seed_learns() -> None:
    assert _learn(replace(PLAIN, seed=2**32 - 1), 1).step == 1


def test_too_few_crops_for_a_norm_are_named() -> None:
    with pytest.raises(ConfigError, match=r"batch_size: 1 crop\(s\) at once are too few for a norm"):
        _learn(replace(DROPOUT, batch_size=2, accumulate=2), 1)


def test_parts_learn_as_much_from_a_teacher(small_model: Path) -> None:
    teacher = Teacher(load_checkpoint(small_model), torch.device("cpu"), mixed=False)
    recipe = replace(SGD, batch_size=4, batch_norm="frozen", distil_weight=3.0)
    taught = _learn(recipe, teacher=teacher)
    assert _distance(taught, _learn(replace(recipe, accumulate=4), teacher=teacher)) < 5e-3
    assert _distance(taught, _learn(recipe)) > 0.05


def _distance(one: TrainingState, two: TrainingState) -> float:
    """Largest difference between weights of two models, over how far learning has moved them."""
    starts, others = TrainingState(one.recipe, {}).model, dict(two.model.named_parameters())
    found = []
    for name, start in starts.named_parameters():
        value = one.model.get_parameter(name).detach()
        found.append(
            float((value - others[name].detach()).norm() / (value - start.detach()).norm().clamp(min=1e-3))
        )
    return max(found)


@pytest.mark.parametrize(
    ("kind", "encoder", "decoder"),
    [("batch", True, True), ("frozen_encoder", False, True), ("frozen", False, False)],
)
def test_frozen_norms_keep_their_statistics(kind: str, encoder: bool, decoder: bool) -> None:
    recipe = replace(PLAIN, batch_norm=kind)
    before, after = TrainingState(recipe, {}).model.network, _learn(recipe, 1).model.network
    for part, moves in (("encoder", encoder), ("afn1", decoder)):
        pairs = zip(norms_of(getattr(before, part)), norms_of(getattr(after, part)), strict=True)
        for old, new in pairs:
            assert torch.equal(old.running_mean, new.running_mean) != moves
            assert not torch.equal(old.weight, new.weight)  # gains are learned in any case


def test_frozen_parts_stay_as_they_begin(tmp_path: Path) -> None:
    """Weights and statistics, of the average too, and where the kept statistics are computed anew."""
    frames, parts = Frames(noise_frames(3)), ("encoder", "context")
    recipe = replace(PLAIN, steps=2, calibrate=2, batch_norm="batch")
    train(recipe, frames, [], tmp_path / "first", workers=0)
    start = load_checkpoint(tmp_path / "first" / "model.safetensors")
    train(replace(recipe, freeze=parts), frames, [], tmp_path / "second", start=start, workers=0)
    kept = load_checkpoint(tmp_path / "second" / "model.safetensors").network.state_dict()
    for name, value in start.network.state_dict().items():
        if value.is_floating_point() and not name.endswith(".bias"):  # some stay at 0
            assert torch.equal(value, kept[name]) == name.startswith(parts), name
    state = _learn(replace(recipe, freeze=parts), 1)
    for name, parameter in state.model.named_parameters():
        assert (parameter.grad is None) == name.startswith(("network.encoder.", "network.context.")), name


@pytest.mark.parametrize("parts", [(), ("encoder", "pyramid")])
def test_a_frozen_part_drops_nothing(parts: tuple[str, ...]) -> None:
    state = TrainingState(replace(DROPOUT, freeze=parts), {})
    state.set_training()
    (dropout,) = (module for module in state.model.modules() if isinstance(module, torch.nn.Dropout))
    assert dropout.training == (not parts)


def test_average_over_the_last_part() -> None:
    """The plain mean of the weights after the steps 5 to 8 of 8, and before that the present ones."""
    recipe = replace(PLAIN, steps=8, average="last", average_from=0.5, calibrate=2)
    average, present = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    for step in range(8):
        with torch.no_grad():
            present.weight.fill_(float((step + 1) ** 2))
        update_average(average, present, recipe, step)
        if step < 4:
            assert torch.equal(average.weight, present.weight)
    assert average.weight[0, 0].item() == pytest.approx((25 + 36 + 49 + 64) / 4)


def test_calibrated_statistics_are_those_of_the_images() -> None:
    torch.manual_seed(0)
    network = TrainingState(PLAIN, {}).average
    images = [torch.randn(2, 3, 64, 96) * 2 + 1 for _ in range(3)]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    made = calibrated(network, images, [])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    first = torch.stack([network.encoder.conv1(image).mean((0, 2, 3)) for image in images]).mean(0)
    torch.testing.assert_close(made.encoder.bn1.running_mean, first.detach())
    assert made.encoder.bn1.momentum == network.encoder.bn1.momentum and not made.training
    held = calibrated(network, images, [network.encoder])
    assert all(
        torch.equal(one.running_mean, two.running_mean)
        for one, two in zip(norms_of(network.encoder), norms_of(held.encoder), strict=True)
    )
    assert not torch.equal(held.head.conv[1].running_mean, network.head.conv[1].running_mean)


def test_what_is_kept_is_calibrated(tmp_path: Path) -> None:
    """The kept norms are the averaged weights' own, the state's average stays as it was."""
    recipe = replace(PLAIN, steps=2, calibrate=4)
    train(recipe, Frames(noise_frames(3)), [], tmp_path / "with", workers=0)
    train(replace(recipe, calibrate=0), Frames(noise_frames(3)), [], tmp_path / "without", workers=0)
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("with", "without"))
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    kept, plain = (load_checkpoint(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    assert torch.equal(kept.network.encoder.conv1.weight, plain.network.encoder.conv1.weight)
    assert not torch.equal(kept.network.encoder.bn1.running_var, plain.network.encoder.bn1.running_var)


def test_calibration_sees_whole_batches(tmp_path: Path) -> None:
    """A norm behind image pooling has nothing to compute from a batch of one crop."""
    recipe = replace(DROPOUT, steps=2, calibrate=3)
    assert train(recipe, Frames(noise_frames(3)), [], tmp_path, workers=0)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"accumulate": 3}, "accumulate: 2 crops a step .* 3 equal parts"),
        ({"average": "last"}, "set calibrate to a number"),
        ({"batch_norm": "frozen", "calibrate": 8}, "there are no statistics"),
        ({"optimizer": "sgd", "momentum": 0.0}, "nesterov: needs a momentum"),
        ({"synthetic_share": 0.7, "extra_share": 0.5}, "not be more than 1 together"),
        ({"ohem_threshold": 1.5}, "ohem_threshold: must be from 0 to 1"),
    ],
)
def test_impossible_recipes_are_named(setting: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(PLAIN, **setting)
