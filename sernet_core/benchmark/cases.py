"""What is timed: levels of each engine's work, and the pipeline that most tutorials show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from sernet_core.benchmark.timing import Task
from sernet_core.engines.base import Engine, Source
from sernet_core.engines.plan import Plan
from sernet_core.labels import ClassSet, overlay

LEVELS = {
    "network": "a prepared frame to logits before their upsampling",
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
    """

    model: str
    engine: str
    precision: str
    width: int
    height: int


@dataclass(frozen=True)
class Entry:
    """One task among those that take turns.

    Attributes:
        case: What it runs.
        level: Key of `LEVELS` or `PARTS`.
        task: Does it once, with the frame of a number.
        memory_mb: What building it took.
        split: After the timing: milliseconds by stage as the task's own process counts them.
    """

    case: Case
    level: str
    task: Task
    memory_mb: float = 0.0
    split: Callable[[], Mapping[str, float]] | None = None

    @property
    def name(self) -> str:
        """One that no other entry of a run has."""
        return self.name_at(self.level)

    def name_at(self, level: str) -> str:
        """Name of the same case's entry of another level."""
        return f"{self.case.model} {self.case.engine} {self.case.precision} {level}"


def levels_of(engine: Engine, classes: ClassSet, frames: Sequence[np.ndarray]) -> Mapping[str, Task]:
    """Tasks by level and part, for frames of the engine's plan."""
    prepared = [engine.plan.prepare(frame) for frame in frames]

    def with_overlay(number: int) -> np.ndarray:
        return overlay(frames[number], engine.segment(frames[number]).mask, classes, ALPHA)

    tasks: dict[str, Task] = {
        "network": lambda number: engine.logits(prepared[number]),
        "mask": lambda number: engine.segment(frames[number]),
        "overlay": with_overlay,
    }
    if type(engine).segment_batch is Engine.segment_batch:  # elsewhere frame and mask are one launch
        logits = [engine.logits(frame).clone() for frame in prepared]
        tasks["prepare"] = lambda number: engine.plan.prepare(frames[number])
        tasks["upsample"] = lambda number: engine.upsampler.mask(logits[number])
    return tasks


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
