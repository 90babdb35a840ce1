"""The whole path from frame to mask on a GPU: a frame's bytes go there, a mask's bytes come back."""

from __future__ import annotations

from abc import abstractmethod

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
    """uint8 (h, w, 3) of a plan's padded size to mask, soundness and logits.

    Args:
        network: uint8 (1, h, w, 3) to float32 logits (1, K, h/4, w/4).
        plan: Its sizes.
    """

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.network = network
        self._upsampler = Upsampler(plan)

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mask uint8 (H, W), whether all logits are finite (one bool), logits (K, h/4, w/4)."""
        logits = self.network(frame[None])[0]
        mask = self._upsampler.full(logits).argmax(0).to(torch.uint8)
        return mask, torch.isfinite(logits).all(), logits


class DeviceEngine(Engine):
    """A `DevicePath` between pinned buffers, on a stream of its own."""

    def __init__(self, source: Source, plan: Plan) -> None:
        super().__init__(source, plan)
        device = torch.device(source.device)
        self._path = DevicePath(self._network(source), plan)
        self._host = torch.zeros(*plan.padded, 3, dtype=torch.uint8).pin_memory()
        self._host_mask = torch.zeros(plan.frame, dtype=torch.uint8).pin_memory()
        self._host_sound = torch.zeros((), dtype=torch.bool).pin_memory()
        self._frame = torch.zeros_like(self._host, device=device)
        self._stream = torch.cuda.Stream(device)
        benchmark = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True
        try:
            with torch.cuda.device(device), torch.inference_mode():
                self._stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self._stream):
                    for _ in range(WARM_UP_RUNS):
                        self._path(self._frame)
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
        """Results of the path for the frame that lies on the device; called on the engine's stream."""
        return self._path(self._frame)

    def logits(self, frame: np.ndarray) -> Tensor:
        """See `Engine.logits`."""
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            logits = self._launch(frame)[2].clone()
            self._stream.synchronize()
        return logits

    def segment(self, image: np.ndarray, *, confidence: bool = False, logits: bool = False) -> Segmentation:
        """See `Engine.segment`."""
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            mask, sound, quarter = self._launch(self.plan.prepare(image))
            self._host_mask.copy_(mask, non_blocking=True)
            self._host_sound.copy_(sound, non_blocking=True)
            best = self.upsampler.confidence(quarter) if confidence else None
            full = self.upsampler.full(quarter) if logits else None
            self._stream.synchronize()
        if not self._host_sound.item():
            raise EngineError(NOT_FINITE)
        return Segmentation(self._host_mask.numpy().copy(), best, full)

    def _launch(self, frame: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        np.copyto(self._host.numpy(), frame)
        self._frame.copy_(self._host, non_blocking=True)
        return self._run()
