"""What no implementation on a GPU can outdo: operations and bytes of a network at the best rates measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sernet_core.network import build_network
from sernet_core.peers.registry import cost

MATRIX_SIDE = 8192
COPIED_BYTES = 2**30
RUNS = 20
_WARM_UP = 3
HALF = ("fp16", "bf16")
"""Precisions that `Work.floor_ms` is for: two bytes a value, computed by matrix units."""


@dataclass(frozen=True)
class Rates:
    """What a device was measured to do.

    Attributes:
        operations: A second, of a large fp16 matrix product; a multiply-add is two.
        bytes: A second, read and written, of a large copy within the device's memory.
    """

    operations: float
    bytes: float


@dataclass(frozen=True)
class Work:
    """What a network has to do for one frame.

    Attributes:
        operations: Multiplications and additions of convolutions and matrix products.
        values: Every weight once, and each convolution's input and output: what moves where layers run one
            after another, each out of the memory and back.
    """

    operations: int
    values: int

    def floor_ms(self, rates: Rates) -> float:
        """Milliseconds in half precision: those of the operations or of the bytes, whichever is more."""
        return 1e3 * max(self.operations / rates.operations, 2 * self.values / rates.bytes)


def work_of(config: Any, width: int, height: int) -> Work:
    """Work of a network at the size at which it sees a frame, counted without computing anything."""
    values = 0

    def count(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal values
        values += inputs[0].numel() + output.numel()

    with torch.device("meta"), torch.no_grad():
        network = build_network(config).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                module.register_forward_hook(count)
        network(torch.empty(1, 3, height, width))
    parameters, macs = cost(config, width, height)
    return Work(2 * macs, values + parameters)


def measure(
    device: str,
    *,
    side: int = MATRIX_SIDE,
    copied: int = COPIED_BYTES,
    clock: Callable[[], float] = time.perf_counter,
) -> Rates:
    """Rates of a device, medians of several runs.

    Args:
        device: "cuda:N"; a CPU has rates, too.
        side: Of the square matrices.
        copied: Bytes of the copy.
        clock: Monotonic seconds.
    """
    left, right = (torch.randn(side, side, device=device).half() for _ in range(2))
    product = torch.empty_like(left)
    source = torch.zeros(copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    with torch.inference_mode():
        multiplying = _seconds(lambda: torch.matmul(left, right, out=product), device, clock)
        copying = _seconds(lambda: target.copy_(source), device, clock)
    return Rates(2 * side**3 / multiplying, 2 * copied / copying)


def settle(device: str) -> None:
    """Wait until a device has done what it was given; a CPU has."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def _seconds(task: Callable[[], object], device: str, clock: Callable[[], float]) -> float:
    times = []
    for _ in range(_WARM_UP + RUNS):
        settle(device)
        start = clock()
        task()
        settle(device)
        times.append(clock() - start)
    return statistics.median(times[_WARM_UP:])
