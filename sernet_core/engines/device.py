"""The whole path from frame to mask on a GPU: a frame's bytes go there, a mask's bytes come back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sernet_core.engines.base import NOT_FINITE, Engine, Segmentation, Source
from sernet_core.engines.folding import fold_batch_norms
from sernet_core.engines.graph import FrameNetwork
from sernet_core.engines.plan import Plan
from sernet_core.engines.upsample import Upsampler
from sernet_core.errors import EngineError

WARM_UP_RUNS = 3  # cuDNN tries its algorithms in the first, libraries allocate in the second


def lean_network(model: FrameNetwork, kind: torch.dtype) -> FrameNetwork:
    """A copy for inference: batch norms folded, weights in a type, channels last.

    The normalisation stays in float32; its result and everything behind it has the type.
    """
    copy = model.copied()
    fold_batch_norms(copy)
    copy.network.to(kind, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return copy


class DevicePath(nn.Module):
    """uint8 (N, h, w, 3) of a plan's batch and padded size to masks, soundness and logits.

    Args:
        network: uint8 (N, h, w, 3) to float32 logits (N, K, h/s, w/s).
        plan: Its sizes.
    """

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.network = network
        self._upsampler = Upsampler(plan)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masks uint8 (N, H, W), whether all logits of each are finite (N), logits (N, K, h/s, w/s)."""
        logits = self.network(frames)
        masks = self._upsampler.full_batch(logits).argmax(1).to(torch.uint8)
        return masks, torch.isfinite(logits).flatten(1).all(1), logits


class DeviceEngine(Engine):
    """A `DevicePath` between pinned buffers, on a stream of its own."""

    batches = ("cuda",)

    def __init__(self, source: Source, plan: Plan) -> None:
        super().__init__(source, plan)
        device = torch.device(source.device)
        self._path = DevicePath(self._network(source), plan)
        self._host = torch.zeros(plan.batch, *plan.padded, 3, dtype=torch.uint8).pin_memory()
        self._host_masks = torch.zeros(plan.batch, *plan.frame, dtype=torch.uint8).pin_memory()
        self._host_sound = torch.zeros(plan.batch, dtype=torch.bool).pin_memory()
        self._frames = torch.zeros_like(self._host, device=device)
        self._stream = torch.cuda.Stream(device)
        benchmark = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True
        try:
            with torch.cuda.device(device), torch.inference_mode():
                self._stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self._stream):
                    for _ in range(WARM_UP_RUNS):
                        self._path(self._frames)
                self._stream.synchronize()
                self._settle()
        finally:
            torch.backends.cudnn.benchmark = benchmark

    @abstractmethod
    def _network(self, source: Source) -> nn.Module:
        """Network of the path, on the device."""

    def _settle(self) -> None:
        """What is to be done once after the warm-up."""

    def _run(self) -> tuple[Tensor, Tensor, Tensor]:
        """Results of the path for the frames that lie on the device; called on the engine's stream."""
        return self._path(self._frames)

    def network_alone(self) -> Callable[[], None]:
        """What runs the network alone, to its end, for frames that lie on the device; to time it.

        Neither bytes on their way nor the upsampling are in it.
        """
        with torch.cuda.device(self._frames.device), torch.inference_mode():
            launch = self._network_launch()

        def run() -> None:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                launch()
                self._stream.synchronize()

        return run

    def _network_launch(self) -> Callable[[], object]:
        """What starts the network on the engine's stream, as `_run` starts the path."""
        return lambda: self._path.network(self._frames)

    def batch_logits(self, frames: np.ndarray) -> Tensor:
        """See `Engine.batch_logits`."""
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            logits = self._launch(list(frames))[2].clone()
            self._stream.synchronize()
        return logits

    def segment_batch(
        self, images: Sequence[np.ndarray], *, confidence: bool = False
    ) -> list[Segmentation | EngineError]:
        """See `Engine.segment_batch`."""
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            masks, sound, logits = self._launch([self.plan.prepare(image) for image in images])
            self._host_masks.copy_(masks, non_blocking=True)
            self._host_sound.copy_(sound, non_blocking=True)
            best = [self.upsampler.confidence(one) if confidence else None for one in logits]
            self._stream.synchronize()
        return [
            Segmentation(self._host_masks[index].numpy().copy(), best[index])
            if self._host_sound[index].item()
            else EngineError(NOT_FINITE)
            for index in range(len(images))
        ]

    def _launch(self, frames: Sequence[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        for target, frame in zip(self._host.numpy(), frames, strict=True):
            np.copyto(target, frame)
        self._frames.copy_(self._host, non_blocking=True)
        return self._run()
