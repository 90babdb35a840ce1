"""One step of learning: forward, loss and gradients of a batch, whatever parts it is computed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sernet_core.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from sernet_core.errors import ConfigError, DivergedError
from sernet_core.losses import Criterion, HardPixels
from sernet_core.train.distil import Teacher, distillation_loss
from sernet_core.train.processes import Processes
from sernet_core.train.recipe import Recipe
from sernet_core.train.state import TrainingState

ATTEMPTS = 3  # at a batch whose loss or gradient is not finite


class Learner:
    """Takes the steps of a run.

    Args:
        state: What learns.
        weights: float32 (K,), of the classes.
        processes: Those that share the batch.
        teacher: Network to learn from beside the labels.
        unlabelled: Ids of the classes that the second data set does not label.

    Raises:
        ConfigError: A batch cannot be shared out among the processes, or norms not be synchronised.
    """

    def __init__(
        self,
        state: TrainingState,
        weights: Tensor,
        processes: Processes,
        teacher: Teacher | None = None,
        unlabelled: Sequence[int] = (),
    ) -> None:
        self.state, self.processes, self._teacher = state, processes, teacher
        self.recipe = recipe = state.recipe
        if recipe.batch_size % (processes.count * recipe.accumulate):
            raise ConfigError(
                f"batch_size: {recipe.batch_size} crops cannot be cut into equal parts for "
                f"{processes.count} process(es) "
                f"with {recipe.accumulate} part(s) each (accumulate)"
            )
        self._model = processes.share(state.model, synchronise_norms=recipe.batch_norm == "synchronised")
        self._criterion = criterion(recipe, weights.to(state.device), unlabelled)
        self._mean = (torch.tensor(IMAGENET_MEAN) * 255).view(1, 3, 1, 1).to(state.device)
        self._std = (torch.tensor(IMAGENET_STD) * 255).view(1, 3, 1, 1).to(state.device)

    def learn(self, image: Tensor, label: Tensor, warn: Callable[[str], object]) -> float:
        """Learn from this process's share of a batch and return the loss of the whole batch.

        A loss or gradient that is not finite changes nothing, and the batch is tried again: reduced precision
        on a CPU has been seen to give one now and then for a batch that was fine the next time.

        Args:
            image: uint8 (n, 3, h, w) RGB.
            label: int64 (n, h, w), as `losses` reads it.
            warn: Is told of such a batch.

        Raises:
            DivergedError: It is never finite.
            ConfigError: The crops at once are too few for the network's norms.
        """
        state = self.state
        image = image.to(state.device, non_blocking=True)
        label = label.to(state.device, non_blocking=True)
        state.set_training()
        state.set_rates()
        for attempt in range(ATTEMPTS):
            if attempt:
                warn(f"step {state.step}: not finite, trying the batch again")
            # Dropout, where a network has it, depends on the step: the same after a kill and in a retry.
            draw = state.step * self.processes.count + self.processes.index
            torch.manual_seed((self.recipe.seed << 32) + draw)
            norms = state.norm_statistics()
            loss, finite = self._backward(image, label)
            if finite:
                state.advance()
                return loss
            state.set_norm_statistics(norms)
        raise DivergedError(
            f"step {state.step}: loss {loss} or its gradient is not finite, {ATTEMPTS} times in a row: "
            "start a new run with a lower learning rate, or with precision: fp32"
        )

    def normalise(self, image: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) RGB to what the network takes."""
        image = (image.to(self.state.device).float() - self._mean) / self._std
        return image.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> torch.autocast:
        """The recipe's precision."""
        return torch.autocast(self.state.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16")

    def _backward(self, image: Tensor, label: Tensor) -> tuple[float, bool]:
        """Gradients of a batch's loss: that loss, and whether all is finite, alike in all processes."""
        extent = self.processes.sum(self._criterion.extent(label))
        self.state.optimizer.zero_grad(set_to_none=True)
        size = len(image) // self.recipe.accumulate
        parts = list(zip(image.split(size), label.split(size), strict=True))
        total = torch.zeros((), device=self.state.device)
        with self.processes.hold(self._model):
            for part in parts[:-1]:
                total += self._backward_part(*part, extent)
        total += self._backward_part(*parts[-1], extent)
        total = self.processes.sum(total)
        gradients = [
            parameter.grad for parameter in self.state.model.parameters() if parameter.grad is not None
        ]
        norm = torch.nn.utils.get_total_norm(gradients)
        return float(total), bool(torch.isfinite(total) & torch.isfinite(norm))

    def _backward_part(self, image: Tensor, label: Tensor, extent: Tensor) -> Tensor:
        """Add the gradients of a part's share in the loss of its batch, and return that share."""
        try:
            with self.autocast():
                logits, auxiliary = self._model(self.normalise(image))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                f"batch_size: {len(image)} crop(s) at once are too few for a norm of this network that sees "
                "one value a crop; take more (batch_size over processes and accumulate)"
            ) from error
        loss = self._criterion(logits, auxiliary, label, extent)
        if self._teacher is not None:
            taught = self._teacher.logits(image)
            distance = distillation_loss(logits, taught, self.recipe.distil_temperature)
            loss = loss + self.recipe.distil_weight * distance * len(image) / self.recipe.batch_size
        # Shared models take the mean over processes, and the loss is a sum.
        (loss * self.processes.count).backward()
        return loss.detach()


def criterion(recipe: Recipe, weights: Tensor, unlabelled: Sequence[int] = ()) -> Criterion:
    """The recipe's loss, with class weights (K,), and the classes that an open label leaves open."""
    return Criterion(
        weights,
        hard=HardPixels(recipe.ohem_threshold, recipe.ohem_share) if recipe.ohem_threshold else None,
        region=recipe.region,
        region_weight=recipe.region_weight,
        auxiliary_weight=recipe.auxiliary_weight,
        unlabelled=unlabelled,
    )
