"""torch.compile: the graph of one size, turned into machine code by a compiler on this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sernet_core.engines.base import Engine, Source
from sernet_core.engines.eager import Eager, computing_in
from sernet_core.engines.folding import fold_batch_norms
from sernet_core.engines.graph import export_graph
from sernet_core.engines.plan import Plan
from sernet_core.engines.threads import compute_with


class Compile(Engine):
    """PyTorch's compiler; what it has compiled is kept in the engine cache's folder inductor."""

    name = "compile"
    summary = "torch.compile for one size; building takes a minute"
    precisions = Eager.precisions
    batches = Eager.batches

    def __init__(self, source: Source, plan: Plan) -> None:
        super().__init__(source, plan)
        folder = source.cache.writable_folder()
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
        model = source.model.copied()
        fold_batch_norms(model)
        # A graph of its own for each size: compiling one module again and again ends at torch's limit.
        graph = export_graph(model, source.stride, plan.padded, plan.batch).module()
        options: dict[str, Any] = {"freezing": True, "fx_graph_cache": not source.cache.updates}
        self._run = torch.compile(graph, fullgraph=True, dynamic=False, options=options)
        self._device = source.device
        compute_with(source.threads)  # the compiled code keeps the number
        self.batch_logits(np.zeros((plan.batch, *plan.padded, 3), np.uint8))

    @classmethod
    def obstacle(cls, device: str, precision: str) -> str:
        """See `Engine.obstacle`."""
        if reason := super().obstacle(device, precision):
            return reason
        if device != "cpu":
            return (
                ""
                if importlib.util.find_spec("triton")
                else "not installed: triton, which CUDA builds of torch bring"
            )
        compiler = os.environ.get("CXX", "g++")
        return (
            ""
            if shutil.which(compiler)
            else f"needs a C++ compiler, and there is no {compiler}: apt install g++"
        )

    @torch.inference_mode()
    def batch_logits(self, frames: np.ndarray) -> Tensor:
        """See `Engine.batch_logits`."""
        with computing_in(self.precision, self._device):
            return self._run(torch.from_numpy(frames).to(self._device))
