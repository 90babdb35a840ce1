"""What the variants cost: parameters and MACs by counting, latency in turns with the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch

from sernet_core.ablation.rows import BASE, Row
from sernet_core.benchmark.timing import Task, interleave, speedup, summary
from sernet_core.network import NetworkConfig, build_network
from sernet_core.peers.registry import PeerConfig, cost


@lru_cache
def count(network: NetworkConfig | PeerConfig, size: tuple[int, int]) -> dict[str, float]:
    """Parameters, and GMAC of one frame of a width and height."""
    parameters, macs = cost(network, *size)
    return {"parameters": parameters, "gmac": round(macs / 1e9, 4)}


def time_rows(
    rows: Sequence[Row], base: NetworkConfig, size: tuple[int, int], repeats: int
) -> dict[str, Mapping[str, Any]]:
    """Latency of the bare network, eager on the CPU in float32, all variants in turns.

    Args:
        rows: The variants, the base among them. Weights are random: they do not change the time.
        base: Network of the recipe.
        size: Width and height of the frame.
        repeats: Rounds; what takes over 0.3 s leaves after ten.

    Returns:
        By row: milliseconds, and the ratio of its time to the base's (median over the rounds).
    """
    frame = torch.randn(1, 3, size[1], size[0]).contiguous(memory_format=torch.channels_last)
    networks = {row.name: row.network(base) for row in rows}  # rows that change other things share one
    with torch.inference_mode():
        tasks = {network: _task(network, frame) for network in networks.values()}
        times = interleave({str(network): task for network, task in tasks.items()}, 1, repeats)
    return {
        name: {
            **summary(times[str(network)]),
            "ratio": round(1 / speedup(times[str(networks[BASE])], times[str(network)])["median"], 3),
        }
        for name, network in networks.items()
    }


def _task(settings: NetworkConfig | PeerConfig, frame: torch.Tensor) -> Task:
    network = build_network(settings).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return lambda _number: network(frame)
