"""The command line: help that teaches, `sernet models`, and the figures of what ships."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sernet_core.checkpoint import SHIPPED, load_checkpoint, read_info, save_checkpoint
from sernet_core.cli import COMMANDS, main


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


def test_without_torch_it_says_what_to_do() -> None:
    script = "import sys; sys.modules['torch'] = None\nfrom sernet_core.cli import main\n"
    script += "sys.exit(main(['models']))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--system-site-packages" in done.stderr and "Traceback" not in done.stderr


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


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_shipped_models_carry_their_terms_and_figures(path: Path) -> None:
    info = read_info(path)
    assert "non-commercial" in info.notice
    assert info.metrics and info.recipe and info.data["train"]
    assert path.stat().st_size <= 50_000_000
