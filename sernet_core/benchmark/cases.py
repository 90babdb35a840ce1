"""What is timed: levels of each engine's work, and the pipeline that most tutorials show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from sernet_core.benchmark.floor import Work, settle
from sernet_core.benchmark.settings import AUTO
from sernet_core.benchmark.timing import Task
from sernet_core.engines.base import Engine, Source
from sernet_core.engines.device import DeviceEngine
from sernet_core.engines.plan import Plan
from sernet_core.labels import ClassSet, overlay

LEVELS = {
    "network": "a prepared frame to logits before upsampling (eager and compile fetch it to a GPU first)",
    "mask": "uint8 frame to uint8 mask: preparation, network, upsampling, argmax",
    "overlay": "uint8 frame to mask and blended colours",
    "message": "image message published to mask message received, through a node in another process",
}
PARTS = {
    "prepare": "resizing and padding of a frame",
    "upsample": "logits to mask",
}
"""Parts of the level mask beside the network."""
TUTORIAL = "tutorial"
ALPHA = 0.5


@dataclass(frozen=True)
class Case:
    """One way to segment a frame.

    Attributes:
        model: Name of the weights, or of a peer.
        engine: Name of the engine, or "tutorial".
        precision: Precision in use.
        width: Of the frame.
        height: Of the frame.
        asked: What was asked for, where that is more or less than the engine, e.g. "auto", "openvino:int8".
    """

    model: str
    engine: str
    precision: str
    width: int
    height: int
    asked: str = ""

    @property
    def by_auto(self) -> bool:
        """Whether the engine was chosen by `auto`."""
        return self.asked.partition(":")[0] == AUTO

    @property
    def label(self) -> str:
        """Engine and precision."""
        return f"{'auto: ' if self.by_auto else ''}{self.engine} {self.precision}"


def label_of(row: Mapping[str, Any]) -> str:
    """Label of the case that a row of the results is of."""
    return Case(*(row[field.name] for field in dataclasses.fields(Case))).label


@dataclass(frozen=True)
class Entry:
    """One task among those that take turns.

    Attributes:
        case: What it runs.
        level: Key of `LEVELS` or `PARTS`.
        task: Does it once, with the frame of a number.
        built_mb: By what building it has made this process grow, in 10^6 bytes.
        process_mb: What the whole process that runs it takes, in 10^6 bytes, where that is one of its own.
        stages: After the timing: seconds of each timed call by stage, as the task's own process counts them.
            Of these, "network" and "inference" are what its time is compared with.
        work: What its network has to do.
    """

    case: Case
    level: str
    task: Task
    built_mb: float | None = None
    process_mb: float | None = None
    stages: Callable[[], Mapping[str, Sequence[float]]] | None = None
    work: Work | None = None

    @property
    def name(self) -> str:
        """One that no other entry of a run has."""
        return self.name_at(self.level)

    def name_at(self, level: str) -> str:
        """Name of the same case's entry of another level."""
        return f"{self.case.model} {self.case.asked or self.case.engine} {self.case.precision} {level}"


def levels_of(
    engine: Engine, classes: ClassSet, frames: Sequence[np.ndarray], device: str = "cpu"
) -> Mapping[str, Task]:
    """Tasks by level and part, for frames of the engine's plan; each is over when the device has done it."""
    prepared = [engine.plan.prepare(frame) for frame in frames]

    def with_overlay(number: int) -> np.ndarray:
        return overlay(frames[number], engine.segment(frames[number]).mask, classes, ALPHA)

    tasks: dict[str, Task] = {
        "network": _network(engine, prepared, device),
        "mask": lambda number: engine.segment(frames[number]),
        "overlay": with_overlay,
    }
    if type(engine).segment_batch is Engine.segment_batch:  # elsewhere frame and mask are one launch
        logits = [engine.logits(frame).clone() for frame in prepared]
        tasks["prepare"] = lambda number: engine.plan.prepare(frames[number])
        tasks["upsample"] = lambda number: engine.upsampler.mask(logits[number])
    return tasks


def _network(engine: Engine, prepared: Sequence[np.ndarray], device: str) -> Task:
    """The network, to its end: PyTorch returns from a GPU before that."""
    if isinstance(engine, DeviceEngine):
        alone = engine.network_alone()
        return lambda number: alone()

    def run(number: int) -> None:
        engine.logits(prepared[number])
        settle(device)

    return run


def tutorial(source: Source, plan: Plan, frames: Sequence[np.ndarray]) -> Task:
    """Frame to overlay, written as tutorials write it: everything in float32 and at full size, step by step.

    A copy of the message's image, division and normalisation in NumPy, eager PyTorch, softmax, argmax in
    NumPy, resizing, colours by a table, blending.
    """
    mean, std = np.array(source.info.mean, np.float32), np.array(source.info.std, np.float32)
    palette = np.array(source.info.classes.palette, np.uint8)
    height, width = plan.network
    network = source.model.network

    def run(number: int) -> np.ndarray:
        image = frames[number].copy()
        resized = cv2.resize(image, (width, height)) if image.shape[:2] != (height, width) else image
        normal = (resized.astype(np.float32) / 255.0 - mean) / std
        batch = torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)[None])).to(source.device)
        with torch.no_grad():
            probabilities = torch.softmax(network(batch), dim=1).cpu().numpy()
        mask = np.argmax(probabilities[0], axis=0).astype(np.uint8)
        mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        return cv2.addWeighted(image, 1 - ALPHA, palette[mask], ALPHA, 0.0)

    return run
