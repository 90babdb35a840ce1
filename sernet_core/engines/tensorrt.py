"""TensorRT through Torch-TensorRT's dynamo API.

Written against the signatures of torch-tensorrt 2.13.0. TensorRT's libraries were not to be had meanwhile, so
it was driven through a stand-in only and never ran on TensorRT itself.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from sernet_core.engines.base import Source
from sernet_core.engines.cache import device_name
from sernet_core.engines.device import DeviceEngine, lean_network
from sernet_core.engines.eager import PRECISIONS
from sernet_core.engines.graph import FrameNetwork, no_deprecations
from sernet_core.engines.turn import alone

FILE = "engine.ep"


class TensorRt(DeviceEngine):
    """A saved engine for one size and one GPU; frame and mask stay PyTorch's."""

    name = "tensorrt"
    summary = "TensorRT for one size and GPU, through Torch-TensorRT; building takes minutes"
    packages = ("torch-tensorrt", "tensorrt")
    remedy = "pip install -r requirements/tensorrt.txt"
    precisions = {"cuda": ("fp16", "bf16", "fp32")}  # noqa: RUF012

    @classmethod
    def obstacle(cls, device: str, precision: str) -> str:
        """See `Engine.obstacle`."""
        if reason := super().obstacle(device, precision):
            return reason
        ours, theirs = (_minor(metadata.version(name)) for name in ("torch", "torch-tensorrt"))
        return "" if ours == theirs else f"torch-tensorrt {theirs} does not fit torch {ours}; {cls.remedy}"

    def _network(self, source: Source) -> nn.Module:
        import torch_tensorrt

        lean = lean_network(source.model, PRECISIONS[self.precision])
        key = {
            **source.identity,
            "shape": (self.plan.batch, *self.plan.padded),
            "precision": self.precision,
            "device": device_name(source.device),
            "versions": self.versions(),
        }
        folder = source.cache.files(
            self.name, key, lambda folder: self._build(lean, folder / FILE, source.device)
        )
        return _Normalised(lean, torch_tensorrt.load(str(folder / FILE)).module())

    def _build(self, lean: FrameNetwork, path: Path, device: str) -> None:
        """Build the engine of everything behind the normalisation, and save it.

        Types are explicit: TensorRT computes in those of the traced graph, which are those of the weights.
        """
        import torch_tensorrt

        height, width = self.plan.padded
        kind = PRECISIONS[self.precision]
        image = torch.zeros(self.plan.batch, 3, height, width, dtype=kind, device=device)
        with alone():
            with torch.no_grad(), no_deprecations():
                program = torch.export.export(_Core(lean), (image,))
            module = torch_tensorrt.dynamo.compile(
                program, arg_inputs=[image], device=torch.device(device), immutable_weights=True
            )
            torch_tensorrt.save(module, str(path), output_format="exported_program", arg_inputs=[image])


class _Core(nn.Module):
    """Normalised images to logits."""

    def __init__(self, frames: FrameNetwork) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, image: Tensor) -> Tensor:
        return self.frames.compute(image)


class _Normalised(nn.Module):
    """Frames to logits: the normalisation in PyTorch, the rest by another module."""

    def __init__(self, frames: FrameNetwork, core: nn.Module) -> None:
        super().__init__()
        self.frames = frames
        self.core = core

    def forward(self, frame: Tensor) -> Tensor:
        return self.core(self.frames.normalise(frame))


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
