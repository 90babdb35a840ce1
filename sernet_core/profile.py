"""What a network costs: parameters, multiply-accumulates (MAC) and latency, by stage.

MACs are counted on torch's meta device, which follows shapes and computes nothing, so that every variant is
counted at any size in a moment. Only convolutions are counted: one MAC is one multiply and one add of a
convolution's sum. Batch norms, gates, activations, pooling, resizing and biases are left out, as in the
field's tables; the auxiliary head belongs to training and is not part of the network.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from sernet_core.errors import ConfigError
from sernet_core.network import NetworkConfig, SernetFormer, build_network

# Stage: prefixes of the names of its modules. Together they hold every parameter, each once.
STAGES: dict[str, tuple[str, ...]] = {
    "stem": ("encoder.conv1", "encoder.bn1", "encoder.gate1"),
    "layer1": ("encoder.layer1",),
    "layer2": ("encoder.layer2",),
    "layer3": ("encoder.layer3",),
    "layer4": ("encoder.layer4",),
    "DbN": ("context",),
    "AfN2": ("afn2",),
    "AfN1": ("afn1",),
    "head": ("head",),
}


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage.

    Attributes:
        name: Key of `STAGES`.
        output: Channels, height and width of its output for one frame.
        parameters: Learned values; a batch norm's running mean and variance are not learned.
        macs: Multiply-accumulates for one frame.
    """

    name: str
    output: tuple[int, int, int]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Profile:
    """Cost of a network at an input size.

    Attributes:
        network: The variant.
        size: Width and height of the input.
        padded: Width and height that the network computes on.
        stages: Costs in the order in which the stages run.
    """

    network: NetworkConfig
    size: tuple[int, int]
    padded: tuple[int, int]
    stages: tuple[StageCost, ...]

    @property
    def parameters(self) -> int:
        """Learned values of the whole network."""
        return sum(stage.parameters for stage in self.stages)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole network for one frame."""
        return sum(stage.macs for stage in self.stages)


def profile(config: NetworkConfig, width: int, height: int) -> Profile:
    """Count a variant's cost for one frame, without computing anything.

    Raises:
        InputError: The size is below 64 x 64.
    """
    with torch.device("meta"), torch.no_grad():
        network = build_network(config).eval()
        frame = torch.empty(1, 3, height, width)
        padded = network.pad(frame).shape[-2:]
        macs = dict.fromkeys(STAGES, 0)
        outputs: dict[str, Tensor] = {}
        _watch(network, macs, outputs)
        network(frame)
    parameters = dict.fromkeys(STAGES, 0)
    for name, parameter in network.named_parameters():
        parameters[_stage_of(name)] += parameter.numel()
    stages = tuple(StageCost(name, _shape(outputs[name]), parameters[name], macs[name]) for name in STAGES)
    return Profile(config, (width, height), (padded[1], padded[0]), stages)


def latency(config: NetworkConfig, width: int, height: int, *, threads: int = 0, runs: int = 10) -> float:
    """Median time of the network alone for one frame on the CPU, eager, float32, in milliseconds.

    The weights are random: arithmetic takes the same time for any weights.

    Args:
        config: The variant.
        width: Of the frame.
        height: Of the frame.
        threads: CPU threads, set for the whole process; 0 leaves torch's choice.
        runs: Timed runs, after two that warm up.

    Raises:
        ConfigError: A negative number of threads, or no run.
        InputError: The size is below 64 x 64.
    """
    if threads < 0 or runs < 1:
        raise ConfigError(f"timing needs threads >= 0 and runs >= 1, got {threads} and {runs}")
    if threads:
        torch.set_num_threads(threads)
    network = build_network(config).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frame = torch.randn(1, 3, height, width).contiguous(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        for _ in range(runs + 2):
            start = time.perf_counter()
            network(frame)
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[2:])


def _watch(network: SernetFormer, macs: dict[str, int], outputs: dict[str, Tensor]) -> None:
    """Hooks that add up MACs and keep each stage's output while the network runs."""

    def count(stage: str, module: nn.Conv2d, _inputs: object, output: Tensor) -> None:
        # A weight is (outputs, inputs / groups, kernel, kernel): each output element sums one such filter.
        macs[stage] += output.numel() * module.weight[0].numel()

    def keep(stage: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs[stage] = output

    def keep_features(_module: nn.Module, _inputs: object, features: tuple[Tensor, ...]) -> None:
        outputs.update(zip(STAGES, features, strict=False))  # the first five stages are the encoder's

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(partial(count, _stage_of(name)))
    network.encoder.register_forward_hook(keep_features)
    for stage, part in zip(tuple(STAGES)[5:], ("context", "afn2", "afn1", "head"), strict=True):
        getattr(network, part).register_forward_hook(partial(keep, stage))


def _stage_of(name: str) -> str:
    """Stage of a module or parameter of the network."""
    return next(
        stage for stage, prefixes in STAGES.items() if any(f"{name}.".startswith(f"{p}.") for p in prefixes)
    )


def _shape(output: Tensor) -> tuple[int, int, int]:
    channels, height, width = output.shape[1:]
    return channels, height, width
