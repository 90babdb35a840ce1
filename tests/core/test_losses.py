"""Loss and class weights against plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sernet_core.losses import (
    OPEN,
    Criterion,
    HardPixels,
    Region,
    class_weights,
    dice_loss,
    lovasz_softmax,
    pixel_loss,
)


def segmentation_loss(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy of a whole batch, by the criterion of the training step."""
    criterion = Criterion(weights)
    return criterion(logits, None, target, criterion.extent(target))


def test_median_frequency() -> None:
    pixels, images = np.array([10, 40, 0, 90]), np.array([100, 100, 0, 100])
    assert class_weights(pixels, images, "median").tolist() == pytest.approx([4, 1, 1, 40 / 90])
    assert class_weights(pixels, images, "sqrt_median").tolist() == pytest.approx([2, 1, 1, (40 / 90) ** 0.5])
    milder = class_weights(pixels, images, "fourth_root_median").tolist()
    assert milder == pytest.approx([2**0.5, 1, 1, (40 / 90) ** 0.25])
    assert class_weights(pixels, images, "none").tolist() == [1, 1, 1, 1]


def test_loss_ignores_void_and_weighs_classes() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 5))
    target[0, 0] = 255
    weights = torch.tensor([0.5, 1.0, 3.0])
    expected = torch.nn.functional.cross_entropy(logits, target, weights, ignore_index=255)
    assert torch.allclose(segmentation_loss(logits, target, weights), expected)


def test_nothing_labelled_is_no_nan() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((1, 4, 4), 255), torch.ones(3))
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(logits.grad).all()


def test_small_logits_are_resized() -> None:
    loss = segmentation_loss(torch.zeros(1, 4, 2, 2), torch.zeros(1, 8, 8, dtype=torch.int64), torch.ones(4))
    assert loss.item() == pytest.approx(np.log(4))


