"""Whether training shows objects at the size at which the model will see them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sernet_core.datasets import Dataset
from sernet_core.train.recipe import Recipe

_NEAR = 1.05  # times a bound of the range: no more than rounding of sizes


def scale_warnings(recipe: Recipe, datasets: Sequence[Dataset]) -> Iterator[str]:
    """Words for each source of crops whose resize for the model is none that training draws.

    Training resizes frames by `augment.scale`; a model brings each to as many pixels as `input_size` has. The
    size of the first and of the last frame stands for all of a data set.

    Args:
        recipe: Of the run.
        datasets: Frames to train on, beside procedural scenes.

    Raises:
        InputError: A frame cannot be used.
    """
    for dataset in datasets if recipe.synthetic_share < 1 else ():
        for index in (0, len(dataset) - 1):
            height, width = dataset[index].image.shape[:2]
            if words := _warning(recipe, f"the frames of {dataset.name}", (width, height)):
                yield words
                break
    if recipe.synthetic_share and (
        words := _warning(recipe, "procedural scenes (synthetic_size)", recipe.synthetic_size)
    ):
        yield f"{words}; render scenes at the size of the data set's frames" if datasets else words


def _warning(recipe: Recipe, frames: str, size: tuple[int, int]) -> str:
    low, high = recipe.augment.scale
    factor = math.sqrt(math.prod(recipe.input_size) / math.prod(size))
    if low / _NEAR <= factor <= high * _NEAR:
        return ""
    half = math.sqrt(high / low)
    own, seen = ("x".join(map(str, pixels)) for pixels in (size, recipe.input_size))
    return (
        f"the model will see {frames}, {own}, with the pixels of {seen} (input_size), a resize by "
        f"{factor:.2g}; training resizes them by {low:g} to {high:g}. The same range about it is augment: "
        f"{{scale: [{factor / half:.2g}, {factor * half:.2g}]}}"
    )
