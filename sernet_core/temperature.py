"""The temperature that brings a model's confidence near to the share of right pixels.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: temperature scaling.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from sernet_core.calibration import Reliability, reliability
from sernet_core.datasets import Dataset
from sernet_core.engines.base import NOT_FINITE, Source
from sernet_core.engines.choose import reference
from sernet_core.errors import EngineError, InputError
from sernet_core.evaluate.split import check_split
from sernet_core.input_size import InputSize
from sernet_core.labels import IGNORE

PIXELS = 4000  # of each frame
LOW, HIGH = 0.1, 10.0  # temperatures to look among


def calibrate(source: Source, dataset: Dataset) -> tuple[float, Reliability, Reliability]:
    """Temperature of a model's confidence by a split, and the reliability without it and with it.

    Args:
        source: The model, run by the reference engine at its own input size.
        dataset: Frames with ground truth that it has not been trained on.

    Raises:
        InputError: The class sets differ, nothing is labelled, or the split was trained on, where a model is
            surer than elsewhere.
    """
    check_split(dataset, source.info, source.path.name)
    logits, labels = sample_logits(source, dataset)
    temperature = fit_temperature(logits, labels)
    return temperature, reliability(logits, labels, 1.0), reliability(logits, labels, temperature)


def sample_logits(
    source: Source, dataset: Dataset, *, pixels: int = PIXELS, quiet: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits and classes of random labelled pixels of a split, the same ones each time.

    Args:
        source: The model, run by the reference engine at its own input size.
        dataset: Frames with ground truth.
        pixels: How many of each frame.
        quiet: No progress bar.

    Returns:
        float32 (N, K) and int64 (N,).

    Raises:
        InputError: Nothing is labelled.
        EngineError: The network's output is not finite.
    """
    rng = np.random.default_rng(0)
    sizing = InputSize.parse("model", source.info.input_size)
    logits, labels = [], []
    for sample in tqdm(dataset, f"sample {dataset.name}", unit="frame", leave=False, disable=quiet or None):
        known = np.flatnonzero(sample.label != IGNORE) if sample.label is not None else np.empty(0, int)
        if not known.size:
            continue
        chosen = torch.from_numpy(rng.choice(known, min(pixels, known.size), replace=False))
        height, width = sample.image.shape[:2]
        plan = source.plan((height, width), sizing.of(height, width))
        engine = reference(source, plan)
        with torch.inference_mode():
            full = engine.upsampler.full(engine.logits(plan.prepare(sample.image)))
            logits.append(full.flatten(1)[:, chosen].T.float().cpu())
        if not logits[-1].isfinite().all():
            raise EngineError(NOT_FINITE)
        assert sample.label is not None
        labels.append(torch.from_numpy(sample.label.ravel()).long()[chosen])
    if not logits:
        raise InputError(f"{dataset.name}: nothing is labelled, so nothing can be calibrated")
    return torch.cat(logits).clone(), torch.cat(labels)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Temperature with the smallest mean negative log-likelihood of the true classes.

    In the logarithm of the temperature that mean has one minimum, which golden sections close in on.

    Args:
        logits: (N, K).
        labels: int64 (N,).
    """

    def loss(log_temperature: float) -> float:
        return float(functional.cross_entropy(logits / math.exp(log_temperature), labels))

    low, high = math.log(LOW), math.log(HIGH)
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-3:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return round(math.exp((low + high) / 2), 4)