def _scene(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (3, 4, 6, 8) and labels with void, of which the last image has nothing but."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, 6, 8, generator=generator)
    target = torch.randint(0, 4, (3, 6, 8), generator=generator)
    target[0, :2] = 255
    target[1][target[1] == 2] = 0  # a class that this image has not
    target[2] = 255
    return logits, target


WEIGHTS = torch.tensor([0.5, 1.0, 3.0, 2.0])


@pytest.mark.parametrize("region", ["none", "lovasz", "dice"])
@pytest.mark.parametrize("hard", [None, HardPixels(0.3, 0.2)], ids=["all", "hard"])
def test_parts_of_a_batch_add_up(region: Region, hard: HardPixels | None) -> None:
    """To the loss and the gradient of the whole, however it is cut."""
    criterion = Criterion(WEIGHTS, hard=hard, region=region, region_weight=0.5, auxiliary_weight=0.4)
    logits, target = _scene()
    auxiliary = _scene(1)[0][..., ::2, ::2]
    extent = criterion.extent(target)
    whole, cut = (logits.clone().requires_grad_() for _ in range(2))
    loss = criterion(whole, auxiliary, target, extent)
    loss.backward()
    total = 0.0
    for part in (slice(0, 1), slice(1, 3)):
        one = criterion(cut[part], auxiliary[part], target[part], extent)
        one.backward()
        total += one.item()
    assert total == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(cut.grad, whole.grad)
    assert (whole.grad[2] == 0).all() and (whole.grad[:2] != 0).any()


def test_hard_pixels() -> None:
    """Those below the threshold; the hardest ones where they are too few; never void."""
    losses = -torch.tensor([[0.9, 0.8, 0.5, 0.2, 0.1]]).log()
    labelled = torch.tensor([[True, True, True, True, False]])
    assert HardPixels(0.6, 0.0).mask(losses, labelled).tolist() == [[False, False, True, True, False]]
    assert HardPixels(0.1, 0.0).mask(losses, labelled).sum() == 0
    assert HardPixels(0.1, 0.25).mask(losses, labelled).tolist() == [[False, False, False, True, False]]
    assert HardPixels(0.6, 0.75).mask(losses, labelled).tolist() == [[False, True, True, True, False]]
    assert HardPixels(0.6, 1.0).mask(losses, labelled).equal(labelled)


def test_hard_pixels_stand_for_their_image() -> None:
    """The mean over an image's hard pixels counts with the weight of all its labelled ones."""
    logits, target = _scene()
    hard = HardPixels(0.3, 0.1)
    expected = 0.0
    for scores, label in zip(logits[:2], target[:2], strict=True):
        valid = label != 255
        p = scores.softmax(0).gather(0, label.clamp(max=3)[None])[0]
        kept = valid & (p < 0.3)
        assert 0.1 * valid.sum() < kept.sum() < valid.sum()
        weights = WEIGHTS[label.clamp(max=3)]
        expected += weights[valid].sum() * (-p.log() * weights)[kept].sum() / weights[kept].sum()
    assert pixel_loss(logits, target, WEIGHTS, hard).item() == pytest.approx(expected.item(), rel=1e-5)
    assert abs(pixel_loss(logits, target, WEIGHTS).item() - expected.item()) > 1


def test_lovasz_of_hard_decisions_is_the_iou() -> None:
    """At probabilities of 0 and 1 the extension is the function itself: 1 - IoU, the mean over classes."""
    _, target = _scene()
    decided = torch.randint(0, 4, target.shape, generator=torch.Generator().manual_seed(3))
    logits = torch.nn.functional.one_hot(decided, 4).permute(0, 3, 1, 2) * 200.0
    expected = 0.0
    for made, label in zip(decided[:2], target[:2], strict=True):
        valid = label != 255
        losses = []
        for number in label[valid].unique():
            said, is_so = (made == number) & valid, label == number
            losses.append(1 - (said & is_so).sum() / (said | is_so).sum())
        expected += torch.stack(losses).mean().item()
    assert lovasz_softmax(logits, target).item() == pytest.approx(expected, abs=1e-5)


def test_dice_of_hard_decisions() -> None:
    target = torch.tensor([[[0, 0, 1, 255]]])
    logits = torch.nn.functional.one_hot(torch.tensor([[[0, 1, 1, 0]]]), 3).permute(0, 3, 1, 2) * 200.0
    assert dice_loss(logits, target).item() == pytest.approx(((1 - 2 / 3) + (1 - 2 / 3)) / 2)


@pytest.mark.parametrize("region", ["none", "lovasz", "dice"])
@pytest.mark.parametrize("hard", [None, HardPixels(0.7, 0.1)])
def test_an_open_label_is_between_labelled_classes(region: Region, hard: HardPixels | None) -> None:
    """What the losses make of two classes, although the network has four."""
    logits, labels = _scene()
    labels = torch.where(labels == 255, 255, labels % 2)  # 0 and 1 are labelled, 2 and 3 not
    four = logits.clone().requires_grad_()
    two = logits[:, :2].clone().requires_grad_()
    settings = {"hard": hard, "region": region, "region_weight": 0.5, "auxiliary_weight": 0.4}
    open_ended = Criterion(WEIGHTS, **settings, unlabelled=(2, 3))
    target = torch.where(labels == 255, 255, labels + OPEN)
    extent = open_ended.extent(target)
    assert extent.equal(open_ended.extent(labels))
    loss = open_ended(four, four * 0.5, target, extent)
    plain = Criterion(WEIGHTS[:2], **settings)(two, two * 0.5, labels, extent)
    assert loss.item() == pytest.approx(plain.item())
    loss.backward()
    plain.backward()
    torch.testing.assert_close(four.grad[:, :2], two.grad)
    assert not four.grad[:, 2:].any()  # neither for the unlabelled classes nor against them


def test_open_labels_leave_other_labels_alone() -> None:
    """Images of two data sets in one batch: each has its own loss."""
    logits, labels = _scene()
    criterion = Criterion(WEIGHTS, region="lovasz", region_weight=0.5, unlabelled=(2, 3))
    mixed = labels.clone()
    mixed[0] = torch.where(labels[0] == 255, 255, labels[0] % 2 + OPEN)
    extent = criterion.extent(mixed)
    apart = [criterion(logits[one : one + 1], None, mixed[one : one + 1], extent) for one in range(2)]
    assert criterion(logits, None, mixed, extent).item() == pytest.approx(sum(apart).item())
    assert apart[1].item() == pytest.approx(
        Criterion(WEIGHTS, region="lovasz", region_weight=0.5)(logits[1:], None, labels[1:], extent).item()
    )


@pytest.mark.parametrize("loss", [lovasz_softmax, dice_loss])
def test_region_losses_fall_towards_the_truth(loss: Callable[..., torch.Tensor]) -> None:
    logits, target = _scene()
    logits.requires_grad_()
    before = loss(logits, target)
    before.backward()
    assert torch.isfinite(logits.grad).all()
    assert loss(logits - 5 * logits.grad, target) < before
    right = torch.nn.functional.one_hot(target.clamp(max=3), 4).permute(0, 3, 1, 2) * 200.0
    assert loss(right, target).item() == pytest.approx(0, abs=1e-6)
