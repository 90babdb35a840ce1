"""Copy-paste of rare objects: cut from frames by their labels, pasted into others where they could stand.

After Ghiasi et al., "Simple Copy-Paste", arXiv 2012.07177, with class labels in place of instances: an object
is a connected component of the rare classes together, so that a sign stays on its pole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sernet_core.datasets import Dataset
from sernet_core.errors import InputError
from sernet_core.labels import IGNORE, resize_labels

_AREA = (3e-4, 0.04)  # of an object, as a share of its frame: less is a crumb, more hides the scene
_WIDTH = 0.3  # most, as a share of its frame's
_SCALE = (0.7, 1.4)
_HORIZON = 0.5  # as a share of the height: a level camera's
_TRIES = 8  # at a place for an object
_HIDDEN = 0.1  # most of an object's pixels that may hide rare ones
# Nothing stands on these: they hide the foot of what is behind them.
_HIDING = ("car", "truck", "bus", "train", "van", "caravan", "trailer", "vehicle", "motorcycle")


@dataclass(frozen=True)
class Cutout:
    """An object in a frame.

    Attributes:
        frame: Index of its frame in the data set.
        component: Its number among the frame's components of rare classes.
        box: Left, top, width and height in pixels.
        foot: Column, from the box's left, at which it stands.
        ground: Id of the class on which it stands.
    """

    frame: int
    component: int
    box: tuple[int, int, int, int]
    foot: int
    ground: int


class ObjectBank:
    """The objects of some classes in a data set, by the class that they have most of.

    Args:
        dataset: Frames with ground truth; read once here, and again for each object that is pasted.
        rare: Ids of the classes.

    Raises:
        InputError: There is no such object.
    """

    def __init__(self, dataset: Dataset, rare: Sequence[int]) -> None:
        self._dataset = dataset
        self._rare = np.isin(np.arange(256), rare)
        hiding = [number for number, name in enumerate(dataset.classes.names) if name.lower() in _HIDING]
        self._hiding = np.isin(np.arange(256), hiding)
        self.objects: dict[int, list[Cutout]] = {}
        for index, sample in enumerate(dataset):
            if sample.label is not None:
                self._collect(index, sample.label)
        if not self.objects:
            names = ", ".join(dataset.classes.names[number] for number in rare)
            raise InputError(
                f"{dataset.name}: no object of {names} that could be cut out and pasted elsewhere"
            )

    def _collect(self, index: int, label: np.ndarray) -> None:
        count, components, boxes, _ = _components(self._rare[label])
        for number in range(1, count):
            left, top, width, height, area = map(int, boxes[number])
            inside = left > 0 and top > 0 and left + width < label.shape[1] and top + height < label.shape[0]
            if not inside or not _AREA[0] <= area / label.size <= _AREA[1] or width > _WIDTH * label.shape[1]:
                continue
            columns = np.flatnonzero(components[top + height - 1, left : left + width] == number)
            below = label[top + height, left + columns]
            below = below[(below != IGNORE) & ~self._rare[below]]
            if below.size and not self._hiding[below].any():
                ids = label[components == number]
                cutout = Cutout(
                    index, number, (left, top, width, height), int(np.median(columns)), _most(below)
                )
                self.objects.setdefault(_most(ids), []).append(cutout)

    def paste(
        self, image: np.ndarray, label: np.ndarray, most: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paste 1 to `most` objects, as far as there is a place for them; the inputs stay as they are.

        Args:
            image: uint8 (H, W, 3) RGB.
            label: uint8 (H, W).
            most: Most objects.
            rng: Source of every random choice.

        Returns:
            uint8 (H, W, 3) and uint8 (H, W).
        """
        image, label = image.copy(), label.copy()
        light = image.mean((0, 1))
        for _ in range(int(rng.integers(1, most + 1))):
            kind = list(self.objects)[int(rng.integers(len(self.objects)))]
            cutout = self.objects[kind][int(rng.integers(len(self.objects[kind])))]
            self._paste_one(image, label, cutout, light, rng)
        return image, label

    def _paste_one(
        self,
        image: np.ndarray,
        label: np.ndarray,
        cutout: Cutout,
        light: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        sample = self._dataset[cutout.frame]
        assert sample.label is not None
        height = label.shape[0]
        scale = float(np.exp(rng.uniform(*np.log(_SCALE)))) * height / sample.label.shape[0]
        # All that stands at one distance moves from and to the horizon as the distance changes.
        left, top, box_width, box_height = cutout.box
        horizon = _HORIZON * sample.label.shape[0]
        new_top = round(_HORIZON * height + scale * (top - horizon))
        size = (max(1, round(box_width * scale)), max(1, round(box_height * scale)))
        mirrored = bool(rng.random() < 0.5)
        foot = box_width - 1 - cutout.foot if mirrored else cutout.foot
        place = self._place(label, cutout, round(foot * size[0] / box_width), new_top, size, rng)
        if place is None:
            return
        box = np.s_[top : top + box_height, left : left + box_width]
        shape = _components(self._rare[sample.label])[1][box] == cutout.component
        gain = np.clip(light / np.maximum(sample.image.mean((0, 1)), 1.0), 0.5, 2.0)
        pixels = np.clip(sample.image[box] * gain, 0, 255).astype(np.uint8)
        ids = sample.label[box]
        if mirrored:
            shape, pixels, ids = shape[:, ::-1], pixels[:, ::-1], ids[:, ::-1]
        shape, ids = (resize_labels(values, (size[1], size[0])) for values in (shape, ids))
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=smooth)
        target = np.s_[new_top : new_top + size[1], place : place + size[0]]
        if self._rare[label[target]][shape].mean() > _HIDDEN:
            return
        alpha = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), 0.6)[..., None]
        alpha = np.maximum(alpha * 0.5, shape[..., None])  # no seam outside, no hole inside
        image[target] = (image[target] * (1 - alpha) + pixels * alpha + 0.5).astype(np.uint8)
        label[target] = np.where(shape, ids, label[target])

    def _place(
        self,
        label: np.ndarray,
        cutout: Cutout,
        foot: int,
        top: int,
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> int | None:
        """Left column at which the object stands, by its foot from there, on what it stood on; or None."""
        bottom, room = top + size[1], label.shape[1] - size[0]
        if top < 0 or bottom >= label.shape[0] or room <= 0:
            return None
        foot = min(size[0] - 1, foot)
        for left in rng.integers(0, room, _TRIES):
            if label[bottom, left + foot] == cutout.ground:
                return int(left)
        return None


def _components(mask: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    return cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)


def _most(ids: np.ndarray) -> int:
    return int(np.bincount(ids, minlength=256).argmax())
