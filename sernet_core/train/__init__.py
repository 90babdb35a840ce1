"""Training: recipe, data stream, resumable state, and the loop that joins them."""

from sernet_core.train.loop import train
from sernet_core.train.recipe import Recipe, load_recipe

__all__ = ["Recipe", "load_recipe", "train"]
