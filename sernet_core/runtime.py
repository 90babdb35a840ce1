"""The Segmenter: a uint8 frame in, a uint8 mask of the same size out, on whatever device and engine."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sernet_core.checkpoint import CheckpointInfo
from sernet_core.default_model import chosen_model
from sernet_core.devices import resolve_device
from sernet_core.engines.base import Engine, Segmentation, Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.engines.choose import contenders
from sernet_core.engines.memory import is_out_of_memory
from sernet_core.engines.plan import Plan
from sernet_core.engines.pool import EnginePool
from sernet_core.engines.registry import CHOICES, PRECISIONS, engine_class
from sernet_core.errors import ConfigError, EngineError, InputError, unknown_name
from sernet_core.input_size import MIN_SIZE, InputSize
from sernet_core.labels import ClassSet

__all__ = ["DeviceMemory", "Segmentation", "Segmenter"]

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a GPU, in bytes.

    Attributes:
        used: Held by this process's torch, what it keeps for later frames included.
        left: What frames may still take: free on the device, or kept by this process and not in use.
        total: All of the device's.
    """

    used: int
    left: int
    total: int


class Segmenter:
    """A loaded model that segments frames. Use one from a single thread at a time; only `close` from any.

    Engines are built for a size of frames, one at a time in the whole process: `prepare` builds one and waits
    for it. A frame of a size that is not prepared waits for its engine, or with `background` is segmented by
    eager while that is built.

    Args:
        model: Path or name that the source was loaded from.
        source: Weights, device and settings of the engines.
        engine: Name of an engine, or "auto".
        sizing: Rule for the size at which the network sees a frame.
        background: Serve frames with eager while an engine builds, instead of letting them wait for it.
        frame_sizes: How many sizes of frames come in turn.

    Attributes:
        model: What it was loaded from, as given.
        info: The checkpoint's description of itself.
        engine: Name of the engine that made the last mask; before the first one, what was asked for.
        device: Device in use, e.g. "cpu" or "cuda:0".
        precision: Precision of that engine.
    """

    def __init__(
        self,
        model: str,
        source: Source,
        engine: str,
        sizing: InputSize,
        *,
        background: bool = False,
        frame_sizes: int = 1,
    ) -> None:
        self.model = model
        self.info: CheckpointInfo = source.info
        self.engine = engine
        self.device = source.device
        self.precision = engine_class("eager" if engine == "auto" else engine).resolve(
            source.device, source.precision
        )
        self._source = source
        self._sizing = sizing
        self._pool = EnginePool(source, engine, background=background, sizes=frame_sizes)

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        device: str = "auto",
        engine: str = "eager",
        precision: str = "auto",
        threads: int = 0,
        input_size: str = "model",
        background: bool = False,
        frame_sizes: int = 1,
        engine_cache_dir: str | Path = "",
        force_engine_update: bool = False,
    ) -> Segmenter:
        """Load a model and make it ready to run.

        Args:
            model: Path of a checkpoint, name of a shipped or own model, or "auto", see `default_model`.
            device: "auto" (CUDA when there is one), "cpu" or "cuda:N".
            engine: Name of an engine (`sernet engines` lists them), or "auto": the fastest that runs here and
                gives eager's masks, or whose int8 model costs at most half a point of mIoU.
            precision: "auto" (the engine's choice, on a CPU fp32; with the engine "auto" int8 too), "fp32",
                "bf16", "fp16" or "int8".
            threads: CPU threads of the network, whoever calls; 0 leaves the choice to the engine.
            input_size: Size at which the network sees a frame. "model": scaled to as many pixels as the
                model was trained with, aspect kept; "source": as it comes; "WxH": exactly that.
            background: Serve whatever happens: with eager while an engine builds, instead of waiting for it;
                and with engines in a temporary folder where theirs cannot be written, see `cache_fault`.
            frame_sizes: How many sizes of frames come in turn: the engines for so many stay in memory, and in
                any case those of the eight sizes that came last.
            engine_cache_dir: Folder for built engines; "" is `SERNET_CACHE` or the user's cache folder.
            force_engine_update: Build engines anew instead of taking them from there.

        Raises:
            ConfigError: A setting is not one of those, or cannot be had on this machine.
            CheckpointError: The model cannot be found or loaded.
        """
        device = _check_settings(device, engine, precision, threads)
        model = chosen_model(model, device)
        folder = Path(engine_cache_dir).expanduser() if engine_cache_dir else default_folder()
        cache = EngineCache(folder, update=force_engine_update, spare=background)
        if engine_cache_dir and engine != "eager" and not background:
            cache.check()
        source = Source.load(model, cache, device=device, precision=precision, threads=threads)
        sizing = InputSize.parse(input_size, source.info.input_size)
        return cls(str(model), source, engine, sizing, background=background, frame_sizes=frame_sizes)

    @property
    def classes(self) -> ClassSet:
        """Class set of the masks."""
        return self.info.classes

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height that the model was trained for."""
        return self.info.input_size

    @property
    def building(self) -> str:
        """Words for the engine that is being built, e.g. "building openvino engine, 42 s"; else empty."""
        return self._pool.building

    @property
    def engine_fault(self) -> str:
        """Why eager serves although another engine was to; empty where none was, or while it is built.

        It is about the size of the last frame, or of what was prepared since: what was to be built in the
        background and could not be, or what failed when `auto` compared engines and left it to eager.
        """
        return self._pool.fault

    @property
    def cache_fault(self) -> str:
        """Why built engines are not kept, and what to do; empty where they are, or none was built."""
        return self._source.cache.fault

    @property
    def device_memory(self) -> DeviceMemory | None:
        """Memory of the GPU as it is now; None on a CPU, and where the driver does not answer."""
        if self.device == "cpu":
            return None
        try:
            free, total = torch.cuda.mem_get_info(self.device)
            used, busy = torch.cuda.memory_reserved(self.device), torch.cuda.memory_allocated(self.device)
        except RuntimeError:
            return None
        return DeviceMemory(used, free + used - busy, total)

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the network sees a frame of a size."""
        return self._sizing.of(height, width)

    def prepare(self, height: int, width: int) -> None:
        """Build the engine that frames of a size need, waiting for it with `background` too; run nothing.

        What could not be built in the background before is tried anew.

        Raises:
            EngineError: The engine, or the precision that was asked for by name, cannot be had; or the
                Segmenter is closed, perhaps meanwhile. With the engine `auto`, eager is an engine to be had:
                `engine_fault` says so where others failed.
            InputError: The size is that of a strip.
        """
        plan = self._plan_for(height, width)
        try:
            self._within_memory(plan, lambda: self._pool.prepare(plan))
        except ConfigError as error:  # of the engine's cache
            raise EngineError(str(error)) from error

    def close(self) -> None:
        """Drop the engines and build none any more, from any thread; more than once does no harm.

        A frame that is in work is finished, further ones are refused. A build that waits for its turn gives
        up; one that runs ends at its next step, on its own thread, which `building` tells until then.
        """
        self._pool.close()

    def warm_up(self, height: int, width: int, *, guess: bool = False) -> None:
        """Segment noise of a size, so that the first real frame is not the slow one.

        With `background`, the engine need not be built then: see `prepare`.

        Args:
            height: Of the frames.
            width: Of the frames.
            guess: Whether frames of that size may never come: then its engine's build in the background is
                given up for the first frame of another size, unless one of that size has come before.
        """
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        self._run(self._plan(noise), lambda engine: engine.segment(noise), guess=guess)

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Segmentation:
        """Segment one frame.

        Args:
            image: uint8 (H, W, 3) RGB of any size.
            confidence: Also give the confidence of each pixel.

        Raises:
            InputError: Not such an image.
            EngineError: The engine cannot be built, the memory does not suffice, the output is not finite, so
                that there is no mask to trust, or the Segmenter is closed.
            ConfigError: The engine cache cannot be written.
        """
        return self._run(self._plan(image), lambda engine: engine.segment(image, confidence=confidence))

    def examine(self, image: np.ndarray, *, scale: float = 1.0) -> tuple[Segmentation, Tensor]:
        """As `segment` with confidence, and the logits float32 (K, H, W) on the device that both are of.

        Args:
            image: uint8 (H, W, 3) RGB of any size.
            scale: Times the size at which the network sees the frame otherwise.
        """
        plan = self._plan(image)
        if scale != 1.0:
            height, width = (max(round(scale * side), MIN_SIZE) for side in plan.network)
            plan = self._source.plan(plan.frame, (height, width))
        return self._run(plan, lambda engine: engine.examine(image))

    def _run(self, plan: Plan, use: Callable[[Engine], _Answer], *, guess: bool = False) -> _Answer:
        """What an engine for a plan gives."""

        def run() -> _Answer:
            engine = self._pool.engine(plan, guess=guess)
            self.engine, self.precision = engine.name, engine.precision
            return use(engine)

        return self._within_memory(plan, run)

    def _within_memory(self, plan: Plan, work: Callable[[], _Answer]) -> _Answer:
        """What some work for a plan gives; where the memory does not suffice, words that help."""
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise EngineError(
                f"{self.device} has too little memory for a network input of {plan.network[1]}x"
                f"{plan.network[0]}: take a smaller input_size, or precision fp16 on a GPU ({error})"
            ) from error

    def _plan(self, image: np.ndarray) -> Plan:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise InputError(f"a frame is uint8 (H, W, 3), got {image.dtype} {image.shape}")
        return self._plan_for(*image.shape[:2])

    def _plan_for(self, height: int, width: int) -> Plan:
        return self._source.plan((height, width), self.network_size(height, width))

    def segment_many(
        self, images: Sequence[np.ndarray], *, confidence: bool = False
    ) -> list[Segmentation | Exception]:
        """Segment several frames; one that fails gives its error in its place.

        Frames of one size go through the network at once where the engine gains by that, which it does on a
        GPU: on a CPU one frame keeps all cores busy.

        Args:
            images: uint8 (H, W, 3) RGB each, of any sizes.
            confidence: Also give the confidence of each pixel.
        """
        answers: list[Segmentation | Exception] = []
        for _, alike in itertools.groupby(images, np.shape):
            answers += self._segment_alike(list(alike), confidence=confidence)
        return answers

    def _segment_alike(
        self, images: list[np.ndarray], *, confidence: bool
    ) -> Sequence[Segmentation | Exception]:
        """Answers or errors for frames of one shape."""
        try:
            if len(images) > 1 and (engine := self._batch_engine(images)):
                # The batch's shape is fixed: the last frame fills it up.
                filled = [*images, *[images[-1]] * (engine.plan.batch - len(images))]
                return engine.segment_batch(filled, confidence=confidence)[: len(images)]
        except Exception:  # one of them, or all, cannot be had: each shall say so itself
            _log.debug("no batch of %d", len(images), exc_info=True)
        return [self._answer(image, confidence=confidence) for image in images]

    def _answer(self, image: np.ndarray, *, confidence: bool) -> Segmentation | Exception:
        try:
            return self.segment(image, confidence=confidence)
        except Exception as error:
            return error

    def _batch_engine(self, images: list[np.ndarray]) -> Engine | None:
        """The engine for a batch that holds frames of one shape; None where there is none, or not yet."""
        plan = self._plan(images[0])
        single = self._pool.engine(plan)
        if self.device.partition(":")[0] not in single.batches or self._pool.building:
            return None
        size = 1 << (len(images) - 1).bit_length()  # few different ones, for each takes a while to build
        label = f"{single.name}:{single.precision}"
        engine = self._pool.engine(dataclasses.replace(plan, batch=size), label)
        return engine if engine.name == single.name else None


def _check_settings(device: str, engine: str, precision: str, threads: int) -> str:
    """Device that the settings mean, after a look at whether they can be had together.

    Raises:
        ConfigError: They cannot.
    """
    for kind, value, known in (("engine", engine, CHOICES), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise ConfigError(unknown_name(kind, value, known))
    device = resolve_device(device)
    if precision == "fp16" and device == "cpu":
        raise ConfigError("precision: fp16 needs a CUDA device; on a CPU use fp32 or bf16")
    if threads < 0:
        raise ConfigError(f"threads: needs 0 (automatic) or more, got {threads}")
    fault = engine_class("eager" if engine == "auto" else engine).obstacle(device, precision)
    if fault and not (engine == "auto" and contenders(device, precision)):
        raise ConfigError(f"engine {engine}: {fault}; `sernet engines` lists what runs here")
    return device
