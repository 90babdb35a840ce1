"""The command line: help that teaches, `sernet models`, and the figures of what ships."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sernet_core.checkpoint import SHIPPED, load_checkpoint, read_info, save_checkpoint
from sernet_core.cli import BROKEN_PIPE, COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert COMMANDS[command][1:] in " ".join(capsys.readouterr().out.split())


def test_help_does_not_wait_for_torch() -> None:
    script = "import sys\nfrom sernet_core.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    script += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(("given", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_rest_while_they_wait_unless_told_otherwise(given: dict[str, str], policy: str) -> None:
    script = (
        "import os, sys\nfrom sernet_core.cli import main\n"
        "assert 'torch' not in sys.modules, 'OpenMP has read its settings by now'\n"
        "main(['models'])\nprint(os.environ['OMP_WAIT_POLICY'])\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"} | given
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    assert ended.stdout.split()[-1] == policy


def test_without_torch_it_says_what_to_do() -> None:
    script = "import sys; sys.modules['torch'] = None\nfrom sernet_core.cli import main\n"
    script += "sys.exit(main(['models']))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--system-site-packages" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["models"], ["engines"], ["engines", "--help"]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "sernet_core.cli", *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""
    # argparse by itself takes no notice of help that cannot be written.
    assert done.returncode == BROKEN_PIPE or "--help" in arguments


BARE = "import sys\nfor name in ('numpy', 'cv2', 'torch', 'yaml', 'tqdm'): sys.modules[name] = None\n"


def test_help_needs_no_package(tmp_path: Path) -> None:
    script = BARE + "from sernet_core.cli import main\nsys.exit(main(sys.argv[1:]))"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)

    assert run("--help").returncode == 0
    missing = run("synthesize", "--frames", "1")
    assert missing.returncode == 2
    assert "a package is missing" in missing.stderr and "Traceback" not in missing.stderr


@pytest.mark.parametrize("name", ["sernet_core.no_such_module", "sernet_core.labels"])
def test_a_fault_of_our_own_is_no_missing_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> int:
        raise ImportError("cannot import", name=name)

    monkeypatch.setattr("sernet_core.commands.models.run", run)
    with pytest.raises(ImportError, match="cannot import"):
        main(["models"])


def test_torch_whose_library_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: cannot open shared object file')")
    script = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom sernet_core.cli import main\n"
    script += "sys.exit(main(['models']))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert "libtorch_cpu.so" in done.stderr and "--system-site-packages" in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("profile --size 99999999999x99999999999", "at most 5 digits"),
        ("profile --size 0x96", "'0x96' is not WxH, each at least 1"),
        ("export --format torch --size 0x0", "'0x0' is not WxH, each at least 1"),
        ("evaluate --data synthetic --worst -1", "'-1' is not a whole number of at least 0"),
        ("benchmark --engines foo", "Known: auto, compile"),
        ("profile --model ~nosuchuser/x", "no such checkpoint file"),
        ("train --run r --recipe r.yaml --threads -3", "--threads: needs 0"),
        ("train --run r --recipe r.yaml --workers -1", "--workers: needs 0"),
    ],
)
def test_impossible_values_are_one_line(command: str, words: str, capsys: pytest.CaptureFixture) -> None:
    try:
        code = main(command.split())
    except SystemExit as exit_:  # argparse's own way
        code = exit_.code  # type: ignore[assignment]
    assert code == 2 and words in capsys.readouterr().err


def test_models_lists_own_and_broken_ones(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    os.link(small_model, tmp_path / "mine.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"rubbish")
    monkeypatch.setenv("SERNET_MODELS", str(tmp_path))
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert "mine" in text and "test weights" in text and "broken" in text


def test_no_bad_file_stops_the_listing(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    checkpoint = load_checkpoint(small_model)
    for name, notice in (("a", "lone surrogate \ud800"), ("b", "fine")):
        info = replace(checkpoint.info, notice=notice, metrics={"x/val": {"miou": 70.5, "precision": "bf16"}})
        save_checkpoint(tmp_path / f"{name}.safetensors", checkpoint.network, info)
    (tmp_path / "away.safetensors").symlink_to(tmp_path / "nowhere")
    monkeypatch.setenv("SERNET_MODELS", str(tmp_path))
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert "broken" in text[text.index("away\n") :] and "fine" in text[text.index("b\n") :]
    assert "70.50 % on x/val with bf16" in text


def test_models_tells_the_whole_history_each_model_once(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    first = {"file": "first.safetensors", "sha256": "1" * 64, "data": {"started_from": {"data": {}}}}
    mask = {"share": 0.25, "train": "more/train", "masked": {"file": "mask.safetensors", "sha256": "2" * 64}}
    second = {
        "file": "second.safetensors",
        "sha256": "3" * 64,
        "data": {"started_from": first, "extra": mask},
    }
    checkpoint = load_checkpoint(small_model)
    data = {"train": "streets/train", "averaged": [first, second], "teacher": second}
    save_checkpoint(tmp_path / "mine.safetensors", checkpoint.network, replace(checkpoint.info, data=data))
    monkeypatch.setenv("SERNET_MODELS", str(tmp_path))
    assert main(["models"]) == 0
    expected = """
  mean of   first.safetensors (sha256 111111111111...)
    from      a model of an earlier run
  mean of   second.safetensors (sha256 333333333333...)
    extra     25 % of the crops from more/train
    masked by mask.safetensors (sha256 222222222222...)
    from      first.safetensors (sha256 111111111111...), see above
  teacher   second.safetensors (sha256 333333333333...), see above
  terms     test weights"""
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_shipped_models_carry_their_terms_and_figures(path: Path) -> None:
    info = read_info(path)
    assert "non-commercial" in info.notice
    assert info.metrics and info.data["train"]
    runs = info.data.get("averaged")
    assert all(run["recipe"] for run in runs if "averaged" not in run["data"]) if runs else info.recipe
    assert path.stat().st_size <= 50_000_000
