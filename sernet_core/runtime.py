"""The Segmenter: a uint8 frame in, a uint8 mask of the same size out, on whatever device and engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sernet_core.checkpoint import CheckpointInfo, load_checkpoint
from sernet_core.errors import ConfigError, EngineError, InputError, unknown_name
from sernet_core.labels import ClassSet
from sernet_core.network import MIN_SIZE

ENGINES = ("auto", "eager")
MAX_ASPECT = 16
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
class InputSize:
    """Rule for the size at which the network sees a frame.

    Attributes:
        target: Width and height to aim at; None takes frames as they come.
        keep_aspect: Aim at the target's number of pixels only, and keep the frame's aspect.
    """

    target: tuple[int, int] | None
    keep_aspect: bool = False

    @classmethod
    def parse(cls, text: str, native: tuple[int, int]) -> InputSize:
        """Rule of a setting: "model" (the native width and height), "source" or "WxH".

        Raises:
            ConfigError: Anything else.
        """
        if text == "model":
            return cls(native, keep_aspect=True)
        if text == "source":
            return cls(None)
        width, _, height = text.partition("x")
        if not (width.isdecimal() and height.isdecimal()) or min(int(width), int(height)) < MIN_SIZE:
            raise ConfigError(
                f"input_size: '{text}' is neither 'model', 'source' nor WxH of at least {MIN_SIZE}x{MIN_SIZE}"
            )
        return cls((int(width), int(height)))

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width for the network, of a frame's height and width.

        Raises:
            InputError: The frame is a strip, which scaling would blow up beyond any memory.
        """
        if max(height, width) > MAX_ASPECT * min(height, width):
            words = f"a frame of {width}x{height} is longer than {MAX_ASPECT} times its other side"
            raise InputError(words, cause="strip")
        if self.target is None:
            return max(height, MIN_SIZE), max(width, MIN_SIZE)
        target_width, target_height = self.target
        if not self.keep_aspect:
            return target_height, target_width
        factor = (target_width * target_height / (width * height)) ** 0.5
        return max(round(height * factor), MIN_SIZE), max(round(width * factor), MIN_SIZE)


class Segmenter:
    """A loaded model that segments frames. Use one from a single thread at a time.

    Attributes:
        model: What it was loaded from, as given.
        info: The checkpoint's description of itself.
        engine: Name of the engine in use.
        device: Device in use, e.g. "cpu" or "cuda:0".
        precision: Precision in use.
    """

    def __init__(self, model: str, device: str, precision: str, input_size: str) -> None:
        checkpoint = load_checkpoint(model)
        self.model = model
        self.info: CheckpointInfo = checkpoint.info
        self.engine = "eager"
        self.device = device
        self.precision = precision
        self._sizing = InputSize.parse(input_size, self.info.input_size)
        self._network = checkpoint.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = (torch.tensor(self.info.mean) * 255).view(1, 3, 1, 1).to(device)
        self._std = (torch.tensor(self.info.std) * 255).view(1, 3, 1, 1).to(device)

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        device: str = "auto",
        engine: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        input_size: str = "model",
    ) -> Segmenter:
        """Load a model and make it ready to run.

        Args:
            model: Path of a checkpoint, or name of a shipped or own model.
            device: "auto" (CUDA when there is one), "cpu" or "cuda:N".
            engine: "auto" or "eager".
            precision: "auto" (fp32), "fp32", "bf16" or, on CUDA alone, "fp16".
            threads: CPU threads of the network; 0 leaves the choice to torch.
            input_size: Size at which the network sees a frame. "model": scaled to as many pixels as the
                model was trained with, aspect kept; "source": as it comes; "WxH": exactly that.

        Raises:
            ConfigError: A setting is not one of those, or cannot be had on this machine.
            CheckpointError: The model cannot be found or loaded.
        """
        if engine not in ENGINES:
            raise ConfigError(unknown_name("engine", engine, ENGINES))
        if precision not in ("auto", *PRECISIONS):
            raise ConfigError(unknown_name("precision", precision, ("auto", *PRECISIONS)))
        device = resolve_device(device)
        if precision == "fp16" and device == "cpu":
            raise ConfigError("precision: fp16 needs a CUDA device; on a CPU use fp32 or bf16")
        if threads < 0:
            raise ConfigError(f"threads: needs 0 (automatic) or more, got {threads}")
        if threads:
            torch.set_num_threads(threads)
        return cls(str(model), device, "fp32" if precision == "auto" else precision, input_size)

    @property
    def classes(self) -> ClassSet:
        """Class set of the masks."""
        return self.info.classes

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height that the model was trained for."""
        return self.info.input_size

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the network sees a frame of a size."""
        return self._sizing.of(height, width)

    def warm_up(self, height: int, width: int) -> None:
        """Run once on noise of a size, so that the first real frame is not the slow one."""
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        self.segment(noise)

    @torch.inference_mode()
    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Segmentation:
        """Segment one frame.

        Args:
            image: uint8 (H, W, 3) RGB of any size.
            confidence: Also give the confidence of each pixel.

        Raises:
            InputError: Not such an image.
            EngineError: The network's output is not finite, so there is no mask to trust.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise InputError(f"a frame is uint8 (H, W, 3), got {image.dtype} {image.shape}")
        height, width = image.shape[:2]
        logits = self._logits(image)
        if not torch.isfinite(logits.sum()):
            raise EngineError("the network's output is not finite (broken weights or overflow)")
        if logits.shape[-2:] != (height, width):
            logits = functional.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        mask = logits.argmax(1)[0].to(torch.uint8).cpu().numpy()
        if not confidence:
            return Segmentation(mask)
        best = logits.softmax(1).amax(1)[0]
        return Segmentation(mask, (best * 255).round().to(torch.uint8).cpu().numpy())

    def segment_many(
        self, images: Sequence[np.ndarray], *, confidence: bool = False
    ) -> list[Segmentation | Exception]:
        """Segment several frames; one that fails gives its error in its place.

        Args:
            images: uint8 (H, W, 3) RGB each, of any sizes.
            confidence: Also give the confidence of each pixel.
        """
        answers: list[Segmentation | Exception] = []
        for image in images:
            try:
                answers.append(self.segment(image, confidence=confidence))
            except Exception as error:
                answers.append(error)
        return answers

    def _logits(self, image: np.ndarray) -> Tensor:
        """Logits float32 (1, K, h, w) at the network's size for a frame."""
        height, width = self.network_size(*image.shape[:2])
        if image.shape[:2] != (height, width):
            shrinks = height * width < image.shape[0] * image.shape[1]
            kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = cv2.resize(image, (width, height), interpolation=kind)
        frame = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        # A view of HWC bytes as NCHW is channels_last already; so is what comes out of the arithmetic.
        batch = (frame.permute(2, 0, 1)[None].float() - self._mean) / self._std
        kind_of_device = self.device.partition(":")[0]
        reduced = self.precision != "fp32"
        with torch.autocast(kind_of_device, PRECISIONS[self.precision] if reduced else None, enabled=reduced):
            return self._network(batch).float()


def resolve_device(name: str) -> str:
    """Device that a setting means: "cpu" or "cuda:N".

    Args:
        name: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ConfigError: Anything else, or a device that this machine does not have.
    """
    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if name == "cpu":
        return name
    if kind != "cuda" or not (index.isdecimal() or name == "cuda"):
        raise ConfigError(f"device: '{name}' is neither 'auto', 'cpu' nor 'cuda:N'")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        raise ConfigError(
            f"device: '{name}' is not here: torch sees {count} CUDA device(s); use 'auto' or 'cpu'"
        )
    return f"cuda:{int(index or 0)}"
