"""Exported files: run as a user would run them, and described by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sernet_core import export as module
from sernet_core.cli import main
from sernet_core.engines.base import Source, missing_packages
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.parity import street_frames
from sernet_core.errors import ConfigError, EngineError, InputError
from sernet_core.export import FORMATS, export
from sernet_core.labels import CAMVID
from sernet_core.runtime import Segmenter

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)


def source_of(model: Path) -> Source:
    return Source.load(model, EngineCache(Path("unused")))


def needs(kind: str) -> None:
    if fault := missing_packages(FORMATS[kind].packages):
        pytest.skip(f"format {kind}: {fault}")


@pytest.mark.parametrize("kind", FORMATS)
def test_command_writes_a_file_that_explains_itself(
    small_model: Path, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs(kind)
    path = tmp_path / "new" / f"street{FORMATS[kind].suffix}"
    arguments = ["--model", str(small_model), "--format", kind, "--size", "101x70", "--out", str(path)]
    assert main(["export", *arguments]) == 0
    assert f"written: {path}" in capsys.readouterr().out
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["street.bin", "street.xml"] if kind == "openvino" else names == [path.name]

    metadata, run = FORMATS[kind].read(path)
    assert json.loads(metadata["class_names"]) == list(CAMVID.names)
    assert [tuple(color) for color in json.loads(metadata["palette"])] == list(CAMVID.palette)
    assert json.loads(metadata["mean"]) == [0.485, 0.456, 0.406]
    assert metadata["notice"] == "test weights" and metadata["size"] == "101x70"
    assert "uint8 (1, H, W, 3), RGB" in metadata["input"] and "inside" in metadata["normalisation"]
    frame = street_frames(70, 101, 2)[1]
    mask = run(frame)
    assert mask.dtype == np.uint8 and mask.shape == (70, 101)
    wanted = Segmenter.load(small_model, device="cpu", input_size="source").segment(frame).mask
    assert (mask == wanted).mean() > 0.999


def test_free_size(small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "free.pt2"
    export(source_of(small_model), "torch", path, None)
    metadata, run = FORMATS["torch"].read(path)
    assert metadata["size"].startswith("free, multiples of 16, 64 to ")
    segmenter = Segmenter.load(small_model, device="cpu", input_size="source")
    for size in ((64, 128), (160, 80)):
        frame = street_frames(*size, 1)[0]
        assert (run(frame) == segmenter.segment(frame).mask).mean() > 0.999


def test_a_file_with_other_masks_is_not_kept(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "street.pt2"
    path.write_text("what was there before")
    read, write = FORMATS["torch"].read, FORMATS["torch"].write

    def wrong(file: Path) -> tuple[module.Metadata, module.Runner]:
        metadata, run = read(file)
        return metadata, lambda frame: run(frame)[::-1]

    for form, message in (
        (module.Format(".pt2", (), write, wrong), "agrees with eager on"),
        (module.Format(".pt2", (), lambda graph, file, _: write(graph, file, {}), read), "lost its metadata"),
    ):
        monkeypatch.setitem(FORMATS, "torch", form)
        with pytest.raises(EngineError, match=message):
            export(source_of(small_model), "torch", path, (96, 64))
        assert path.read_text() == "what was there before"
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("kind", "stays"), [("openvino", False), ("torch", True)])
def test_no_moment_has_files_of_two_exports(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, stays: bool
) -> None:
    """One that is cut off leaves no named file beside the others of a new one; a file alone is replaced."""
    needs(kind)
    path = tmp_path / f"street{FORMATS[kind].suffix}"
    path.write_text("what was there before")
    replace, seen = Path.replace, []

    def failing(self: Path, target: Path) -> Path:
        seen.append((target.suffix, path.exists()))
        if target == path:
            raise OSError("the lights went out")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(InputError, match="cannot be written"):
        export(source_of(small_model), kind, path, (96, 64))
    assert seen == ([(".pt2", True)] if stays else [(".bin", False), (".xml", False)])
    assert path.exists() == stays


@pytest.mark.parametrize(
    ("kind", "name", "size", "message"),
    [
        ("onxn", "a.onnx", (96, 64), "Did you mean 'onnx'"),
        ("torch", "a.pt", (96, 64), r"ends in \.pt2"),
        ("torch", "a.pt2", (96, 32), "needs 64 to"),
        ("tensorrt", "a.ep", (96, 64), "format tensorrt: runs on cuda, not on cpu"),
    ],
)
def test_refusals(small_model: Path, kind: str, name: str, size: tuple[int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        export(source_of(small_model), kind, Path(name), size)


def test_an_unwritable_place(small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("")
    arguments = ["--model", str(small_model), "--format", "torch", "--out", str(tmp_path / "taken" / "a.pt2")]
    assert main(["export", *arguments]) == 2
    assert "cannot be written" in capsys.readouterr().err
