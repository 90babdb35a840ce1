"""Distillation: a student learns from the class probabilities of a larger, trained network."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional

from sernet_core.checkpoint import Checkpoint
from sernet_core.engines.folding import fold_batch_norms
from sernet_core.errors import ConfigError
from sernet_core.labels import ClassSet


class Teacher:
    """A trained network that looks at the student's crops.

    Args:
        checkpoint: Its weights and what its file says of it.
        device: Where it runs.
        mixed: In bfloat16, where that is precise enough.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, *, mixed: bool) -> None:
        network = copy.deepcopy(checkpoint.network).requires_grad_(False).eval()
        fold_batch_norms(network)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean = (torch.tensor(checkpoint.info.mean) * 255).view(1, 3, 1, 1).to(device)
        self.std = (torch.tensor(checkpoint.info.std) * 255).view(1, 3, 1, 1).to(device)
        self.mixed = mixed

    @torch.inference_mode()
    def logits(self, image: Tensor) -> Tensor:
        """Logits float32 (N, K, H, W) for images uint8 (N, 3, H, W) RGB on its device."""
        batch = ((image.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.mixed):
            return self.network(batch).float()


def check_teacher(teacher: Checkpoint, classes: ClassSet) -> None:
    """Find out whether a model can teach.

    Raises:
        ConfigError: It knows other classes than the data.
    """
    if difference := teacher.info.classes.difference(classes):
        raise ConfigError(f"the teacher has other classes than the data: {difference}")


def distillation_loss(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Divergence of a student from its teacher, mean over all pixels, void ones too.

    Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531: Kullback-Leibler
    divergence of the softened distributions, times the squared temperature, which keeps the size of its
    gradient beside the cross-entropy's.

    Args:
        logits: The student's, (N, K, H, W).
        taught: The teacher's, of the same shape.
        temperature: Divides both; above 1 the teacher's second thoughts count more.
    """
    student = functional.log_softmax(logits.float() / temperature, 1)
    teacher = functional.log_softmax(taught.float() / temperature, 1)
    divergence = functional.kl_div(student, teacher, reduction="none", log_target=True).sum(1)
    return divergence.mean() * temperature**2
