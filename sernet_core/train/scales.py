"""Whether training shows objects at the size at which the model will see them."""

from __future__ import annotations

import math

from sernet_core.datasets import Dataset
from sernet_core.train.recipe import Recipe

_NEAR = 1.05  # times a bound of the range: no more than rounding of sizes


def scale_warning(recipe: Recipe, dataset: Dataset) -> str:
    """Words where the resize of a data set's frames for the model is none that training draws; else empty.

    Training resizes frames by `augment.scale`; a model brings each to as many pixels as `input_size` has. The
    size of the first and of the last frame stands for all.

    Args:
        recipe: Of the run.
        dataset: Frames to train on.

    Raises:
        InputError: A frame cannot be used.
    """
    low, high = recipe.augment.scale
    for index in (0, len(dataset) - 1):
        height, width = dataset[index].image.shape[:2]
        factor = math.sqrt(math.prod(recipe.input_size) / (width * height))
        if not low / _NEAR <= factor <= high * _NEAR:
            half = math.sqrt(high / low)
            fitting = f"[{factor / half:.2g}, {factor * half:.2g}]"
            seen = "x".join(map(str, recipe.input_size))
            return (
                f"the model will see the frames of {dataset.name}, {width}x{height}, with the pixels of "
                f"{seen} (input_size), a resize by {factor:.2g}; training resizes them by {low:g} to "
                f"{high:g}. The same range about it is augment: {{scale: {fitting}}}"
            )
    return ""
