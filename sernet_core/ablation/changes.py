"""Rows of an ablation from a file: what each changes in the recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sernet_core.ablation.rows import BASE, SETTINGS, Row
from sernet_core.config import load_yaml
from sernet_core.errors import ConfigError
from sernet_core.network import read_config
from sernet_core.train.recipe import Recipe

_NAME = re.compile(r"\w[\w ,.+-]{0,23}")  # it becomes a folder, and a label in charts


def load_rows(path: Path, recipe: Recipe) -> list[Row]:
    """The recipe itself, and a row for each name in a YAML file, with the settings that it changes.

    Args:
        path: A mapping from names to parts of a recipe; of `network` and `augment` too only what changes.
        recipe: What they change.

    Raises:
        ConfigError: The file cannot be read, or a row's name or settings cannot be.
    """
    rows = [Row(BASE, SETTINGS)]
    for name, changes in load_yaml(path).items():
        where = f"{path}: row '{name}'"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{where}: a row's name has letters, digits, spaces and ,.+- only, at most 24 of them"
            )
        if name == BASE:
            raise ConfigError(f"{where}: is the recipe itself, and always there; call this one otherwise")
        if not isinstance(changes, Mapping) or not changes:
            raise ConfigError(f"{where}: must be settings of the recipe that it changes")
        if not all(isinstance(changes.get(part, {}), Mapping) for part in ("network", "augment")):
            raise ConfigError(f"{where}: network and augment must be settings that it changes in them")
        try:
            row = _row(name, changes, recipe)
            changed = row.apply(recipe)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        for fixed in ("seed", "steps", "validate_every"):
            if getattr(changed, fixed) != getattr(recipe, fixed):
                raise ConfigError(f"{where}: {fixed} is the same in all rows")
        if changed == recipe:
            raise ConfigError(f"{where}: changes nothing: the recipe has these settings")
        rows.append(row)
    return rows


def _row(name: str, changes: Mapping[str, Any], recipe: Recipe) -> Row:
    settings = changes.get("network", {})
    network = read_config(asdict(recipe.network) | settings, f"row '{name}': network")
    rest = {key: value for key, value in changes.items() if key != "network"}
    return Row(name, SETTINGS, {key: getattr(network, key) for key in settings}, rest)
