"""Distillation: its loss, and runs with a teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import SMALL, Frames, noise_frames

from sernet_core.checkpoint import Checkpoint, load_checkpoint, read_info
from sernet_core.errors import CheckpointError, ConfigError
from sernet_core.labels import IGNORE, ClassSet
from sernet_core.runtime import Segmenter
from sernet_core.train import train
from sernet_core.train.distil import Teacher, distillation_loss


def test_loss_is_the_divergence() -> None:
    generator = torch.Generator().manual_seed(1)
    ours, theirs = torch.randn(2, 2, 5, 3, 4, generator=generator, dtype=torch.float32)
    p, q = (theirs / 2).softmax(1), (ours / 2).softmax(1)
    expected = 4 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(distillation_loss(ours, theirs, 2.0), expected)
    assert float(distillation_loss(theirs, theirs, 2.0)) == pytest.approx(0, abs=1e-6)


def test_gradient_keeps_its_size_when_softened() -> None:
    generator = torch.Generator().manual_seed(2)
    ours, theirs = torch.randn(2, 1, 4, 8, 8, generator=generator) * 0.1
    norms = []
    for temperature in (1.0, 8.0):
        logits = ours.clone().requires_grad_()
        distillation_loss(logits, theirs, temperature).backward()
        assert logits.grad is not None
        norms.append(float(logits.grad.norm()))
    assert norms[1] == pytest.approx(norms[0], rel=0.1)


@pytest.fixture
def teacher(tmp_path: Path) -> Checkpoint:
    """A model that was trained for a few steps, on frames of its own."""
    assert train(SMALL, Frames(noise_frames(3, "t"), "teachers"), [], tmp_path / "teacher", workers=0)
    return load_checkpoint(tmp_path / "teacher/model.safetensors")


def test_teacher_sees_what_the_product_sees(teacher: Checkpoint) -> None:
    frame = noise_frames(1)[0].image
    seen = Teacher(teacher, torch.device("cpu"), mixed=False)
    logits = seen.logits(torch.from_numpy(frame).permute(2, 0, 1)[None])
    assert logits.shape == (1, 11, 64, 96)
    mask = Segmenter.load(teacher.path, device="cpu").segment(frame).mask
    assert np.array_equal(logits.argmax(1)[0].numpy(), mask)
    assert all(parameter.grad is None for parameter in seen.network.parameters())
    assert len(teacher.network.state_dict()) > len(seen.network.state_dict())  # the given one stays as it was


def test_a_student_nears_its_teacher_where_nothing_is_labelled(teacher: Checkpoint, tmp_path: Path) -> None:
    """With every label void, the teacher is all that there is to learn from."""
    frames = [replace(sample, label=np.full_like(sample.label, IGNORE)) for sample in noise_frames(3)]
    recipe = replace(SMALL, steps=12, synthetic_share=0.0, auxiliary_weight=0.0, validate_every=12, seed=7)
    distances = []
    for steps in (1, 12):
        folder = tmp_path / f"student{steps}"
        run = replace(recipe, steps=steps, average_decay=0.0)
        assert train(run, Frames(frames), [], folder, teacher=teacher, workers=0)
        student = load_checkpoint(folder / "model.safetensors").network
        image = torch.from_numpy(np.stack([frame.image for frame in frames])).permute(0, 3, 1, 2)
        taught = Teacher(teacher, torch.device("cpu"), mixed=False).logits(image)
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) * 255 for x in (teacher.info.mean, teacher.info.std))
        with torch.no_grad():
            distances.append(float(distillation_loss(student((image - mean) / std), taught, 1.0)))
    assert distances[1] < 0.8 * distances[0]


def test_the_model_remembers_its_teacher(teacher: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    assert train(SMALL, Frames(noise_frames(3)), [], folder, teacher=teacher, workers=0)
    data = read_info(folder / "model.safetensors").data
    assert data["teacher"]["file"] == "model.safetensors" and data["teacher"]["data"]["train"] == "teachers"
    assert data["stems"] == ["n0", "n1", "n2", "t0", "t1", "t2"]  # what the teacher saw is not unseen
    with pytest.raises(CheckpointError, match="belongs to a run with another recipe, data set or initial"):
        train(SMALL, Frames(noise_frames(3)), [], folder, workers=0)


def test_a_teacher_of_other_classes_is_refused(teacher: Checkpoint, tmp_path: Path) -> None:
    classes = ClassSet("other", tuple(f"c{i}" for i in range(11)), tuple((i, i, i) for i in range(11)))
    with pytest.raises(ConfigError, match="the teacher has other classes than the data"):
        train(SMALL, Frames(noise_frames(2), classes=classes), [], tmp_path / "run", teacher=teacher)
