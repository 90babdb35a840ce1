"""The reference: the network as PyTorch runs it, operation by operation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sernet_core.engines.base import Engine, Source
from sernet_core.engines.plan import Plan

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Eager(Engine):
    """PyTorch without preparation."""

    name = "eager"
    summary = "PyTorch operation by operation: the reference, ready at once"
    precisions = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")}  # noqa: RUF012
    batches = ("cuda",)

    def __init__(self, source: Source, plan: Plan) -> None:
        super().__init__(source, plan)
        self._model = source.model
        self._device = source.device

    def batch_logits(self, frames: np.ndarray) -> Tensor:
        """See `Engine.batch_logits`."""
        with computing_in(self.precision, self._device):
            return self._model(torch.from_numpy(frames).to(self._device))


def computing_in(precision: str, device: str) -> torch.autocast:
    """Context in which torch computes in a precision where that is safe."""
    reduced = precision != "fp32"
    return torch.autocast(
        device.partition(":")[0], PRECISIONS[precision] if reduced else None, enabled=reduced
    )
