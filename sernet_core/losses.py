"""Training losses and the class weights that balance them.

Every loss is a sum over images whose share in the batch depends on the labels alone (`Criterion.extent`). So
the losses of a batch's parts, wherever and in whatever order they are computed, add up to that of the whole.

A label is a class's id, 255 for void, or `OPEN` + id: the pixel is of this class or of one of those that its
data set leaves unlabelled, whose objects are labelled there as what stands behind them. At such a pixel the
unlabelled classes are left out of the softmax: it teaches which of the labelled ones it is, and nothing of
the others. (Adding their probabilities to the label's own would teach them to spread, for no pixel of that
set would ever speak against them.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sernet_core.labels import IGNORE

Balance = Literal["none", "fourth_root_median", "sqrt_median", "median"]
EXPONENTS: dict[Balance, float] = {"none": 0.0, "fourth_root_median": 0.25, "sqrt_median": 0.5, "median": 1.0}
Region = Literal["none", "lovasz", "dice"]
OPEN = 256
"""Added to a label whose pixel may also be of a class that its data set leaves unlabelled."""


def class_weights(pixels: np.ndarray, images: np.ndarray, balance: Balance) -> Tensor:
    """Weights that lift rare classes.

    Median-frequency balancing (Eigen and Fergus, arXiv 1411.4734): a class's frequency is its pixels over
    all labelled pixels of the images in which it occurs; its weight is the median frequency over its own.

    Args:
        pixels: Pixels of each class, (K,).
        images: Labelled pixels of the images in which each class occurs, (K,).
        balance: "none" (ones), "median", or its square or fourth root, which are milder.

    Returns:
        float32 (K,); 1 for a class that never occurs.
    """
    weights = np.ones(len(pixels))
    seen = pixels > 0
    if seen.any():
        frequency = pixels[seen] / images[seen]
        weights[seen] = (np.median(frequency) / frequency) ** EXPONENTS[balance]
    return torch.tensor(weights, dtype=torch.float32)


@dataclass(frozen=True)
class HardPixels:
    """Which pixels count in online hard example mining (Shrivastava et al., arXiv 1604.03540, by pixels).

    Attributes:
        threshold: Those whose class has a lower probability than this, 0..1.
        share: At least this share of an image's labelled pixels, the hardest ones.
    """

    threshold: float
    share: float

    def mask(self, losses: Tensor, labelled: Tensor) -> Tensor:
        """The pixels of one image that count.

        Args:
            losses: Cross-entropy without weights, (H, W).
            labelled: bool (H, W).

        Returns:
            bool (H, W).
        """
        bound = -math.log(self.threshold) if self.threshold else math.inf
        hard = (losses > bound) & labelled
        wanted = math.ceil(self.share * int(labelled.sum()))
        if wanted > int(hard.sum()):
            hardest = losses.masked_fill(~labelled, -1.0).flatten().topk(wanted).values[-1]
            hard = (losses >= hardest) & labelled
        return hard


class Criterion:
    """The loss of a training step.

    Weighted cross-entropy over pixels, of all or of the hard ones; the same on the auxiliary head; and a loss
    over regions. An image weighs in the first as much as its labelled pixels, and in the last as any other.

    Args:
        weights: float32 (K,), of the classes.
        hard: Which pixels count; None counts all.
        region: Loss over regions.
        region_weight: Its weight.
        auxiliary_weight: Weight of the auxiliary head's loss.
        unlabelled: Ids of the classes that an `OPEN` label leaves open.
    """

    def __init__(
        self,
        weights: Tensor,
        *,
        hard: HardPixels | None = None,
        region: Region = "none",
        region_weight: float = 0.0,
        auxiliary_weight: float = 0.0,
        unlabelled: Sequence[int] = (),
    ) -> None:
        self.weights = weights
        self.hard = hard
        self.region = region
        self.region_weight = region_weight
        self.auxiliary_weight = auxiliary_weight
        self.unlabelled = tuple(unlabelled)

    def extent(self, target: Tensor) -> Tensor:
        """What labels (N, H, W) weigh: float32 (2,), class weights of labelled pixels and labelled images."""
        mass = _pixel_weights(target, self.weights).sum()
        return torch.stack([mass, (target != IGNORE).flatten(1).any(1).sum().to(mass.dtype)])

    def __call__(self, logits: Tensor, auxiliary: Tensor | None, target: Tensor, extent: Tensor) -> Tensor:
        """Share of some images in the loss of their batch.

        Args:
            logits: (N, K, h, w); resized to the target's size where it differs.
            auxiliary: The auxiliary head's, (N, K, h, w), or None.
            target: int64 (N, H, W), labels.
            extent: What the labels of the whole batch weigh, the sum of `extent` over its parts.

        Returns:
            Scalar; 0 (with a gradient) when nothing is labelled.
        """
        pixels, images = extent.clamp(min=1.0)
        large, ids = self._between_labelled(_resized(logits, target), target), _ids(target)
        loss = pixel_loss(large, ids, self.weights, self.hard) / pixels
        if self.region != "none" and self.region_weight:
            loss = loss + self.region_weight * _REGIONS[self.region](large, ids) / images
        if auxiliary is not None:
            second = self._between_labelled(_resized(auxiliary, target), target)
            loss = loss + self.auxiliary_weight * pixel_loss(second, ids, self.weights, self.hard) / pixels
        return loss

    def _between_labelled(self, logits: Tensor, target: Tensor) -> Tensor:
        """The logits, with those of unlabelled classes at minus infinity where a label leaves them open."""
        if not self.unlabelled:
            return logits
        left_out = logits.new_zeros(logits.shape[1], dtype=torch.bool)
        left_out[list(self.unlabelled)] = True
        return logits.masked_fill((target >= OPEN)[:, None] & left_out[:, None, None], -math.inf)


def pixel_loss(logits: Tensor, target: Tensor, weights: Tensor, hard: HardPixels | None = None) -> Tensor:
    """Weighted cross-entropy, the sum over labelled pixels.

    Args:
        logits: (N, K, H, W).
        target: int64 (N, H, W), ids or 255.
        weights: float32 (K,).
        hard: Where given, an image's hard pixels stand for all of its labelled ones: their mean loss counts
            with the weight of all.
    """
    losses = functional.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
    mass = _pixel_weights(target, weights)
    if hard is None:
        return (losses * mass).sum()
    total = losses.sum() * 0.0
    for loss, weight in zip(losses, mass, strict=True):
        kept = weight * hard.mask(loss.detach(), weight > 0)
        total = total + (loss * kept).sum() * weight.sum() / kept.sum().clamp(min=1e-6)
    return total


def lovasz_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Lovász-softmax loss (Berman et al., arXiv 1705.08790, equation 9), the sum over images.

    Of each image the mean over the classes in it of the Lovász extension of `1 - IoU`, at the errors
    `1 - p` on the class's pixels and `p` elsewhere.

    Args:
        logits: (N, K, H, W).
        target: int64 (N, H, W), ids or 255.
    """
    total = logits[:0].sum()  # 0, with a gradient
    for probabilities, truth in _labelled_pixels(logits, target):
        errors, order = (truth - probabilities).abs().sort(dim=1, descending=True)
        found = truth.gather(1, order)
        size = truth.sum(1, keepdim=True)
        # 1 - IoU when exactly the first pixels in this order are wrong, for every number of them.
        jaccard = 1.0 - (size - found.cumsum(1)) / (size + (1.0 - found).cumsum(1))
        gains = jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
        total = total + (errors * gains).sum(1).mean()
    return total


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss (after Milletari et al., arXiv 1606.04797, without squares), the sum over images.

    Of each image the mean over the classes in it of `1 - 2 |p t| / (|p| + |t|)`.

    Args:
        logits: (N, K, H, W).
        target: int64 (N, H, W), ids or 255.
    """
    total = logits[:0].sum()  # 0, with a gradient
    for probabilities, truth in _labelled_pixels(logits, target):
        overlap = (probabilities * truth).sum(1)
        total = total + (1.0 - 2.0 * overlap / (probabilities.sum(1) + truth.sum(1))).mean()
    return total


_REGIONS = {"lovasz": lovasz_softmax, "dice": dice_loss}


def _labelled_pixels(logits: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Of each image with a label: probabilities and truth (0 or 1), (C, P) over its classes and pixels."""
    found = []
    for scores, label in zip(logits.float().softmax(1), target, strict=True):
        labelled = label != IGNORE
        if labelled.any():
            ids = label[labelled]
            present = ids.unique()
            truth = (ids == present[:, None]).to(scores.dtype)
            found.append((scores[:, labelled][present], truth))
    return found


def _ids(target: Tensor) -> Tensor:
    """Labels without what is open about them."""
    return torch.where(target >= OPEN, target - OPEN, target)


def _pixel_weights(target: Tensor, weights: Tensor) -> Tensor:
    ids = _ids(target)
    return torch.where(ids == IGNORE, 0.0, weights[ids.clamp(max=len(weights) - 1)])


def _resized(logits: Tensor, target: Tensor) -> Tensor:
    logits = logits.float()
    if logits.shape[-2:] == target.shape[-2:]:
        return logits
    return functional.interpolate(logits, target.shape[-2:], mode="bilinear", align_corners=False)
