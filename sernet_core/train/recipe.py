"""The recipe: every setting of a training run, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sernet_core import config
from sernet_core.augment import AugmentConfig
from sernet_core.errors import ConfigError
from sernet_core.input_size import MIN_SIZE
from sernet_core.losses import Balance, Region
from sernet_core.network import NetworkConfig, read_config

_NOT_NEGATIVE = (
    "rate",
    "encoder_rate",
    "weight_decay",
    "poly_power",
    "auxiliary_weight",
    "distil_weight",
    "region_weight",
    "warmup_steps",
    "calibrate",
    "seed",
)
_SHARES = (
    "synthetic_share",
    "extra_share",
    "momentum",
    "ohem_threshold",
    "ohem_share",
    "average_decay",
    "average_from",
)

SequenceShares = Literal["by_length", "equally"]
OptimizerKind = Literal["adamw", "sgd"]
NormKind = Literal["batch", "synchronised", "frozen_encoder", "frozen"]


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Attributes:
        steps: Optimiser steps of the whole run.
        network: The network to train.
        augment: Changes to each training frame.
        input_size: Width and height at which the network will be used; kept in the checkpoint.
        batch_size: Crops a step, over all parts and processes.
        accumulate: Parts that a process computes its crops in, one after the other, to save memory.
        synthetic_share: Share of crops cut from procedural scenes, 0..1.
        synthetic_size: Width and height at which those scenes are rendered, as the data set's frames are.
        extra_share: Share of crops cut from the second data set of the run, 0..1.
        sequences: How often the data set's recorded sequences are drawn from (the beginnings of names, see
            `datasets.selection`): "by_length", every frame as often as any other, or "equally".
        optimizer: "adamw", or "sgd" with momentum.
        momentum: Of SGD.
        nesterov: Whether SGD's momentum looks ahead (Nesterov).
        rate: Peak learning rate of the parts that start from nothing.
        encoder_rate: Peak learning rate of the encoder.
        weight_decay: Decoupled with AdamW, added to the gradient with SGD; not applied to norms, biases and
            gate gains.
        warmup_steps: Steps over which the rates rise linearly from 0.
        poly_power: The rates then fall as `(1 - progress) ** poly_power`.
        auxiliary_weight: Weight of the auxiliary loss on layer3; 0 leaves the head out.
        balance: Class weights: "none", "fourth_root_median", "sqrt_median" or "median".
        distil_weight: Weight of the divergence from the teacher, where the run has one, beside the loss of 1
            on the labels.
        distil_temperature: Softens both distributions before they are compared.
        ohem_threshold: Online hard example mining: of each crop, only pixels whose class has a lower
            probability than this count; 0 counts all.
        ohem_share: Share of a crop's labelled pixels that count at least, the hardest ones.
        region: Loss over whole regions that is added: "none", "lovasz" or "dice".
        region_weight: Its weight.
        average: Which average of the weights gets evaluated and kept: "running" (exponential, over the whole
            run) or "last" (the plain mean of every step's weights over the last part of the run).
        average_decay: Decay a step of the running average.
        average_from: Progress of the run, 0..1, from which on "last" averages.
        batch_norm: What normalises while training: "batch" (the part of the batch that a process computes at
            once), "synchronised" (such parts of all processes; GPUs only), "frozen_encoder" (in the encoder
            its running statistics, which stay) or "frozen" (those of the whole network).
        freeze: Parts of the network, such as "encoder", that stay as the run starts with them, weights and
            norm statistics; only what is left learns, with less time and memory a step.
        calibrate: Training crops, rounded up to whole batches, from which the averaged weights' norm
            statistics are computed anew before each validation; 0 keeps their average.
        precision: "fp32", or "bf16" for mixed precision.
        validate_every: Steps between validations.
        seed: Of the initial weights and of every random choice about data, below 2**32.
        notice: Terms that go with the weights, e.g. those of the data.
    """

    steps: int
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    input_size: tuple[int, int] = (480, 360)
    batch_size: int = 4
    accumulate: int = 1
    synthetic_share: float = 0.0
    synthetic_size: tuple[int, int] = (480, 360)
    extra_share: float = 0.0
    sequences: SequenceShares = "by_length"
    optimizer: OptimizerKind = "adamw"
    momentum: float = 0.9
    nesterov: bool = True
    rate: float = 1e-3
    encoder_rate: float = 1e-4
    weight_decay: float = 1e-2
    warmup_steps: int = 100
    poly_power: float = 0.9
    auxiliary_weight: float = 0.4
    balance: Balance = "sqrt_median"
    distil_weight: float = 1.0
    distil_temperature: float = 1.0
    ohem_threshold: float = 0.0
    ohem_share: float = 0.1
    region: Region = "none"
    region_weight: float = 0.5
    average: Literal["running", "last"] = "running"
    average_decay: float = 0.998
    average_from: float = 0.75
    batch_norm: NormKind = "batch"
    freeze: tuple[str, ...] = ()
    calibrate: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    validate_every: int = 500
    seed: int = 0
    notice: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "freeze", tuple(self.freeze))
        for name in ("steps", "batch_size", "accumulate", "validate_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: needs at least 1, got {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: must not be negative, got {getattr(self, name)}")
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"{name}: must be a finite number, got {getattr(self, name)}")
        if not 0 < self.distil_temperature < math.inf:
            raise ConfigError(f"distil_temperature: must be positive, got {self.distil_temperature}")
        if self.seed >= 2**32:
            raise ConfigError(f"seed: must be below 2**32, got {self.seed}")
        for name in ("input_size", "synthetic_size"):
            if min(getattr(self, name)) < MIN_SIZE:
                raise ConfigError(
                    f"{name}: needs at least {MIN_SIZE}x{MIN_SIZE} pixels, got {getattr(self, name)}"
                )
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: must be from 0 to 1, got {getattr(self, name)}")
        self._check_pairs()

    def _check_pairs(self) -> None:
        """Refuse settings that contradict each other."""
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"accumulate: {self.batch_size} crops a step (batch_size) cannot be cut into "
                f"{self.accumulate} equal parts"
            )
        if self.synthetic_share + self.extra_share > 1:
            raise ConfigError(
                "synthetic_share and extra_share: must not be more than 1 together, got "
                f"{self.synthetic_share} and {self.extra_share}"
            )
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            raise ConfigError("nesterov: needs a momentum above 0; set nesterov: false")
        if self.average == "last" and self.batch_norm != "frozen" and not self.calibrate:
            raise ConfigError(
                "average: last needs the norm statistics of the averaged weights, which no step has seen: "
                "set calibrate to a number of crops, e.g. 200"
            )
        if self.batch_norm == "frozen" and self.calibrate:
            raise ConfigError(
                "calibrate: with batch_norm: frozen there are no statistics to compute; set it to 0"
            )

    def rate_factor(self, step: int) -> float:
        """Learning rate at a step (from 0) over its peak: linear warm-up, then polynomial decay."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warmup * (1 - step / self.steps) ** self.poly_power


def read_recipe(values: Mapping[str, Any]) -> Recipe:
    """A recipe from what `dataclasses.asdict` made of one; settings that it is too old to know have defaults.

    Raises:
        ConfigError: Not a recipe's.
    """
    rest = {key: value for key, value in values.items() if key != "network"}
    network = read_config(values.get("network", {}), "network")  # a peer's has other fields than ours
    return replace(config.build(Recipe, rest), network=network)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file.

    Raises:
        ConfigError: Unreadable file, unknown key (the nearest known one is named) or impossible value.
    """
    try:
        return config.build(Recipe, config.load_yaml(path))
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f"{path}: {text}") from error
