"""The optimiser of a run, its parameter groups and its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from sernet_core.train.recipe import Recipe

# What an optimiser remembers of each parameter.
_MEMORY = {"adamw": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups by peak rate (encoder or new) and weight decay.

    Norms, biases and gate gains do not decay: every parameter below two dimensions. The gains of the
    encoder's gates are new: no pretrained network has them.
    """
    groups: dict[str, dict[str, Any]] = {
        f"{part}, {kind}": {
            "name": f"{part}, {kind}",
            "params": [],
            "peak": recipe.encoder_rate if part == "encoder" else recipe.rate,
            "weight_decay": recipe.weight_decay if kind == "weights" else 0.0,
        }
        for part in ("encoder", "new")
        for kind in ("weights", "norms and biases")
    }
    for name, parameter in model.named_parameters():
        pretrained = name.startswith("network.encoder.") and not name.endswith(".gain")
        part = "encoder" if pretrained else "new"
        kind = "weights" if parameter.ndim > 1 else "norms and biases"
        groups[f"{part}, {kind}"]["params"].append(parameter)
    return list(groups.values())


def build_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser; its rates are set before each step."""
    groups = parameter_groups(model, recipe)
    if recipe.optimizer == "adamw":
        return AdamW(groups, fused=True)
    return SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)


def optimizer_tensors(optimizer: Optimizer, model: nn.Module, recipe: Recipe) -> dict[str, Tensor]:
    """What the optimiser remembers, by parameter and kind."""
    found: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        memory = optimizer.state.get(parameter, {})
        found |= {
            f"{name}.{key}": memory[key] for key in _MEMORY[recipe.optimizer] if memory.get(key) is not None
        }
    return found


def restore_optimizer(
    optimizer: Optimizer, model: nn.Module, recipe: Recipe, tensors: Mapping[str, Tensor], step: int
) -> None:
    """Give an optimiser back what `optimizer_tensors` found after a number of steps."""
    for name, parameter in model.named_parameters():
        memory = {key: tensors.get(f"{name}.{key}") for key in _MEMORY[recipe.optimizer]}
        if any(value is None for value in memory.values()):
            continue
        # In the memory layout of the parameter, as the optimiser makes it.
        like = {
            key: torch.empty_like(parameter).copy_(value)
            for key, value in memory.items()
            if value is not None
        }
        if recipe.optimizer == "adamw":
            like["step"] = torch.tensor(float(step), device=parameter.device)
        optimizer.state[parameter] = like
