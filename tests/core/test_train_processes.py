"""A run shared by two processes on the CPU, as torchrun starts them."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from small_run import SMALL, noise_frames
from torch import nn

from sernet_core.checkpoint import read_info
from sernet_core.cli import main
from sernet_core.errors import ConfigError
from sernet_core.train.processes import Processes, join_processes
from sernet_core.train.state import TrainingState
from sernet_core.train.step import Learner

RECIPE = """
steps: 12
validate_every: 4
batch_size: 4
accumulate: 2
network: {depth: 18, dbn_rates: [1, 2, 3]}
augment: {crop: [96, 64]}
input_size: [96, 64]
optimizer: sgd
rate: 2.0e-3
encoder_rate: 2.0e-3
warmup_steps: 2
batch_norm: frozen
region: dice
"""

# AdamW's first steps have one size in every weight: where a gradient is almost none, rounding turns them.
DISTILLED = """
steps: 3
validate_every: 3
batch_size: 4
network: {depth: 18, dbn_rates: [1, 2, 3]}
augment: {crop: [96, 64]}
input_size: [96, 64]
warmup_steps: 1
batch_norm: frozen
synthetic_share: 0.0
extra_share: 0.5
distil_weight: 2.0
"""

# `sernet` with time to stop it midway.
SLOWLY = """
import sys, time
sys.path.insert(0, "")
from sernet_core.cli import main
from sernet_core.train import loop

batches = loop.training_batches

def slowly(*arguments, **more):
    for batch in batches(*arguments, **more):
        yield batch
        time.sleep(0.5)

loop.training_batches = slowly
sys.exit(main())
"""


@pytest.fixture
def command(tree: Path) -> list[str]:
    """Train on `train` of a tree and score on its `val`; the run folder is to be added."""
    for sample in noise_frames(5):
        for kind, pixels in (("images", sample.image), ("labels", sample.label)):
            path = tree / "train" / kind / f"{sample.stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert pixels is not None and cv2.imwrite(str(path), pixels)
    recipe = tree.parent / "recipe.yaml"
    recipe.write_text(RECIPE)
    return [
        "train",
        "--recipe",
        str(recipe),
        "--data",
        str(tree),
        "--workers",
        "0",
        "--device",
        "cpu",
        "--run",
    ]


def _start(program: list[str], command: list[str]) -> subprocess.Popen[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*run, *program, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(600)
def test_two_processes_learn_what_one_learns(command: list[str], tmp_path: Path) -> None:
    """The same weights to rounding, scores and losses, though the two are stopped midway and go on.

    So does a single one that goes on where the two were stopped.
    """
    alone, shared, left = (tmp_path / name for name in ("alone", "shared", "left"))
    assert main([*command, str(alone)]) == 0
    slowly = tmp_path / "slowly.py"
    slowly.write_text(SLOWLY)
    process = _start(["--", str(slowly)], [*command, str(shared)])
    deadline = time.monotonic() + 240
    while not (shared / "history.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert (shared / "state.safetensors").is_file(), said
    with safe_open(shared / "state.safetensors", "pt") as file:
        saved = int(file.metadata()["step"])
    assert 4 <= saved < 12, said
    assert process.returncode != 0 and said.count("interrupted; give the same command again") == 1
    shutil.copytree(shared, left)
    process = _start(["-m", "--", "sernet_core.cli"], [*command, str(shared)])
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0 and said.count("complete") == 1, said
    # The processes write events where TensorBoard is installed, this one never does.
    assert {path.name for path in shared.iterdir()} - {"events"} == {path.name for path in alone.iterdir()}

    assert main([*command, str(left)]) == 0
    for folder in (shared, left):
        _assert_alike(alone, folder)


@pytest.mark.timeout(600)
def test_a_teacher_and_a_second_data_set_in_two_processes(
    command: list[str], small_model: Path, tmp_path: Path
) -> None:
    """As the real-time model is trained, but for what a process takes from its own crops alone."""
    recipe = command[command.index("--recipe") + 1]
    Path(recipe).write_text(DISTILLED)
    second = tmp_path / "second"
    for sample in noise_frames(4, "e"):
        assert sample.label is not None
        for kind, pixels in (("images", sample.image), ("labels", np.where(sample.label == 3, 3, 1))):
            path = second / "train" / kind / f"{sample.stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), pixels.astype(np.uint8))
    model = str(small_model)
    given = ["--teacher", model, "--extra", f"{second}:train", "--extra-model", model, *command]
    given = ["train", *(word for word in given if word != "train")]
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main([*given, str(alone)]) == 0
    process = _start(["-m", "--", "sernet_core.cli"], [*given, str(shared)])
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    one, two = (read_info(folder / "model.safetensors").data for folder in (alone, shared))
    assert one == two and one["extra"]["masked"]["file"] == small_model.name and one["teacher"]
    _assert_alike(alone, shared, near=0.05)


def _assert_alike(one: Path, two: Path, near: float = 5e-3) -> None:
    """Weights and their average to `near` of how far they have moved; losses and scores."""
    first, second = (load_file(folder / "state.safetensors") for folder in (one, two))
    start = TrainingState(SMALL, {}).model.state_dict()
    assert first.keys() == second.keys()
    for key, value in first.items():
        weights, _, name = key.partition(".")
        if weights in ("model", "average") and value.is_floating_point():
            moved = (value - start[name if weights == "model" else f"network.{name}"]).norm()
            assert (value - second[key]).norm() <= near * moved + 1e-6, key
    rows = []
    for folder in (one, two):
        with (folder / "history.csv").open() as file:
            rows.append([(row["step"], float(row["loss"])) for row in csv.DictReader(file)])
    assert [step for step, _ in rows[0]] == [step for step, _ in rows[1]]
    assert [loss for _, loss in rows[0]] == pytest.approx([loss for _, loss in rows[1]], abs=2e-3)
    scores = [read_info(folder / "model.safetensors").metrics["tree/val"]["miou"] for folder in (one, two)]
    assert scores[0] == pytest.approx(scores[1], abs=0.2)


def test_a_run_folder_that_is_not_shared_is_told(command: list[str], tmp_path: Path) -> None:
    """The first process finds a state in it, the second one none, as on two machines."""
    assert main([*command, str(tmp_path / "one")]) == 0
    apart = (
        "import os, sys\nfrom sernet_core.cli import main\n"
        "sys.argv[-1] += '' if os.environ['RANK'] == '0' else '-other'\nsys.exit(main())\n"
    )
    (tmp_path / "apart.py").write_text(apart)
    process = _start(["--", str(tmp_path / "apart.py")], [*command, str(tmp_path / "one")])
    text, _ = process.communicate(timeout=240)
    assert process.returncode != 0 and "not all processes find the same state in the run folder" in text


def test_a_batch_must_be_divisible() -> None:
    with pytest.raises(ConfigError, match=r"batch_size: 2 crops .* for 3 process\(es\) with 1 part"):
        Learner(TrainingState(SMALL, {}), torch.ones(11), Processes(0, 3))


def test_norms_are_synchronised_between_gpus_alone() -> None:
    with pytest.raises(ConfigError, match="works between GPUs alone"):
        Processes(0, 2, "cpu").share(nn.BatchNorm2d(3), synchronise_norms=True)
    model = nn.BatchNorm2d(3)
    assert Processes().share(model, synchronise_norms=True) is model  # one process has the whole batch


def test_each_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(ConfigError, match="each of 2 processes needs a GPU of its own"),
        join_processes("cuda:0"),
    ):
        pass
