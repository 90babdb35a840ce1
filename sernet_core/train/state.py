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
from sernet_core.errors import CheckpointError, ConfigError, InputError
from sernet_core.network import SernetFormer, build_network
from sernet_core.storage import write_atomically
from sernet_core.train.average import norms_of, update_average, with_still_norms
from sernet_core.train.optimizer import build_optimizer, optimizer_tensors, restore_optimizer
from sernet_core.train.recipe import Recipe, read_recipe


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


_LATER = ("labels_sha256",)  # keys of an origin that states of an older version lack


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
        self._origin = json.loads(json.dumps(origin))
        self.step = 0
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.network)
        self.model = TrainingNetwork(network, auxiliary=recipe.auxiliary_weight > 0)
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(network).requires_grad_(False)
        for part in recipe.freeze:
            network.get_submodule(part).requires_grad_(False)
        self.optimizer = build_optimizer(self.model, recipe)

    def set_training(self) -> None:
        """Training mode, but for the parts and the norms that the recipe freezes."""
        self.model.train()
        whole = self.recipe.batch_norm == "frozen"
        for module in [self.model] if whole else with_still_norms(self.model.network, self.recipe):
            for norm in norms_of(module):
                norm.eval()
        for part in self.recipe.freeze:
            self.model.network.get_submodule(part).eval()  # dropout too

    def set_rates(self) -> None:
        """Learning rates of the present step."""
        factor = self.recipe.rate_factor(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["peak"]

    def advance(self) -> None:
        """Take the step that the gradients point to."""
        self.optimizer.step()
        update_average(self.average, self.model.network, self.recipe, self.step)
        self.step += 1

    def norm_statistics(self) -> dict[str, torch.Tensor]:
        """A copy of what batch norms have learned of their inputs: a forward pass changes it."""
        return {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def set_norm_statistics(self, statistics: Mapping[str, torch.Tensor]) -> None:
        """Put back what `norm_statistics` gave."""
        for name, buffer in self.model.named_buffers():
            buffer.copy_(statistics[name])

    def reset_average(self) -> None:
        """Start the average at the present weights."""
        self.average.load_state_dict(self.model.network.state_dict())

    def borrow(self, other: TrainingState) -> None:
        """Take over the weights of another run's model, wherever name and shape agree."""
        own, weights = self.model.state_dict(), other.model.state_dict()
        common = {
            key: value for key, value in weights.items() if key in own and own[key].shape == value.shape
        }
        self.model.load_state_dict(common, strict=False)

    def save(self, path: Path, progress: Mapping[str, Any]) -> None:
        """Write the state and the run's progress (JSON-ready values), atomically.

        Raises:
            CheckpointError: The file cannot be written, e.g. on a full disk; the one of before is untouched.
        """
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        memory = optimizer_tensors(self.optimizer, self.model, self.recipe)
        tensors |= {f"optimizer.{key}": value for key, value in memory.items()}
        tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        # What must not change between a run and its resumption.
        identity = json.dumps({"recipe": asdict(self.recipe), "origin": self._origin}, sort_keys=True)
        metadata = {"step": str(self.step), "identity": identity, "progress": json.dumps(progress)}
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
                identity = json.loads(metadata.get("identity", "{}"))
                if not self.is_of(identity.get("recipe", {}), identity.get("origin", {})):
                    raise CheckpointError(
                        f"{path}: belongs to a run with another recipe, data set or initial weights; "
                        "give the command that it was started with, or a new run folder"
                    )
                step, progress = int(metadata["step"]), json.loads(metadata["progress"])
                if not 0 <= step <= self.recipe.steps:
                    raise ValueError(f"its description is damaged (step {step} of {self.recipe.steps})")
                self._take({key: file.get_tensor(key) for key in file.keys()}, step)  # noqa: SIM118
                return progress
        except (OSError, SafetensorError, KeyError, AttributeError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be resumed from: {error}") from error

    def is_of(self, recipe: Mapping[str, Any], origin: Mapping[str, Any]) -> bool:
        """Whether what was saved with a recipe and an origin, as plain values, is of this run.

        A setting that it is too old to know had its default; what it is too old to say of its origin is not
        compared.
        """
        try:
            saved = read_recipe(recipe)
        except ConfigError:
            return False
        own = {key: value for key, value in self._origin.items() if key in origin or key not in _LATER}
        return saved == self.recipe and origin == own

    def _take(self, tensors: dict[str, Tensor], step: int) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {
                key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
            }

        self.model.load_state_dict(part("model."))
        self.average.load_state_dict(part("average."))
        restore_optimizer(self.optimizer, self.model, self.recipe, part("optimizer."), step)
        self.step = step
