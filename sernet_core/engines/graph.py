"""The network with its normalisation as one graph: bytes in, logits before their upsampling out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sernet_core.engines.turn import alone
from sernet_core.input_size import MIN_SIZE
from sernet_core.segmentation_network import SegmentationNetwork

INPUT, OUTPUT = "frame", "logits"
LARGEST = 16384


class FrameNetwork(nn.Module):
    """uint8 RGB (N, H, W, 3), H and W multiples of the stride, to float32 logits (N, K, H/s, W/s).

    s is the network's `logits_stride`: 4 for ours.

    Args:
        network: In eval mode.
        mean: Of RGB in 0..1.
        std: Of RGB in 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: SegmentationNetwork, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        for name, values in (("mean", mean), ("std", std)):
            scaled = (torch.tensor(values) * 255).view(1, 3, 1, 1)
            self.register_buffer(name, scaled.to(next(network.parameters()).device))

    def forward(self, frame: Tensor) -> Tensor:
        return self.compute(self.normalise(frame))

    def normalise(self, frame: Tensor) -> Tensor:
        """Image (N, 3, H, W) of the weights' type; the arithmetic is float32."""
        # A view of HWC bytes as NCHW is channels_last already; so is what comes out of the arithmetic.
        image = (frame.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return image.to(next(self.network.parameters()).dtype)

    def compute(self, image: Tensor) -> Tensor:
        """Logits of a normalised image."""
        return self.network.coarse_logits(self.network.encoder(image)).float()

    def copied(self) -> FrameNetwork:
        """A copy of its own: tracing swaps parameters, which must not be seen by a thread that computes."""
        return copy.deepcopy(self)


@contextmanager
def no_deprecations() -> Iterator[None]:
    """Trace a network, or read what tracing gave, in here: torch warns of its own deprecated parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def export_graph(
    model: nn.Module, stride: int, size: tuple[int, int] | None = None, batch: int = 1
) -> torch.export.ExportedProgram:
    """Trace a model that takes a frame.

    Args:
        model: `FrameNetwork`, or what wraps one. It is changed while it is traced: give a copy.
        stride: Output stride of the network.
        size: Height and width of the input, multiples of the stride; None leaves both free.
        batch: Frames in it.
    """
    height, width = size or (-(-MIN_SIZE // stride) * stride * 2, -(-MIN_SIZE // stride) * stride * 3)
    device = next(model.parameters()).device
    frame = torch.zeros(batch, height, width, 3, dtype=torch.uint8, device=device)
    dimensions = None
    if size is None:
        limits = {"min": MIN_SIZE // stride, "max": LARGEST // stride}
        rows, columns = torch.export.Dim("rows", **limits), torch.export.Dim("columns", **limits)
        dimensions = {INPUT: {1: stride * rows, 2: stride * columns}}
    with alone(), torch.no_grad(), no_deprecations():
        return torch.export.export(model, (frame,), dynamic_shapes=dimensions)
