"""What every engine offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sernet_core.checkpoint import CheckpointInfo, load_checkpoint, resolve_model
from sernet_core.engines.cache import EngineCache, weights_hash
from sernet_core.engines.graph import FrameNetwork
from sernet_core.engines.own_code import code_hash
from sernet_core.engines.plan import Plan
from sernet_core.engines.threads import compute_with
from sernet_core.engines.upsample import Upsampler
from sernet_core.errors import EngineError

REMEDY = "pip install -r requirements/engines.txt"
NOT_FINITE = "the network's output is not finite (broken weights or overflow)"


@dataclass(frozen=True)
class Segmentation:
    """Result for one frame, at the frame's size.

    Attributes:
        mask: uint8 (H, W) class ids.
        confidence: uint8 (H, W), the largest softmax probability times 255; None unless asked for.
    """

    mask: np.ndarray
    confidence: np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """What an engine is built from.

    Attributes:
        model: The network with its normalisation, on the device.
        info: The checkpoint's description of itself.
        path: File of the checkpoint.
        device: "cpu" or "cuda:N".
        precision: "auto" or a precision; `Engine.resolve` makes a precision of it.
        threads: CPU threads; 0 leaves the choice to the engine.
        cache: Where built engines are kept.
    """

    model: FrameNetwork
    info: CheckpointInfo
    path: Path
    device: str
    precision: str
    threads: int
    cache: EngineCache

    @classmethod
    def load(
        cls,
        model: str | Path,
        cache: EngineCache,
        *,
        device: str = "cpu",
        precision: str = "auto",
        threads: int = 0,
    ) -> Source:
        """Load a checkpoint onto a device.

        Raises:
            CheckpointError: The model cannot be found or loaded.
        """
        checkpoint = load_checkpoint(model)
        network = checkpoint.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        frames = FrameNetwork(network, checkpoint.info.mean, checkpoint.info.std).eval()
        return cls(frames, checkpoint.info, resolve_model(model), device, precision, threads, cache)

    @property
    def identity(self) -> dict[str, str]:
        """What a cached engine of this network depends on, whatever the engine.

        The same weights can belong to two networks: dilations and gates, for one, have no parameters. And
        the code that runs them may be another in the next release.
        """
        return {
            "weights": weights_hash(self.model),
            "network": repr(self.info.network),
            "code": code_hash(),
        }

    @property
    def stride(self) -> int:
        """Height and width of the network's input are multiples of it."""
        return self.model.network.stride

    def plan(self, frame: tuple[int, int], network: tuple[int, int]) -> Plan:
        """Plan for frames of a height and width that the network sees at another, or the same, one."""
        return Plan(frame, network, self.stride, self.model.network.logits_stride)


class Engine(ABC):
    """Runs the network for frames of one size. Use one from a single thread at a time.

    Attributes:
        name: Word by which a user chooses it.
        summary: What it is, in a few words.
        packages: Distributions that it needs beside torch.
        remedy: How to get these.
        precisions: Precisions that it has on each kind of device, the one that "auto" means first.
        batches: Kinds of device on which several frames at once take less time than one after the other.
        precision: Precision in use.
        threads: CPU threads; 0 leaves the choice to the engine.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    remedy: ClassVar[str] = REMEDY
    precisions: ClassVar[dict[str, tuple[str, ...]]]
    batches: ClassVar[tuple[str, ...]] = ()

    def __init__(self, source: Source, plan: Plan) -> None:
        """Build it. A subclass builds what it needs and leaves it ready to run.

        Raises:
            EngineError: It cannot be built; the message says why.
        """
        self.precision = self.resolve(source.device, source.precision)
        self.plan = plan
        self.threads = source.threads
        self.upsampler = Upsampler(plan, source.info.temperature)

    @classmethod
    def resolve(cls, device: str, precision: str) -> str:
        """Precision that a setting means on a device."""
        kind = device.partition(":")[0]
        return cls.precisions[kind][0] if precision == "auto" else precision

    @classmethod
    def obstacle(cls, device: str, precision: str) -> str:
        """Why it cannot run on this machine; empty when it can.

        Args:
            device: "cpu" or "cuda:N", one that torch sees.
            precision: "auto" or a precision.
        """
        kind = device.partition(":")[0]
        if kind not in cls.precisions:
            return f"runs on {' and '.join(cls.precisions)}, not on {device}"
        if precision not in ("auto", *cls.precisions[kind]):
            return f"has no {precision} on {device}, only {', '.join(cls.precisions[kind])}"
        return missing_packages(cls.packages, cls.remedy)

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions that a built engine depends on."""
        return {name: metadata.version(name) for name in ("torch", *cls.packages)}

    @abstractmethod
    def batch_logits(self, frames: np.ndarray) -> Tensor:
        """Logits float32 (N, K, h/s, w/s) of contiguous uint8 frames (N, h, w, 3) of the plan's padded size.

        N is the plan's batch, s its scale.
        """

    def logits(self, frame: np.ndarray) -> Tensor:
        """Logits (K, h/s, w/s) of one frame (h, w, 3), where the plan's batch is one."""
        compute_with(self.threads)
        with torch.inference_mode():
            return self.batch_logits(frame[None])[0]

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Segmentation:
        """Mask, and confidence on demand, of a uint8 RGB frame of the plan's frame size.

        Raises:
            EngineError: The network's output is not finite, so there is no mask to trust.
        """
        (answer,) = self.segment_batch([image], confidence=confidence)
        if isinstance(answer, EngineError):
            raise answer
        return answer

    def examine(self, image: np.ndarray) -> tuple[Segmentation, Tensor]:
        """As `segment` with confidence, and the logits float32 (K, H, W) that both are of.

        Raises:
            EngineError: The network's output is not finite.
        """
        with torch.inference_mode():
            logits = self.logits(self.plan.prepare(image))
            answer = self._decided(logits, confidence=True)
            if isinstance(answer, EngineError):
                raise answer
            return answer, self.upsampler.full(logits)

    def segment_batch(
        self, images: Sequence[np.ndarray], *, confidence: bool = False
    ) -> list[Segmentation | EngineError]:
        """As `segment`, of as many frames as the plan's batch has; an error stands in its frame's place."""
        prepared = [self.plan.prepare(image) for image in images]
        compute_with(self.threads)
        with torch.inference_mode():
            # A single frame is not copied.
            batch = self.batch_logits(np.stack(prepared) if len(prepared) > 1 else prepared[0][None])
            return [self._decided(logits, confidence=confidence) for logits in batch]

    def _decided(self, logits: Tensor, *, confidence: bool) -> Segmentation | EngineError:
        if not torch.isfinite(logits.sum()):
            return EngineError(NOT_FINITE)
        mask = self.upsampler.mask(logits)
        return Segmentation(mask, self.upsampler.confidence(logits) if confidence else None)


def missing_packages(packages: tuple[str, ...], remedy: str = REMEDY) -> str:
    """Words for packages that are not installed; empty when all are."""
    missing = [name for name in packages if not _installed(name)]
    return f"not installed: {', '.join(missing)}; {remedy}" if missing else ""


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
