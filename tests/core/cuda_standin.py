"""Stand-ins for what the GPU engines use of torch.cuda, so that their flow runs on a CPU.

They show that each frame's bytes reach the path and its results the caller. What only a GPU shows (streams,
pinned memory, capture) is shown by the tests that need one.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import ClassVar

import pytest
import torch

from sernet_core.engines.device import DevicePath


class Stream:
    """Runs everything at once."""

    def __init__(self, device: object = None) -> None:
        self.waited = 0

    def wait_stream(self, other: Stream) -> None:
        self.waited += 1

    def synchronize(self) -> None:
        pass


class Graph:
    """Records calls of the path, and on replay makes them again into the same tensors."""

    all: ClassVar[list[Graph]] = []

    def __init__(self) -> None:
        Graph.all.append(self)
        self.calls: list = []
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        for path, frame, results in self.calls:
            for old, new in zip(results, _forward(path, frame), strict=True):
                old.copy_(new)


_forward = DevicePath.forward


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins in place of torch.cuda's own."""
    open_graphs: list[Graph] = []
    patch.setattr(Graph, "all", [])

    def forward(path: DevicePath, frame: torch.Tensor):
        results = _forward(path, frame)
        for graph in open_graphs:
            graph.calls.append((path, frame, results))
        return results

    @contextmanager
    def capture(graph: Graph, *, stream: Stream, capture_error_mode: str):
        open_graphs.append(graph)
        yield
        open_graphs.pop()

    patch.setattr(DevicePath, "forward", forward)
    patch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    patch.setattr(torch.cuda, "Stream", Stream)
    patch.setattr(torch.cuda, "CUDAGraph", Graph)
    patch.setattr(torch.cuda, "graph", capture)
    patch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    patch.setattr(torch.cuda, "device", lambda device: nullcontext())
    patch.setattr(torch.cuda, "current_stream", Stream)
