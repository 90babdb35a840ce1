"""A benchmark is gone on with only by what its figures hold for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmark_settings import settings_of

from sernet_core.benchmark import identity as identifying
from sernet_core.benchmark import run as module
from sernet_core.benchmark.cases import PARTS, TUTORIAL
from sernet_core.benchmark.identity import code_digest, file_digests
from sernet_core.benchmark.run import run
from sernet_core.benchmark.settings import Settings
from sernet_core.checkpoint import load_checkpoint, save_checkpoint
from sernet_core.errors import InputError


def test_results_are_kept_and_gone_on_with(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = module._measured

    def interrupted(settings: Settings, width: int, height: int, *rest, quiet: bool):
        if (width, height) == (64, 64):
            raise KeyboardInterrupt
        return measured(settings, width, height, *rest, quiet=quiet)

    monkeypatch.setattr(module, "_measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(settings_of(small_model), tmp_path, quiet=True)
    first = json.loads((tmp_path / "benchmark.json").read_text())
    assert (
        first["done"] == [[96, 64]]
        and "not measured yet: 64x64, the picture" in (tmp_path / "benchmark.html").read_text()
    )

    monkeypatch.setattr(module, "_measured", measured)
    report = run(settings_of(small_model), tmp_path, quiet=True)
    assert report["done"] == [[96, 64], [64, 64]]
    assert report["rows"][: len(first["rows"])] == first["rows"]  # not measured again
    assert [(row["engine"], row["level"]) for row in first["rows"]] == [
        *(("eager", level) for level in ("network", "mask", "overlay", *PARTS)),
        (TUTORIAL, "overlay"),
    ]
    eager = next(row for row in report["rows"] if row["engine"] == "eager")
    assert eager["speedup"]["median"] == 1.0 and eager["runs"] == 2 and eager["median_ms"] > 0
    mask = next(row for row in report["rows"] if row["level"] == "mask")
    assert mask["over_network"]["median"] > 0 and "beyond_network_ms" in mask
    with pytest.raises(InputError, match=r"other settings \(repeats\); name another folder with --out"):
        run(settings_of(small_model, repeats=3), tmp_path, quiet=True)


def copied(model: Path, folder: Path) -> Path:
    """A model that a test may change."""
    path = folder / "model.safetensors"
    path.write_bytes(model.read_bytes())
    return path


def with_other_weights(model: Path) -> None:
    checkpoint = load_checkpoint(model)
    next(checkpoint.network.parameters()).data.add_(1.0)
    save_checkpoint(model, checkpoint.network, checkpoint.info)


def with_int8(model: Path) -> None:
    model.with_suffix(".int8.xml").write_text("<net/>")
    model.with_suffix(".int8.bin").write_bytes(b"weights")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_other_weights, r"other files \(model.safetensors\)"),
        (with_int8, r"other files \(model.int8.xml, model.int8.bin\)"),
    ],
)
def test_results_of_other_weights_are_no_start(
    small_model: Path, tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    """The model's name stays the same, and so does the command."""
    model = copied(small_model, tmp_path)
    settings, out = settings_of(model, sizes=((96, 64),), repeats=1), tmp_path / "out"
    kept = run(settings, out, quiet=True)
    assert run(settings, out, quiet=True) == kept
    assert kept["files"]["model.safetensors"][:16] in (out / "benchmark.html").read_text()
    change(model)
    with pytest.raises(InputError, match=f"{words}; name another folder with --out"):
        run(settings, out, quiet=True)


def test_an_int8_model_is_told_from_another_by_both_files(small_model: Path, tmp_path: Path) -> None:
    model = copied(small_model, tmp_path)
    with_int8(model)
    before = file_digests(settings_of(model))
    assert before.keys() == {"model.safetensors", "model.int8.xml", "model.int8.bin"}
    model.with_suffix(".int8.bin").write_bytes(b"others.")
    after = file_digests(settings_of(model))
    assert [name for name in before if before[name] != after[name]] == ["model.int8.bin"]


def test_results_of_other_code_or_another_stand_in_are_no_start(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(small_model, sizes=((96, 64),), repeats=1, nodes=True, standin_ms=20)
    kept = run(settings, tmp_path, quiet=True)
    assert {"code of sernet_core", "code of sernet_ros"} <= kept["versions"].keys()
    with pytest.raises(InputError, match=r"other settings \(standin_ms\); name another"):
        run(dataclasses.replace(settings, standin_ms=30), tmp_path, quiet=True)
    monkeypatch.setattr(identifying, "code_digest", lambda package: f"changed {package}")
    with pytest.raises(InputError, match=r"other versions \(code of sernet_core, code of sernet_ros\)"):
        run(settings, tmp_path, quiet=True)


def test_code_that_only_shows_results_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "measured_package"
    for name in ("__init__.py", "engines/fast.py", "report/style.py", "benchmark/page.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("ONE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = code_digest("measured_package")
    for name in ("report/style.py", "benchmark/page.py"):
        (package / name).write_text("ONE = 2\n")
    assert code_digest("measured_package") == first
    (package / "engines/fast.py").write_text("ONE = 2\n")
    assert code_digest("measured_package") != first


def test_a_file_that_is_no_result(small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "benchmark.json").write_text("[]")
    with pytest.raises(InputError, match="not a benchmark's result"):
        run(settings_of(small_model), tmp_path, quiet=True)
