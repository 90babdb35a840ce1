"""A captured CUDA graph: the whole path from frame to mask, launched at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sernet_core.engines.base import Source
from sernet_core.engines.device import DeviceEngine, lean_network
from sernet_core.engines.eager import PRECISIONS


class CudaGraph(DeviceEngine):
    """Weights in half precision with folded batch norms, channels last; results lie at fixed addresses."""

    name = "cudagraph"
    summary = "a captured CUDA graph of the whole path, for NVIDIA GPUs"
    precisions = {"cuda": ("fp16", "bf16", "fp32")}  # noqa: RUF012

    def _network(self, source: Source) -> nn.Module:
        return lean_network(source.model, PRECISIONS[self.precision])

    def _settle(self) -> None:
        self._graph, self._results = self._captured(self._path)

    def _captured(self, module: nn.Module) -> tuple[torch.cuda.CUDAGraph, Any]:
        """A graph of a module that has run before, and where its results lie after each replay."""
        graph = torch.cuda.CUDAGraph()
        # Another thread may be serving with eager meanwhile, which must not spoil the capture.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            results = module(self._frames)
        return graph, results

    def _network_launch(self) -> Callable[[], object]:
        graph, results = self._captured(self._path.network)

        def launch() -> object:
            graph.replay()
            return results  # whose memory the graph writes into, for as long as somebody holds them

        return launch

    def _run(self) -> tuple[Tensor, Tensor, Tensor]:
        self._graph.replay()
        return self._results
