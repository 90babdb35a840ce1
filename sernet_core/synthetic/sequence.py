"""Single frames and continuous sequences of the procedural street scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sernet_core.errors import ConfigError
from sernet_core.synthetic.light import CONDITIONS, light_of
from sernet_core.synthetic.noise import generator
from sernet_core.synthetic.scene import View, render
from sernet_core.synthetic.towns import TRAINING_TOWNS
from sernet_core.synthetic.world import World

SMALLEST = 64
# Cameras mostly drive by day, so half of the frames drawn from all four conditions are of the day.
_DAY_WEIGHT = 3.0


@dataclass(frozen=True)
class Frame:
    """A picture with its ground truth.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W): CamVid class ids 0..10, 255 where there is no class.
        index: Number of the frame in its sequence.
        stamp_ns: Time since the sequence began, nanoseconds.
    """

    image: np.ndarray
    label: np.ndarray
    index: int
    stamp_ns: int


class Sequence:
    """A drive through a town: frames in order or by index, the same bytes each time.

    Another version of NumPy or OpenCV may round otherwise: a few picture values and label pixels then differ.

    Args:
        town: One of `TOWNS`.
        condition: One of `EVALUATION_CONDITIONS`.
        seed: Which drive; seeds from 1,000,000 on are for evaluation alone.
        size: Width and height in pixels, each at least 64.
        rate: Frames a second.
        frames: How many frames.

    Raises:
        ConfigError: An argument that does not exist or does not fit.
    """

    def __init__(
        self,
        town: str,
        condition: str = "day",
        seed: int = 0,
        size: tuple[int, int] = (480, 360),
        rate: float = 15.0,
        frames: int = 150,
    ) -> None:
        if not rate > 0 or not np.isfinite(rate):
            raise ConfigError(f"rate must be a positive number of frames a second, not {rate}")
        if frames < 1:
            raise ConfigError(f"a sequence needs at least 1 frame, not {frames}")
        self.town, self.condition, self.seed = town, condition, int(seed)
        self.size, self.rate, self.frames = _checked_size(size), float(rate), int(frames)
        self._world = World.of(town, self.seed)
        self._light = light_of(condition, town, self.seed)
        rng = generator("drive", town, self.seed)
        self._mount = View(
            0.0, self._world.lane_offset(), 0.0, float(rng.uniform(1.25, 1.5)), float(rng.uniform(0.86,
            0.98)),
            0.0, float(rng.uniform(-0.05, -0.01)), 0.0, float(rng.choice((0.0, 0.0, 0.05))),
        )  # fmt: skip

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(self.frames))

    def __getitem__(self, index: int) -> Frame:
        if index < 0:
            index += self.frames
        if not 0 <= index < self.frames:
            raise IndexError(f"frame {index} of a sequence of {self.frames}")
        time = index / self.rate
        sway = self.seed % 97
        view = replace(
            self._mount,
            z=self._world.progress(time),
            offset=self._mount.offset + 0.15 * float(np.sin(0.4 * time + sway)),
            time=time,
            yaw=0.02 * float(np.sin(0.5 * time + 2.0 * sway)),
            pitch=self._mount.pitch
            + 0.004 * float(np.sin(2.3 * time))
            + 0.002 * float(np.sin(7.1 * time + sway)),
            roll=0.006 * float(np.sin(1.1 * time + sway)),
        )
        image, label = render(self._world, self._light, view, self.size, self.condition, index)
        return Frame(image, label, index, round(index * 1_000_000_000 / self.rate))


def random_frame(
    seed: int,
    size: tuple[int, int] = (480, 360),
    towns: tuple[str, ...] = TRAINING_TOWNS,
    conditions: tuple[str, ...] = CONDITIONS,
) -> Frame:
    """One frame for training: town, condition, place, light and camera are drawn from the seed.

    Args:
        seed: Which frame; below 1,000,000 for training.
        size: Width and height in pixels, each at least 64.
        towns: Towns to draw from.
        conditions: Conditions to draw from.

    Raises:
        ConfigError: An argument that does not exist or does not fit.
    """
    if not towns or not conditions:
        raise ConfigError("random_frame needs at least one town and one condition")
    size = _checked_size(size)
    rng = generator("frame", int(seed))
    town = towns[int(rng.integers(len(towns)))]
    weights = np.array([_DAY_WEIGHT if name == "day" else 1.0 for name in conditions])
    condition = conditions[int(rng.choice(len(conditions), p=weights / weights.sum()))]
    world = World.of(town, int(seed))
    light = light_of(condition, town, int(seed))
    view = View(
        world.progress(0.0) + float(rng.uniform(0.0, 64.0)),
        world.lane_offset() + float(rng.normal(0.0, 0.5)),
        float(rng.uniform(0.0, 60.0)),
        float(rng.uniform(1.1, 1.7)),
        float(rng.uniform(0.7, 1.15)),
        float(rng.normal(0.0, 0.07)),
        float(rng.uniform(-0.075, 0.05)),
        float(rng.normal(0.0, 0.012)),
        float(rng.uniform(0.03, 0.1)) if rng.uniform() < 0.2 else 0.0,
    )
    image, label = render(world, light, view, size, condition)
    return Frame(image, label, 0, 0)


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = (int(v) for v in size)
    if width < SMALLEST or height < SMALLEST:
        raise ConfigError(f"a frame must be at least {SMALLEST}x{SMALLEST} pixels, not {width}x{height}")
    return width, height
