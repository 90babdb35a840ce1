"""Rows of an ablation from a file: what each changes in the recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sernet_core.ablation.rows import BASE, SETTINGS, Row, folder_name
from sernet_core.config import load_yaml
from sernet_core.errors import ConfigError
from sernet_core.network import read_config
from sernet_core.train.recipe import Recipe

_NAME = re.compile(r"\w[\w ,.+-]{0,17}")  # it becomes a folder, and a label in charts
_COMMON = ("seed", "steps", "validate_every", "batch_size", "input_size", "notice")  # of all rows


def load_rows(path: Path, recipe: Recipe) -> list[Row]:
    """The recipe itself, and a row for each name in a YAML file, with the settings that it changes.

    Args:
        path: A mapping from names to parts of a recipe; of `network` and `augment` too only what changes.
        recipe: What they change.

    Raises:
        ConfigError: The file cannot be read, or a row's name or settings cannot be.
    """
    rows = [Row(BASE, SETTINGS)]
    values = load_yaml(path)
    if not values:
        raise ConfigError(f"{path}: needs at least one row: a name and what it changes in the recipe")
    folders = {folder_name(BASE).casefold(): BASE}
    for name, changes in values.items():
        where = f"{path}: row '{name}'"
        _check_name(name, where)
        if other := folders.get(folder_name(name).casefold()):
            raise ConfigError(f"{where}: its runs would lie in the folders of row '{other}'; rename one")
        folders[folder_name(name).casefold()] = name
        try:
            rows.append(_row(name, changes, recipe))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    return rows


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"{where}: YAML reads this name as a {type(name).__name__}; put it in quotes")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a row's name has letters, digits, spaces and ,.+- only, at most 18")
    if name == BASE:
        raise ConfigError(f"{where}: is the recipe itself, and always there; call this one otherwise")
    if name == SETTINGS:
        raise ConfigError(f"{where}: is what --rows calls all rows of a file; call this one otherwise")


def _row(name: str, changes: Any, recipe: Recipe) -> Row:
    if not isinstance(changes, Mapping) or not changes:
        raise ConfigError("must be settings of the recipe that it changes")
    network, augment = changes.get("network", {}), changes.get("augment", {})
    if not (isinstance(network, Mapping) and isinstance(augment, Mapping)):
        raise ConfigError("network and augment must be settings that it changes in them")
    if fixed := next((key for key in _COMMON if key in changes), None):
        raise ConfigError(f"{fixed} is the same in all rows; set it in the recipe")
    built = read_config({**asdict(recipe.network), **network}, "network")
    settings = {key: getattr(built, key) for key in network}
    rest = {key: value for key, value in changes.items() if key != "network"}
    changed = Row(name, SETTINGS, settings, rest).apply(recipe)
    if changed == recipe:
        raise ConfigError("changes nothing: the recipe has these settings")
    # As the recipe reads them, however the file writes them.
    values = {key: getattr(changed, key) for key in rest if key != "augment"}
    if augment:
        values["augment"] = {key: getattr(changed.augment, key) for key in augment}
    return Row(name, SETTINGS, settings, values)
