"""What a network costs beside its own trunk: the plain residual network that it is built around."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import nn

from sernet_core.benchmark.timing import Times, interleave
from sernet_core.network import NetworkConfig, build_network
from sernet_core.profile import STAGES, profile

TRUNK = tuple(STAGES)[:5]  # stages of the encoder
PARTS = ("dbn", "afn2", "afn1", "abm")  # in the order in which they are added


@dataclass(frozen=True)
class Step:
    """The trunk, or the network with some of its parts.

    Attributes:
        name: What it is.
        config: The network; of a trunk alone, the network whose encoder it is.
        trunk: Whether it is the encoder alone.
        parameters: Learned values.
        macs: Multiply-accumulates of one frame.
    """

    name: str
    config: NetworkConfig
    trunk: bool
    parameters: int
    macs: int

    def build(self) -> nn.Module:
        """The module with fresh weights, in eval mode."""
        network = build_network(self.config).eval()
        return network.encoder if self.trunk else network


def steps(config: NetworkConfig, width: int, height: int) -> list[Step]:
    """From the plain trunk to the whole network, part by part; parts that the network has not are left out.

    The plain trunk comes at output stride 32, as it classifies images, and at the network's own.
    """
    bare = dataclasses.replace(config, abm=False, dbn=False, afn1=False, afn2=False)
    strides = dict.fromkeys((32, config.output_stride))
    found = []
    for stride in strides:
        trunk = dataclasses.replace(bare, output_stride=stride)
        stages = [stage for stage in profile(trunk, width, height).stages if stage.name in TRUNK]
        parameters, macs = sum(stage.parameters for stage in stages), sum(stage.macs for stage in stages)
        found.append(Step(f"plain trunk, output stride {stride}", trunk, True, parameters, macs))
    names = {"dbn": "DbN", "afn2": "AfN2", "afn1": "AfN1", "abm": "AbM"}
    labels = {"with projections and head": bare}
    for part in PARTS:
        if getattr(config, part):
            bare = dataclasses.replace(bare, **{part: True})  # type: ignore[arg-type]
            labels[f"and {names[part]}"] = bare
    for name, one in labels.items():
        cost = profile(one, width, height)
        found.append(Step(name, one, False, cost.parameters, cost.macs))
    return found


def time_steps(found: list[Step], width: int, height: int, runs: int) -> Times:
    """Seconds of each step by name for one frame, in turns: eager, float32, on the CPU.

    Args:
        found: The steps.
        width: Of the frame, as the network sees it.
        height: Of the frame.
        runs: Timed rounds; a step that takes over 0.3 s leaves after ten.
    """
    frame = torch.randn(1, 3, height, width).contiguous(memory_format=torch.channels_last)
    modules = {
        step.name: step.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for step in found
    }
    with torch.inference_mode():
        return interleave(
            {name: lambda _, module=module: module(frame) for name, module in modules.items()},  # type: ignore[misc]
            1,
            runs,
        )
