"""Several recordings in one call: what is judged is kept, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluating import PATIENCE, ROOT, judge, report_of

from sernet_ros import judge_offline
from sernet_ros.bag.formats import IMAGE_TYPE
from sernet_ros.bag.messages import image_message
from sernet_ros.bag.writer import BagWriter
from sernet_ros.evaluation import Evaluation

pytestmark = pytest.mark.usefixtures("handlers")


def recorded(path: Path, encoding: str = "rgb8") -> Path:
    with BagWriter(path) as writer:
        writer.add("/image", IMAGE_TYPE)
        for index in range(2):
            message = image_message(np.full((96, 128, 3), 40 * index, np.uint8), index + 1, "")
            message.encoding = encoding
            writer.write("/image", index + 1, message)
    return path


@pytest.fixture
def bags(tmp_path: Path) -> list[Path]:
    return [recorded(tmp_path / name) for name in ("one", "two", "three")]


def summary_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text())


def leave_behind(out: Path, *names: str) -> None:
    """Results of an earlier call."""
    for folder in (out, *(out / name for name in names)):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("report.json", "report.html", "summary.json", "summary.csv", "summary.html"):
            (folder / name).write_text("{}")


def test_a_signal_while_results_are_written_keeps_them(
    model: Path, bags: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Evaluation.leave

    def leave(*arguments: Any) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return whole(*arguments)

    monkeypatch.setattr(Evaluation, "leave", leave)
    out = tmp_path / "out"
    leave_behind(out, "one", "two", "three")
    assert judge(*bags, "--model", model, "--out", out) == 130
    assert report_of(out / "one")["frames"]["answered"] == 2 and (out / "one/report.html").is_file()
    assert summary_of(out)["partial"] == "1 of 3 recordings were judged"
    assert not list((out / "two").iterdir()) and not list((out / "three").iterdir())


def test_a_signal_before_a_later_recording_keeps_the_earlier_ones(
    model: Path, bags: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, played = judge_offline.play, []

    def play(*arguments: Any) -> Any:
        if len(played) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        played.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(judge_offline, "play", play)
    out = tmp_path / "out"
    assert judge(*bags, "--model", model, "--out", out) == 130
    assert [row["recording"] for row in summary_of(out)["recordings"]] == ["one", "two"]
    played[:] = [None, None]
    leave_behind(out)
    assert judge(bags[0], bags[1], "--model", model, "--out", out) == 130, "nothing at all was judged"
    assert not (out / "summary.json").exists() and not (out / "report.json").exists()


def test_a_recording_that_cannot_be_judged_does_not_end_the_others(
    model: Path, bags: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, out = recorded(tmp_path / "bad", "32FC1"), tmp_path / "out"
    gone = tmp_path / "gone"
    assert judge(bags[0], gone, bad, bags[1], "--model", model, "--out", out) == 1
    errors = capsys.readouterr().err
    assert "evaluate_bag: error: bad: " in errors and "32FC1" in errors and f"{gone}: no such file" in errors
    summary = summary_of(out)
    assert [(row["recording"], row["page"]) for row in summary["recordings"]] == [
        ("one", "one/report.html"),
        ("two", "two/report.html"),
    ]
    assert summary["partial"] == "2 of 4 recordings were judged"
    assert judge(bad, gone, "--model", model, "--out", out) == 1
    assert not (out / "summary.json").exists(), "it is that of the call before"
    assert judge(bad, "--model", model, "--out", out) == 1
    assert judge(gone, gone, "--model", model, "--out", out) == 2


# Processes that share recordings


def torchrun(*words: str | Path) -> subprocess.CompletedProcess[str]:
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, words)]
    return subprocess.run(
        [sys.executable, *together], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_processes_that_share_recordings_go_on_after_a_bad_one(
    model: Path, bags: list[Path], tmp_path: Path
) -> None:
    bad, out = recorded(tmp_path / "bad", "32FC1"), tmp_path / "out"
    done = torchrun(
        *("-m", "sernet_ros.evaluate_bag", bad, bags[0], "--model", model, "--device", "cpu", "--offline"),
        *("--out", out),
    )
    assert done.returncode == 1, done.stderr
    assert summary_of(out)["frames"]["answered"] == 2, done.stderr
    assert summary_of(out)["partial"] == "1 of 2 recordings were judged"


def test_an_error_in_one_process_is_that_of_all(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
from pathlib import Path
from sernet_core.errors import InputError
from sernet_ros.shards import join_shards

def fail():
    raise InputError("no room", lambda: None)

with join_shards() as shard:
    told = []
    for act in (
        lambda: shard.raise_any(None if shard.first else InputError("bad frame", lambda: None)),
        lambda: shard.first_decides(fail),
    ):
        try:
            act()
        except InputError as error:
            told.append(str(error))
    shard.raise_any(None)
    told.append(str(shard.first_decides(lambda: 7)))
    (Path(__file__).parent / f"told{shard.rank}").write_text(", ".join(told))
""")
    done = torchrun(script)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        assert (tmp_path / f"told{rank}").read_text() == "bad frame, no room, 7"
