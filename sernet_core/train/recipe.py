"""The recipe: every setting of a training run, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sernet_core import config
from sernet_core.augment import AugmentConfig
from sernet_core.errors import ConfigError
from sernet_core.losses import Balance
from sernet_core.network import MIN_SIZE, NetworkConfig

_NOT_NEGATIVE = (
    "rate",
    "encoder_rate",
    "weight_decay",
    "auxiliary_weight",
    "distil_weight",
    "warmup_steps",
    "seed",
)


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Attributes:
        steps: Optimiser steps of the whole run.
        network: The network to train.
        augment: Changes to each training frame.
        input_size: Width and height at which the network will be used; kept in the checkpoint.
        batch_size: Crops a step.
        synthetic_share: Share of crops cut from procedural scenes, 0..1.
        synthetic_size: Width and height at which those scenes are rendered, as the data set's frames are.
        rate: Peak learning rate of the parts that start from nothing.
        encoder_rate: Peak learning rate of the encoder.
        weight_decay: Of AdamW; not applied to norms, biases and gate gains.
        warmup_steps: Steps over which the rates rise linearly from 0.
        poly_power: The rates then fall as `(1 - progress) ** poly_power`.
        auxiliary_weight: Weight of the auxiliary loss on layer3; 0 leaves the head out.
        balance: Class weights: "none", "median" or "sqrt_median".
        distil_weight: Weight of the divergence from the teacher, where the run has one, beside the loss of 1
            on the labels.
        distil_temperature: Softens both distributions before they are compared.
        average_decay: Decay a step of the running average of weights, which is what gets evaluated and kept.
        precision: "fp32", or "bf16" for mixed precision.
        validate_every: Steps between validations.
        seed: Of the initial weights and of every random choice about data.
        notice: Terms that go with the weights, e.g. those of the data.
    """

    steps: int
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    input_size: tuple[int, int] = (480, 360)
    batch_size: int = 4
    synthetic_share: float = 0.0
    synthetic_size: tuple[int, int] = (480, 360)
    rate: float = 1e-3
    encoder_rate: float = 1e-4
    weight_decay: float = 1e-2
    warmup_steps: int = 100
    poly_power: float = 0.9
    auxiliary_weight: float = 0.4
    balance: Balance = "sqrt_median"
    distil_weight: float = 1.0
    distil_temperature: float = 1.0
    average_decay: float = 0.998
    precision: Literal["fp32", "bf16"] = "fp32"
    validate_every: int = 500
    seed: int = 0
    notice: str = ""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validate_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: needs at least 1, got {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: must not be negative, got {getattr(self, name)}")
        if self.distil_temperature <= 0:
            raise ConfigError(f"distil_temperature: must be positive, got {self.distil_temperature}")
        if self.seed >= 2**63:
            raise ConfigError(f"seed: must be below 2**63, got {self.seed}")
        for name in ("input_size", "synthetic_size"):
            if min(getattr(self, name)) < MIN_SIZE:
                raise ConfigError(
                    f"{name}: needs at least {MIN_SIZE}x{MIN_SIZE} pixels, got {getattr(self, name)}"
                )
        for name in ("synthetic_share", "average_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: must be from 0 to 1, got {getattr(self, name)}")

    def rate_factor(self, step: int) -> float:
        """Learning rate at a step (from 0) over its peak: linear warm-up, then polynomial decay."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warmup * (1 - step / self.steps) ** self.poly_power


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
