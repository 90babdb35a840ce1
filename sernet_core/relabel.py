"""What a mask's ids mean to those who read it: names and colours, and the remap from the model's classes.

A remap is a CSV file with the columns `from,to,name`: class name of the model (`void` for unlabeled pixels,
empty for a class that the model does not have), the id that it becomes, and what that id is called.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from sernet_core.errors import ConfigError, unknown_name
from sernet_core.labels import IGNORE, ClassSet, blend

VOID = "void"


@dataclass(frozen=True)
class Labeling:
    """Ids, names and colours of published masks.

    Attributes:
        names: Name of each id, in rising order.
        colors: uint8 (256, 3) RGB by id; ids without a name are black.
        of_classes: The ids that stand for a class of the model.
        table: Published id of each id of the model, uint8 (256,); None where they are the same.
    """

    names: Mapping[int, str]
    colors: np.ndarray
    of_classes: Sequence[int]
    table: np.ndarray | None = None

    @classmethod
    def of(cls, classes: ClassSet) -> Labeling:
        """The model's own classes and colours."""
        return cls(dict(enumerate(classes.names)), classes.colors, range(len(classes)))

    @classmethod
    def read(cls, path: Path, classes: ClassSet) -> Labeling:
        """A remap file for a model; a published class takes the colour of the first one that becomes it.

        Args:
            path: CSV file with the columns from, to, name.
            classes: Classes of the model; each must be in the file.

        Raises:
            ConfigError: The file cannot be read, or does not fit the model.
        """
        table = np.full(256, IGNORE, np.uint8)
        names: dict[int, str] = {}
        colors = np.zeros((256, 3), np.uint8)
        missing = list(classes.names)
        for line, source, target, name in _rows(path):
            if names.setdefault(target, name) != name:
                raise ConfigError(f"{path}:{line}: id {target} is called '{name}', before '{names[target]}'")
            if source == VOID:
                table[len(classes) :] = target
            elif source:
                if source not in missing:
                    known = source in classes.names
                    words = unknown_name(f"class of {classes.name}", source, classes.names)
                    raise ConfigError(f"{path}:{line}: {f'{source} stands twice' if known else words}")
                missing.remove(source)
                table[classes.id_of(source)] = target
                if not colors[target].any():
                    colors[target] = classes.palette[classes.id_of(source)]
        if missing:
            raise ConfigError(f"{path}: says nothing about {', '.join(missing)} of {classes.name}")
        return cls(dict(sorted(names.items())), colors, np.unique(table[: len(classes)]).tolist(), table)

    def with_palette(self, palette: Sequence[int]) -> Labeling:
        """The same ids with other colours.

        Args:
            palette: One 24-bit colour (0xRRGGBB) for each named id, in rising order of ids.

        Raises:
            ConfigError: There are more or fewer colours than names.
        """
        if len(palette) != len(self.names):
            raise ConfigError(
                f"color_palette: has {len(palette)} colours, the masks have {len(self.names)} classes: "
                f"{', '.join(self.names.values())}"
            )
        colors = np.zeros((256, 3), np.uint8)
        values = np.asarray(palette, np.uint32)
        colors[list(self.names)] = np.stack([values >> 16, values >> 8, values], 1).astype(np.uint8)
        return replace(self, colors=colors)

    def relabel(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the model with the published ids: uint8 (H, W) to uint8 (H, W)."""
        return mask if self.table is None else cv2.LUT(mask, self.table)

    def colorize(self, mask: np.ndarray) -> np.ndarray:
        """Colours of a mask with published ids: uint8 (H, W) to uint8 (H, W, 3) RGB."""
        return np.take(self.colors, mask, axis=0)  # a third of the time that indexing takes

    def overlay(self, image: np.ndarray, mask: np.ndarray, alpha: float) -> np.ndarray:
        """Blend an image with the colours of its mask; pixels without a class keep the image.

        Args:
            image: uint8 (H, W, 3) RGB.
            mask: uint8 (H, W), published ids.
            alpha: Weight of the colours, 0..1.
        """
        return blend(image, mask, self.colors, alpha, self.of_classes)


def _rows(path: Path) -> list[tuple[int, str, int, str]]:
    """Line number, class name of the model, id and name of each row."""
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader("\n" if line.startswith("#") else line for line in file)
            rows = [
                (reader.line_num, row["from"].strip(), int(row["to"]), row["name"].strip()) for row in reader
            ]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise ConfigError(
            f"{path}: needs the columns from,to,name with whole numbers in 'to': {error}"
        ) from error
    if not rows:
        raise ConfigError(f"{path}: has no rows")
    for line, _, target, name in rows:
        if not 0 <= target <= IGNORE or not name:
            raise ConfigError(
                f"{path}:{line}: needs an id from 0 to 255 and a name, has {target} and '{name}'"
            )
    return rows
