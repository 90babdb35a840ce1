"""Class sets with their palettes, and remaps from one set to another.

A label image is uint8 with one class id a pixel; 255 (`IGNORE`) means "no class" in ground truth and
"unlabeled" in a published mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sernet_core.errors import ConfigError, unknown_name

IGNORE = 255


@dataclass(frozen=True)
class ClassSet:
    """The classes that a network or a data set knows, in the order of their ids.

    Attributes:
        name: Key under which `class_set` finds it.
        names: One name an id; consumers match classes by name, so names are stable.
        palette: One RGB colour an id, 0..255.

    Raises:
        ConfigError: Names and colours that do not make a class set.
    """

    name: str
    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    _colors: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(isinstance(name, str) and name for name in (self.name, *self.names)):
            raise ConfigError(f"class set '{self.name}': names must be words, got {list(self.names)}")
        if len(self.names) != len(self.palette):
            raise ConfigError(
                f"class set '{self.name}': {len(self.names)} names but {len(self.palette)} colours"
            )
        if not 0 < len(self.names) < IGNORE:
            raise ConfigError(f"class set '{self.name}': needs 1 to 254 classes, has {len(self.names)}")
        if len(set(self.names)) != len(self.names):
            raise ConfigError(f"class set '{self.name}': a class name stands twice")
        for name, color in zip(self.names, self.palette, strict=True):
            if len(color) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in color):
                raise ConfigError(
                    f"class set '{self.name}': a colour is three whole numbers from 0 to 255, "
                    f"{name} has {list(color)}"
                )
        colors = np.zeros((256, 3), np.uint8)
        colors[: len(self.palette)] = self.palette
        object.__setattr__(self, "_colors", colors)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def colors(self) -> np.ndarray:
        """Look-up table, uint8 (256, 3) RGB; ids without a class, 255 among them, are black."""
        return self._colors

    def difference(self, other: ClassSet) -> str:
        """The first id that two sets name differently, in words; empty where all names are the same."""
        for number in range(max(len(self), len(other))):
            own = self.names[number] if number < len(self) else "no class"
            theirs = other.names[number] if number < len(other) else "no class"
            if own != theirs:
                return f"id {number} is {own} in {self.name} and {theirs} in {other.name}"
        return ""

    def id_of(self, name: str) -> int:
        """Id of a class by its name."""
        if name not in self.names:
            raise ConfigError(unknown_name(f"class of {self.name}", name, self.names))
        return self.names.index(name)

    def colorize(self, mask: np.ndarray) -> np.ndarray:
        """Colour a mask: uint8 (H, W) ids to uint8 (H, W, 3) RGB."""
        return np.take(self._colors, mask, axis=0)  # a third of the time that indexing takes


def overlay(image: np.ndarray, mask: np.ndarray, classes: ClassSet, alpha: float = 0.5) -> np.ndarray:
    """Blend an image with its coloured mask; unlabeled pixels keep the image.

    Args:
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W) class ids.
        classes: The mask's class set.
        alpha: Weight of the colours, 0 (image alone) to 1 (colours alone).

    Returns:
        uint8 (H, W, 3) RGB.
    """
    return blend(image, mask, classes.colors, alpha, range(len(classes)))


def blend(
    image: np.ndarray, mask: np.ndarray, colors: np.ndarray, alpha: float, named: Sequence[int]
) -> np.ndarray:
    """Blend an image with the colours of its mask; pixels whose id is not named keep the image.

    Args:
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W) ids.
        colors: uint8 (256, 3) RGB by id.
        alpha: Weight of the colours, 0..1.
        named: Ids that have a colour.
    """
    import cv2

    blended = cv2.addWeighted(image, 1.0 - alpha, np.take(colors, mask, axis=0), alpha, 0.0)
    unnamed = np.ones(256, np.uint8)
    unnamed[list(named)] = 0
    return cv2.copyTo(image, cv2.LUT(mask, unnamed), blended)


# Brostow et al., Pattern Recognition Letters 30(2), 2009, merged from 32 to 11 classes as SegNet did.
CAMVID = ClassSet(
    "camvid",
    (
        "Sky",
        "Building",
        "Pole",
        "Road",
        "Pavement",
        "Tree",
        "SignSymbol",
        "Fence",
        "Car",
        "Pedestrian",
        "Bicyclist",
    ),
    (
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (0, 0, 192),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)

# Cordts et al., CVPR 2016: the 19 classes of the benchmark, by train id.
CITYSCAPES = ClassSet(
    "cityscapes",
    (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
        "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
        "motorcycle", "bicycle",
    ),
    (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60),
        (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip

# Ids and names that Autoware's segmentation consumers expect; the colours are ours, near Cityscapes'.
AUTOWARE = ClassSet(
    "autoware",
    (
        "unknown", "building", "wall", "obstacle", "traffic_light", "traffic_sign", "person", "vehicle",
        "bike", "road", "sidewalk", "roadPaint", "curbstone", "crosswalk", "vegetation", "sky",
    ),
    (
        (0, 0, 0), (70, 70, 70), (102, 102, 156), (153, 153, 153), (250, 170, 30), (220, 220, 0),
        (220, 20, 60), (0, 0, 142), (119, 11, 32), (128, 64, 128), (244, 35, 232), (255, 255, 255),
        (196, 196, 196), (200, 128, 128), (107, 142, 35), (70, 130, 180),
    ),
)  # fmt: skip

_CLASS_SETS = {classes.name: classes for classes in (CAMVID, CITYSCAPES, AUTOWARE)}


def class_set(name: str) -> ClassSet:
    """The class set of a name: camvid, cityscapes or autoware."""
    if name not in _CLASS_SETS:
        raise ConfigError(unknown_name("class set", name, _CLASS_SETS))
    return _CLASS_SETS[name]


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Ids (H, W) at another height and width: each pixel is the one in which its centre lies.

    So it stays where linear and area resizing put the image's pixels. OpenCV's INTER_NEAREST instead takes
    the corner and moves labels by half a pixel, and INTER_NEAREST_EXACT differs between releases. A centre
    between two pixels takes the later one.
    """
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, labels.shape, strict=True)
    )
    return labels.take(rows, axis=0).take(columns, axis=1)
