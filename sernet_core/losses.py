"""Training losses and the class weights that balance them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sernet_core.labels import IGNORE

Balance = Literal["none", "median", "sqrt_median"]


def class_weights(pixels: np.ndarray, images: np.ndarray, balance: Balance) -> Tensor:
    """Weights that lift rare classes.

    Median-frequency balancing (Eigen and Fergus, arXiv 1411.4734): a class's frequency is its pixels over
    all labelled pixels of the images in which it occurs; its weight is the median frequency over its own.

    Args:
        pixels: Pixels of each class, (K,).
        images: Labelled pixels of the images in which each class occurs, (K,).
        balance: "none" (ones), "median", or its square root, which is milder.

    Returns:
        float32 (K,); 1 for a class that never occurs.
    """
    weights = np.ones(len(pixels))
    seen = pixels > 0
    if balance != "none" and seen.any():
        frequency = pixels[seen] / images[seen]
        weights[seen] = np.median(frequency) / frequency
        if balance == "sqrt_median":
            weights = np.sqrt(weights)
    return torch.tensor(weights, dtype=torch.float32)


def segmentation_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy over labelled pixels.

    Args:
        logits: (N, K, h, w); resized to the target's size where it differs.
        target: int64 (N, H, W), 255 = void.
        weights: float32 (K,).

    Returns:
        Scalar; 0 (with a gradient) when nothing is labelled.
    """
    logits = logits.float()
    if logits.shape[-2:] != target.shape[-2:]:
        logits = functional.interpolate(logits, target.shape[-2:], mode="bilinear", align_corners=False)
    total = functional.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="sum")
    mass = torch.where(target == IGNORE, 0.0, weights[target.clamp(max=len(weights) - 1)]).sum()
    return total / mass.clamp(min=1.0)
