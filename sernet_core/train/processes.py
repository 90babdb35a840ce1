"""The processes that train one network together, as torchrun starts them; one alone needs none of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sernet_core.devices import resolve_device
from sernet_core.errors import ConfigError

_PATIENCE = timedelta(days=1)  # the first process validates while the others wait


class Processes:
    """How the processes of a run work together.

    Args:
        index: Of this process, from 0.
        count: Of all processes.
        device: On which this one trains.
    """

    def __init__(self, index: int = 0, count: int = 1, device: str = "cpu") -> None:
        self.index, self.count = index, count
        self.device = torch.device(device)

    def __str__(self) -> str:
        return str(self.device) if self.count == 1 else f"{self.count} processes, the first on {self.device}"

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, writes and talks."""
        return self.index == 0

    def share(self, model: nn.Module, *, synchronise_norms: bool) -> nn.Module:
        """The model whose gradients are the mean of those of all processes.

        Args:
            model: Its weights become those of the first process.
            synchronise_norms: Whether batch norms see the parts of all processes.

        Raises:
            ConfigError: Batch norms cannot be synchronised on this device.
        """
        if self.count == 1:
            return model
        if synchronise_norms:
            if self.device.type != "cuda":
                raise ConfigError(
                    "batch_norm: synchronised works between GPUs alone; on CPUs train in one process "
                    "(accumulate saves its memory), or with batch_norm: frozen_encoder or frozen"
                )
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices)

    def hold(self, model: nn.Module) -> AbstractContextManager[None]:
        """Within this, a shared model keeps its gradients to itself and adds them up."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else contextlib.nullcontext()

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of the processes' tensors."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        if self.count == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def agree(self, number: int) -> bool:
        """Whether it is the same number in all processes."""
        first = self.sum(torch.tensor(float(number if self.first else 0), device=self.device))
        return not self.any(int(first) != number)

    def first_says(self, flag: bool) -> bool:
        """What the first process passes here; the others wait for it."""
        return self.any(flag and self.first)


@contextlib.contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun has started; without torchrun it is this one alone.

    Args:
        device: "auto", "cpu", "cuda" or, for one process alone, "cuda:N".

    Raises:
        ConfigError: The device does not exist, or cannot be shared out.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(device=resolve_device(device))
        return
    if device.startswith("cuda:"):
        raise ConfigError(
            f"--device {device}: each of {count} processes needs a GPU of its own; give cuda or auto"
        )
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        own = "cpu"
    else:
        own = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(own)
    distributed.init_process_group("gloo" if own == "cpu" else "nccl", timeout=_PATIENCE)
    try:
        yield Processes(distributed.get_rank(), count, own)
    finally:
        distributed.destroy_process_group()
