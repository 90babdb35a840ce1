"""Everything a run needs to go on as if it had never stopped, in one safetensors file (no pickle)."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sernet_core.blocks import conv_bn
from sernet_core.errors import CheckpointError, InputError
from sernet_core.network import SernetFormer, build_network
from sernet_core.storage import write_atomically
from sernet_core.train.recipe import Recipe

_MOMENTS = ("exp_avg", "exp_avg_sq")


class TrainingNetwork(nn.Module):
    """The network with the auxiliary head that only training uses."""

    def __init__(self, network: SernetFormer, *, auxiliary: bool) -> None:
        super().__init__()
        self.network = network
        third = network.encoder.channels[3]
        self.auxiliary = (
            nn.Sequential(*conv_bn(third, 128, 3), nn.ReLU(), nn.Conv2d(128, network.config.classes, 1))
            if auxiliary
            else None
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits at the image's size, and those of layer3 at its own size (None without the head)."""
        features = self.network.encoder(self.network.pad(image))
        logits = self.network.decode(features, (image.shape[2], image.shape[3]))
        return logits, None if self.auxiliary is None else self.auxiliary(features[3])


class TrainingState:
    """Weights, their running average, optimiser and position of a run.

    Args:
        recipe: Settings; its seed makes the initial weights.
        origin: What the run is made from, see `describe_origin`.
        device: Where the network is trained.
    """

    def __init__(self, recipe: Recipe, origin: Mapping[str, Any], device: str = "cpu") -> None:
        self.recipe = recipe
        self.device = torch.device(device)
        # What must not change between a run and its resumption.
        self._identity = json.dumps({"recipe": asdict(recipe), "origin": origin}, sort_keys=True)
        self.step = 0
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.network)
        self.model = TrainingNetwork(network, auxiliary=recipe.auxiliary_weight > 0)
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(_groups(self.model, recipe), fused=True)

    def set_rates(self) -> None:
        """Learning rates of the present step."""
        factor = self.recipe.rate_factor(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["peak"]

    def advance(self) -> None:
        """Take the step that the gradients point to."""
        self.optimizer.step()
        self._update_average()
        self.step += 1

    def norm_statistics(self) -> dict[str, torch.Tensor]:
        """A copy of what batch norms have learned of their inputs: a forward pass changes it."""
        return {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def set_norm_statistics(self, statistics: Mapping[str, torch.Tensor]) -> None:
        """Put back what `norm_statistics` gave."""
        for name, buffer in self.model.named_buffers():
            buffer.copy_(statistics[name])

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged weights towards the present ones; the first steps forget faster."""
        decay = min(self.recipe.average_decay, (1 + self.step) / (10 + self.step))
        present = self.model.network.state_dict()
        for key, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(present[key], 1 - decay)
            else:
                value.copy_(present[key])

    def reset_average(self) -> None:
        """Start the average at the present weights."""
        self.average.load_state_dict(self.model.network.state_dict())

    def save(self, path: Path, progress: Mapping[str, Any]) -> None:
        """Write the state and the run's progress (JSON-ready values), atomically.

        Raises:
            CheckpointError: The file cannot be written, e.g. on a full disk; the one of before is untouched.
        """
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"optimizer.{name}.{key}": moments[key] for key in _MOMENTS if key in moments}
        tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        metadata = {"step": str(self.step), "identity": self._identity, "progress": json.dumps(progress)}
        try:
            write_atomically(path, lambda target: save_file(tensors, target, metadata))
        except (InputError, SafetensorError) as error:
            raise CheckpointError(f"{path}: the run's state cannot be written: {error}") from error

    def restore(self, path: Path) -> dict[str, Any]:
        """Take over a saved state of the same run and return its progress.

        Raises:
            CheckpointError: Unreadable, or of a run with another recipe, data set or initial weights.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("identity") != self._identity:
                    raise CheckpointError(
                        f"{path}: belongs to a run with another recipe, data set or initial weights; "
                        "give the command that it was started with, or a new run folder"
                    )
                self._take({key: file.get_tensor(key) for key in file.keys()}, int(metadata["step"]))  # noqa: SIM118
                return json.loads(metadata["progress"])
        except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be resumed from: {error}") from error

    def _take(self, tensors: dict[str, Tensor], step: int) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {
                key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
            }

        self.model.load_state_dict(part("model."))
        self.average.load_state_dict(part("average."))
        for name, parameter in self.model.named_parameters():
            moments = {key: tensors.get(f"optimizer.{name}.{key}") for key in _MOMENTS}
            if all(value is not None for value in moments.values()):
                like = {
                    key: torch.empty_like(parameter).copy_(value)  # type: ignore[arg-type]
                    for key, value in moments.items()
                }
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(step), device=self.device),
                    **like,
                }
        self.step = step


def _groups(model: TrainingNetwork, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters by rate (encoder or new) and decay (none for norms, biases and gains: all below 2-D)."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((name.startswith("network.encoder."), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": recipe.encoder_rate if encoder else recipe.rate,
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for (encoder, decays), parameters in groups.items()
    ]
