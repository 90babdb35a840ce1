"""Training: exact resume, learning, and what a run leaves."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_run import SMALL, Frames

from sernet_core import synthetic
from sernet_core.augment import AugmentConfig
from sernet_core.checkpoint import load_checkpoint, read_info
from sernet_core.datasets import Sample, open_dataset
from sernet_core.errors import CheckpointError, ConfigError, InputError
from sernet_core.labels import CAMVID
from sernet_core.metrics import ConfusionMatrix
from sernet_core.network import NetworkConfig
from sernet_core.runtime import Segmenter
from sernet_core.storage import claim
from sernet_core.train import train
from sernet_core.train.state import TrainingNetwork


@pytest.mark.usefixtures("slim")
def test_run_leaves_model_history_and_curves(tree: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tree, "val")
    assert train(SMALL, dataset, [], tmp_path / "run", workers=0)
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "state.safetensors",
        "model.safetensors",
        "history.csv",
        "curves.png",
        "samples",
    }
    info = read_info(folder / "model.safetensors")
    assert info.data["stems"] == ["f0", "f1", "f2"] and info.recipe["steps"] == 6 and info.notice == "test"
    assert (folder / "history.csv").read_text().startswith("step,loss")
    assert len((folder / "history.csv").read_text().splitlines()) == 3


@pytest.mark.timeout(600)
def test_killed_and_resumed_equals_uninterrupted(tree: Path, tmp_path: Path) -> None:
    """A real process, killed without warning between two saved states, then started again."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "steps: 8\nnetwork: {depth: 18, dbn_rates: [1, 2, 3]}\naugment: {crop: [96, 64]}\n"
        "input_size: [96, 64]\nsynthetic_size: [96, 72]\nbatch_size: 2\nsynthetic_share: 0.5\n"
        "warmup_steps: 2\nvalidate_every: 8\n"
    )
    script = (
        "import sys, time, torch\ntorch.set_num_threads(1)\nfrom pathlib import Path\n"
        "from sernet_core.datasets import open_dataset\n"
        "from sernet_core.train import load_recipe, loop, train\n"
        "batches = loop.training_batches\n"
        "def watched(stream, first, *rest, **more):\n"
        "    print('first step', first, flush=True)\n"
        "    for step, batch in enumerate(batches(stream, first, *rest, **more), first):\n"
        "        if step == 5 and 'to be killed' in sys.argv:\n"
        "            time.sleep(600)\n"  # that the run is not over before
        "        yield batch\n"
        "loop.training_batches = watched\n"
        "train(load_recipe(Path(sys.argv[1])), open_dataset(sys.argv[2], 'val'), [], Path(sys.argv[3]),"
        " workers=1, save_every=2)\n"
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-c", script, str(recipe), str(tree)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(whole)], check=True, env=environment, timeout=300)
    process = subprocess.Popen(
        [*command, str(broken), "to be killed"], env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (broken / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with safe_open(broken / "state.safetensors", "pt") as file:
        saved = int(file.metadata()["step"])
    assert 2 <= saved < 8
    again = subprocess.run(
        [*command, str(broken)], check=True, env=environment, timeout=300, stdout=subprocess.PIPE, text=True
    )
    assert f"first step {saved}\n" in again.stdout
    one, two = (load_file(folder / "state.safetensors") for folder in (whole, broken))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed process leaves."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert _run_and_die(folder, "never") == 0
    return folder


MOMENTS = {  # what to replace, and the file whose turn it is when the process dies; "" is any
    "while the second state is written": ("sernet_core.storage.move_into_place", "state.safetensors", 2),
    "in the second validation": ("sernet_core.train.validate.evaluate", "", 2),
    "between model and best": ("sernet_core.train.validate.save_checkpoint", "best.safetensors", 1),
    "before the history is written": ("sernet_core.storage.move_into_place", "history.csv", 1),
}


def _run_and_die(folder: Path, moment: str) -> int:
    """Train in a process that kills itself at a moment; its exit status."""
    target, name, turn = MOMENTS.get(moment, ("", "", 0))
    script = (
        "import importlib, os, signal, sys, torch\nfrom dataclasses import replace\n"
        "from pathlib import Path\n"
        "from small_run import SMALL, Frames, noise_frames\nfrom sernet_core.train import train\n"
        "torch.set_num_threads(1)\nfolder, target, name, turn = sys.argv[1:]\nturns = []\n"
        "if target:\n"
        "    module, _, function = target.rpartition('.')\n"
        "    module = importlib.import_module(module)\n"
        "    before = getattr(module, function)\n"
        "    def deadly(*args, **more):\n"
        "        if not name or any(getattr(one, 'name', '') == name for one in args):\n"
        "            turns.append(1)\n"
        "            if len(turns) == int(turn):\n"
        "                os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return before(*args, **more)\n"
        "    setattr(module, function, deadly)\n"
        "recipe = replace(SMALL, steps=8, validate_every=4, synthetic_share=0.0)\n"
        "train(recipe, Frames(noise_frames(3)), [Frames(noise_frames(2, 'v'), 'other')], Path(folder),"
        " workers=0, save_every=2)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", script, str(folder), target, name, str(turn)]
    return subprocess.run(command, env=environment, timeout=300, cwd=Path(__file__).parents[2]).returncode


@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_bad_moment(moment: str, whole_run: Path, tmp_path: Path) -> None:
    """Nothing is lost or broken, and what is resumed ends as what was never disturbed."""
    folder = tmp_path / "run"
    assert _run_and_die(folder, moment) == -signal.SIGKILL
    for path in folder.glob("[a-z]*.safetensors"):
        load_file(path)  # whole, or not there
    assert _run_and_die(folder, "never") == 0
    for name in ("state", "model", "best"):
        one, two = (load_file(run / f"{name}.safetensors") for run in (whole_run, folder))
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one), name
    assert (folder / "history.csv").read_text() == (whole_run / "history.csv").read_text()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tree: Path, tmp_path: Path, number: signal.Signals) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "steps: 100000\nvalidate_every: 100000\nbatch_size: 1\n"
        "network: {depth: 18}\naugment: {crop: [96, 64]}\n"
    )
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-u",
        "-m",
        "sernet_core.cli",
        "train",
        "--recipe",
        str(recipe),
        "--data",
        str(tree),
    ]
    command += ["--split", "val", "--validate", "synthetic:val"]
    command += ["--run", str(folder), "--workers", "1", "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and "run folder" in process.stdout.readline()
    deadline = time.monotonic() + 240
    while not (folder / "history.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    # To the group, as a terminal and `timeout` do: the worker gets it too.
    os.killpg(process.pid, number)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "go on" in rest
    assert (folder / "state.safetensors").is_file()


@pytest.mark.usefixtures("slim")
def test_another_run_is_not_resumed(tree: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tree, "val")
    short = replace(SMALL, steps=1, synthetic_share=0.0)
    train(short, dataset, [], tmp_path, workers=0)
    for recipe, data in ((replace(short, rate=1e-5), dataset), (short, _three_frames())):
        with pytest.raises(CheckpointError, match="another recipe, data set or initial weights"):
            train(recipe, data, [], tmp_path, workers=0)
    for path in (tree / "val/labels").iterdir():  # of the same names, put right
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        label[0, 0] = 3 if label[0, 0] != 3 else 4
        assert cv2.imwrite(str(path), label)
    with pytest.raises(CheckpointError, match="another recipe, data set or initial weights"):
        train(short, open_dataset(tree, "val"), [], tmp_path, workers=0)
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        train(short, dataset, [], tmp_path, workers=0)


@pytest.mark.usefixtures("slim")
def test_a_state_of_an_older_version_is_gone_on_with(tree: Path, tmp_path: Path) -> None:
    """It does not say what the labels hold."""
    dataset, short = open_dataset(tree, "val"), replace(SMALL, steps=1, synthetic_share=0.0)
    train(short, dataset, [], tmp_path, workers=0)
    path = tmp_path / "state.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    identity = json.loads(metadata["identity"])
    assert len(identity["origin"].pop("labels_sha256")) == 64
    save_file(load_file(path), path, {**metadata, "identity": json.dumps(identity)})
    assert train(short, dataset, [], tmp_path, workers=0)


@pytest.mark.timeout(300)
def test_a_fault_that_nobody_foresaw_ends_the_process(tree: Path, tmp_path: Path) -> None:
    """Though a worker prepares crops, and heeds no signal."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: 9\nnetwork: {depth: 18}\naugment: {crop: [96, 64]}\ninput_size: [96, 64]\n")
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from sernet_core.datasets import open_dataset\n"
        "from sernet_core.train import load_recipe, train\n"
        "from sernet_core.train.step import Learner\n"
        "def fail(*_): raise RuntimeError('a fault')\n"
        "Learner.learn = fail\n"
        "train(load_recipe(Path(sys.argv[1])), open_dataset(sys.argv[2], 'val'), [], Path(sys.argv[3]),"
        " workers=1)\n"
    )
    given = [sys.executable, "-c", script, str(recipe), str(tree), str(tmp_path / "run")]
    ended = subprocess.run(given, stderr=subprocess.PIPE, text=True, timeout=240, check=False)
    assert ended.returncode == 1 and "RuntimeError: a fault" in ended.stderr


@pytest.mark.usefixtures("slim")
def test_one_run_at_a_time_in_a_folder(tree: Path, tmp_path: Path) -> None:
    short = replace(SMALL, steps=1, synthetic_share=0.0)
    with claim(tmp_path / "run"), pytest.raises(InputError, match="another process is training in this run"):
        train(short, open_dataset(tree, "val"), [], tmp_path / "run", workers=0)
    assert train(short, open_dataset(tree, "val"), [], tmp_path / "run", workers=0)


@pytest.mark.usefixtures("slim")
@pytest.mark.parametrize("broken", [1, 3])
def test_a_batch_that_is_not_finite_changes_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    """A passing fault leaves no trace; a lasting one ends the run before it spoils the weights."""
    dataset = open_dataset(tree, "val")
    recipe = replace(SMALL, steps=3, synthetic_share=0.0)
    train(recipe, dataset, [], tmp_path / "whole", workers=0)
    forward, calls = TrainingNetwork.forward, iter(range(100))

    def faulty(self: TrainingNetwork, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        spoiled = 1 <= next(calls) < 1 + broken
        return forward(self, image * float("nan") if spoiled else image)

    monkeypatch.setattr(TrainingNetwork, "forward", faulty)
    if broken == 3:
        with pytest.raises(InputError, match=r"step 1: loss nan .* 3 times in a row"):
            train(recipe, dataset, [], tmp_path / "faulty", workers=0, save_every=1)
        return
    train(recipe, dataset, [], tmp_path / "faulty", workers=0)
    whole, faulted = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "faulty"))
    assert all(torch.equal(value, faulted[key]) for key, value in whole.items())


@pytest.mark.usefixtures("slim")
def test_start_from_a_model_remembers_it(tree: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tree, "val")
    first = replace(SMALL, steps=1, synthetic_share=0.0)
    train(first, dataset, [], tmp_path / "first", workers=0)
    start = load_checkpoint(tmp_path / "first/model.safetensors")
    train(replace(SMALL, steps=1, synthetic_share=1.0), None, [], tmp_path / "second", start=start, workers=0)
    info = read_info(tmp_path / "second/model.safetensors")
    assert info.data["stems"] == ["f0", "f1", "f2"] and info.data["train"] is None
    before = info.data["started_from"]
    digest = hashlib.sha256((tmp_path / "first/model.safetensors").read_bytes()).hexdigest()
    assert before["data"]["train"] == "tree/val" and before["recipe"]["steps"] == 1
    assert (before["file"], before["sha256"]) == ("model.safetensors", digest)
    own = replace(SMALL, steps=1, synthetic_share=0.0, notice="terms of its own\ntest", distil_weight=1.0)
    teacher = replace(start, info=replace(start.info, notice="test\nterms of the teacher"))
    train(own, dataset, [], tmp_path / "taught", start=start, teacher=teacher, workers=0)
    notice = read_info(tmp_path / "taught/model.safetensors").notice
    assert notice == "terms of its own\ntest\ntest\nterms of the teacher"
    other = replace(SMALL, network=NetworkConfig(depth=34))
    with pytest.raises(ConfigError, match="has another encoder"):
        train(other, dataset, [], tmp_path / "third", start=start, workers=0)


def _three_frames() -> Frames:
    """A close view of three procedural frames.

    Close, because logits at a quarter of the size cannot hold what is a pixel wide.
    """
    street = synthetic.Sequence(synthetic.HELD_OUT_TOWN, seed=1_000_000, size=(960, 720), rate=0.5, frames=3)
    view = np.s_[360:456, 80:208]
    return Frames([Sample(f"t{frame.index}", frame.image[view], frame.label[view]) for frame in street])


@pytest.mark.timeout(400)
def test_overfits_three_frames(tmp_path: Path) -> None:
    """A network that cannot learn three frames by heart is broken somewhere."""
    dataset = _three_frames()
    still = AugmentConfig(
        crop=(128, 96),
        scale=(1, 1),
        flip=0,
        brightness=0,
        contrast=0,
        saturation=0,
        hue=0,
        gamma=0,
        blur=0,
        noise=0,
    )
    recipe = replace(
        SMALL,
        steps=160,
        augment=still,
        input_size=(128, 96),
        batch_size=3,
        synthetic_share=0.0,
        encoder_rate=2e-3,
        rate=2e-3,
        warmup_steps=10,
        average_decay=0.9,
        validate_every=160,
    )
    train(recipe, dataset, [], tmp_path, workers=0, save_every=1000)
    segmenter = Segmenter.load(tmp_path / "model.safetensors")
    matrix = ConfusionMatrix(CAMVID)
    for sample in dataset:
        assert sample.label is not None
        matrix.update(sample.label, segmenter.segment(sample.image).mask)
    assert matrix.miou > 95
