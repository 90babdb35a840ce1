"""Watching a network while it looks at a frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sernet_core.blocks import AttentionBoostingGate
from sernet_core.context import DilationNetwork
from sernet_core.decoder import AttentionFusion
from sernet_core.engines.base import Source
from sernet_core.engines.plan import Plan
from sernet_core.engines.upsample import Upsampler
from sernet_core.errors import ConfigError
from sernet_core.input_size import InputSize
from sernet_core.network import SernetFormer

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")  # what AbM1 to AbM5 stand in
FUSIONS = {"DbN": "context", "AfN1": "afn1", "AfN2": "afn2"}
PARTS = ("AbM", *FUSIONS)  # what a network can be run without


@dataclass(frozen=True)
class GateLook:
    """What one attention-boosting module did in a frame.

    Attributes:
        energy: float32 (h, w): root mean square over the channels of what the gate adds, in cells of the
            padded input.
        activity: Root mean square of what the gate adds, in percent of that of the module's output.
    """

    energy: np.ndarray
    activity: float


@dataclass
class Look:
    """What was seen in a frame.

    Attributes:
        mask: uint8 (H, W) class ids.
        gates: By the name of the module, AbM1 to AbM5; none in a network without them.
        fusions: By name: features float32 (C, h, w) before and after the part; without those switched off.
        plan: Sizes of the frame and of the network's input.
        without: uint8 (H, W) masks of the same network without a part, by the part's name, where asked for.
    """

    mask: np.ndarray
    gates: dict[str, GateLook]
    fusions: dict[str, tuple[Tensor, Tensor]]
    plan: Plan
    without: dict[str, np.ndarray] = field(default_factory=dict)


class Probe:
    """Looks at frames through a model, by the eager reference in float32.

    Args:
        source: The model.
        input_size: Rule for the size at which the network sees a frame, see `InputSize.parse`.

    Raises:
        ConfigError: The model is no SERNet-Former, or the rule makes no sense.
    """

    def __init__(self, source: Source, input_size: str = "model") -> None:
        self.info = source.info
        self._model = source.model
        if not isinstance(source.model.network, SernetFormer):
            kind = type(source.model.network).__name__
            raise ConfigError(f"{source.path}: has no gates and fusions to look at: it is a {kind}")
        self._network = source.model.network
        self._source = source
        self._device = source.device
        self._sizing = InputSize.parse(input_size, source.info.input_size)

    @property
    def gains(self) -> dict[str, float]:
        """Gain of each gate; 1 where it is fixed."""
        gates = _gates(self._network)
        return {name: 1.0 if gate.gain is None else gate.gain.item() for name, (gate, _) in gates.items()}

    @property
    def parts(self) -> list[str]:
        """Parts that the network has and can be run without."""
        config = self._network.config
        has = (config.abm, config.dbn, config.afn1, config.afn2)
        return [part for part, there in zip(PARTS, has, strict=True) if there]

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the network sees a frame of a size."""
        return self._sizing.of(height, width)

    def look(self, image: np.ndarray, *, without: bool = False) -> Look:
        """Look at a frame, uint8 (H, W, 3) RGB.

        Args:
            image: The frame.
            without: Also run without each part in turn: one more pass of the encoder, four of the decoder.
        """
        height, width = image.shape[:2]
        plan = self._source.plan((height, width), self._sizing.of(height, width))
        upsampler = Upsampler(plan)
        with torch.inference_mode():
            frame = torch.from_numpy(plan.prepare(image)).to(self._device)[None]
            picture = self._model.normalise(frame)
            with ExitStack() as hooks:
                gates = hooks.enter_context(_watched_gates(self._network))
                fusions = hooks.enter_context(_watched_fusions(self._network))
                features = self._network.encoder(picture)
                mask = upsampler.mask(self._network.coarse_logits(features).float()[0])
            look = Look(mask, gates, fusions, plan)
            for part in self.parts if without else ():
                with switched_off(self._network, part):
                    seen = self._network.encoder(picture) if part == "AbM" else features
                    look.without[part] = upsampler.mask(self._network.coarse_logits(seen).float()[0])
        return look


@contextmanager
def switched_off(network: SernetFormer, part: str) -> Iterator[None]:
    """Let a network compute without a part, with its weights otherwise as they are.

    What is left is what the network would be without the part (`NetworkConfig`): the gates add nothing, DbN
    and the AfN give their projection. It was not trained so: what is lost shows how far this network leans on
    the part, not how good a network trained without it would be.

    Args:
        network: The network.
        part: One of `PARTS`.
    """

    def silence(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return torch.zeros_like(output)

    def project_context(module: DilationNetwork, inputs: tuple[Tensor], _output: Tensor) -> Tensor:
        return functional.relu(module.project(inputs[0]))

    def project_fusion(
        module: AttentionFusion, inputs: tuple[Tensor, tuple[int, int], Tensor], _output: Tensor
    ) -> Tensor:
        return module.enter(*inputs)

    with ExitStack() as hooks:
        if part == "AbM":
            for gate, _ in _gates(network).values():
                hooks.callback(gate.register_forward_hook(silence).remove)
        else:
            module = getattr(network, FUSIONS[part])
            hook = project_context if part == "DbN" else project_fusion
            hooks.callback(module.register_forward_hook(hook).remove)
        yield


def _gates(network: SernetFormer) -> dict[str, tuple[AttentionBoostingGate, nn.Module]]:
    """Gate of each attention-boosting module, and the module whose input or output is the AbM's output."""
    encoder = network.encoder
    if encoder.gate1 is None:
        return {}
    blocks = [layer[-1] for layer in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)]
    pairs = [(encoder.gate1, encoder.maxpool), *((block.gate, block) for block in blocks)]
    return {f"AbM{number}": pair for number, pair in enumerate(pairs, 1)}


@contextmanager
def _watched_gates(network: SernetFormer) -> Iterator[dict[str, GateLook]]:
    found: dict[str, GateLook] = {}
    added: dict[str, Tensor] = {}

    def finish(name: str, output: Tensor) -> None:
        energy = added.pop(name).float().square().mean(1)[0]
        whole = output.float().square().mean()
        share = 100.0 * float((energy.mean() / whole.clamp(min=1e-12)).sqrt())
        found[name] = GateLook(energy.sqrt().cpu().numpy(), share)

    with ExitStack() as hooks:
        for name, (gate, module) in _gates(network).items():

            def keep(_gate: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
                added[name] = output

            def of_stem(_module: nn.Module, inputs: tuple[Tensor], _out: Tensor, name: str = name) -> None:
                finish(name, inputs[0])

            def of_block(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
                finish(name, output)

            hooks.callback(gate.register_forward_hook(keep).remove)
            stem = module is network.encoder.maxpool
            hooks.callback(module.register_forward_hook(of_stem if stem else of_block).remove)
        yield found


@contextmanager
def _watched_fusions(network: SernetFormer) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    found: dict[str, tuple[Tensor, Tensor]] = {}
    before: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, field_ in FUSIONS.items():
            module = getattr(network, field_)
            inner = module.branches if name == "DbN" else module.boost
            if not len(inner):
                continue

            def enter(_inner: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
                before[name] = inputs[0][0].float()

            def leave(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
                found[name] = before[name], output[0].float()

            hooks.callback(inner[0].register_forward_pre_hook(enter).remove)
            hooks.callback(module.register_forward_hook(leave).remove)
        yield found
