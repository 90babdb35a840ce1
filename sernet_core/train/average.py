"""The average of the weights, which is what gets evaluated and kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sernet_core.network import SernetFormer
from sernet_core.train.recipe import Recipe


@torch.no_grad()
def update_average(average: nn.Module, present: nn.Module, recipe: Recipe, step: int) -> None:
    """Move averaged weights and norm statistics towards the present ones.

    Args:
        average: The average, changed in place.
        present: The network as the step has left it.
        recipe: "running" forgets exponentially, the first steps faster; "last" is the plain mean over the
            last part of the run (Izmailov et al., arXiv 1803.05407), before that the present network.
        step: Steps taken before this one.
    """
    if recipe.average == "running":
        share = 1 - min(recipe.average_decay, (1 + step) / (10 + step))
    else:
        share = 1 / max(1, step + 1 - math.ceil(recipe.average_from * recipe.steps))
    values = present.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(values[key], share)
        else:
            value.copy_(values[key])


@torch.no_grad()
def calibrated(network: SernetFormer, images: Iterable[Tensor], keep: Iterable[nn.Module]) -> SernetFormer:
    """A copy of a network whose batch norms' statistics are those of some images.

    Args:
        network: Its weights are kept.
        images: Normalised batches (N, 3, H, W); a norm's statistics become the mean over them.
        keep: Modules of the network within which statistics stay as they are.
    """
    copied = copy.deepcopy(network)
    held = {id(norm) for module in keep for norm in norms_of(module)}
    pairs = zip(norms_of(network), norms_of(copied), strict=True)
    fresh = [norm for original, norm in pairs if id(original) not in held]
    copied.eval()
    for norm in fresh:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for batch in images:
        copied(batch)
    for original, norm in zip(norms_of(network), norms_of(copied), strict=True):
        norm.momentum = original.momentum
    return copied.eval()


def norms_of(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Batch norms in a module, in its order."""
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def with_still_norms(network: nn.Module, recipe: Recipe) -> list[nn.Module]:
    """Parts of a network within which a recipe lets norm statistics stay as the run starts with them."""
    names = ["encoder"] if recipe.batch_norm == "frozen_encoder" else []
    return [network.get_submodule(name) for name in (*names, *recipe.freeze)]
