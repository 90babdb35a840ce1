"""int8: calibrated on a data set, tied to its weights, found by the engine."""

from __future__ import annotations

import dataclasses
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import Frames

from sernet_core.checkpoint import load_checkpoint, save_checkpoint
from sernet_core.cli import main
from sernet_core.datasets import Sample, open_dataset
from sernet_core.engines import choose, parity
from sernet_core.engines.base import Engine, Source, missing_packages
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.choose import build
from sernet_core.engines.openvino import shared_core
from sernet_core.engines.parity import Parity, street_frames
from sernet_core.engines.plan import Plan
from sernet_core.engines.quantised import Quantised, quantised, quantised_path, read_quantised
from sernet_core.errors import ConfigError, EngineError, InputError
from sernet_core.evaluate import evaluate
from sernet_core.quantize import quantize
from sernet_core.runtime import Segmenter

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)

PLAN = Plan((64, 96), (64, 96), 16)


def source_of(model: Path, precision: str = "auto") -> Source:
    return Source.load(model, EngineCache(model.parent / "cache"), precision=precision, threads=1)


@pytest.fixture(scope="module")
def quantized(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small model with its int8 model beside it."""
    if fault := missing_packages(("openvino", "nncf")):
        pytest.skip(f"quantisation: {fault}")
    model = tmp_path_factory.mktemp("int8") / "small.safetensors"
    shutil.copy(small_model, model)
    assert main(["quantize", "--model", str(model), "--data", "synthetic", "--frames", "4"]) == 0
    return model


def test_int8_is_close_to_fp32_and_smaller(quantized: Path) -> None:
    path = quantised_path(quantized)
    assert sorted(file.name for file in quantized.parent.iterdir() if file.is_file()) == [
        "small.int8.bin",
        "small.int8.xml",
        "small.safetensors",
    ]
    model = shared_core().read_model(path)
    types = [node.get_type_name() for node in model.get_ops()]
    assert types.count("FakeQuantize") > 20  # the convolutions' inputs, at least
    assert model.get_rt_info(["sernet", "calibrated_on"]).astype(str) == "4 frames of synthetic/train"
    parameters = sum(value.numel() for value in load_checkpoint(quantized).network.parameters())
    assert path.with_suffix(".bin").stat().st_size < 1.2 * parameters  # a byte a weight

    frame = street_frames(64, 96, 1)[0]
    exact = build("openvino", source_of(quantized), PLAN).logits(frame).flatten().clone()
    coarse = build("openvino", source_of(quantized, "int8"), PLAN).logits(frame).flatten()
    assert not torch.equal(exact, coarse)
    assert torch.corrcoef(torch.stack([exact, coarse]))[0, 1] > 0.98


def test_segmenter_runs_int8_at_other_sizes(quantized: Path) -> None:
    segmenter = Segmenter.load(
        quantized, device="cpu", engine="openvino", precision="int8", input_size="source", threads=1
    )
    assert segmenter.segment(np.zeros((70, 101, 3), np.uint8)).mask.shape == (70, 101)
    assert (segmenter.engine, segmenter.precision) == ("openvino", "int8")


def test_int8_of_other_weights_is_refused(quantized: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(quantized)
    with torch.no_grad():
        checkpoint.network.head.classify.bias += 1
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, checkpoint.network, checkpoint.info)
    with pytest.raises(EngineError, match=r"needs .*other\.int8\.xml, which is not there; sernet quantize"):
        build("openvino", source_of(other, "int8"), PLAN)
    for suffix in (".xml", ".bin"):
        shutil.copy(quantised_path(quantized).with_suffix(suffix), quantised_path(other).with_suffix(suffix))
    with pytest.raises(EngineError, match=r"was made from other weights than those of .*other\.safetensors"):
        build("openvino", source_of(other, "int8"), PLAN)


@pytest.mark.parametrize("bound", [0.0, 100.1])
def test_auto_with_int8_runs_int8_or_says_why_not(
    quantized: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    bound: float,
) -> None:
    """Random weights decide so narrowly that int8 may move masks far: here one bound passes any, one none."""
    monkeypatch.setattr(parity, "REDUCED_MIOU", bound)
    segmenter = Segmenter.load(
        quantized, device="cpu", engine="auto", precision="int8", engine_cache_dir=tmp_path
    )
    frame = street_frames(64, 96, 1)[0]
    if bound > 100:
        with pytest.raises(EngineError, match="precision int8 cannot be had: openvino: has mIoU"):
            segmenter.segment(frame)
        assert "openvino is out: has mIoU" in caplog.text
    else:
        assert segmenter.segment(frame).mask.shape == (64, 96)
        assert (segmenter.engine, segmenter.precision) == ("openvino", "int8")
        assert "is out" not in caplog.text


def test_auto_judges_a_new_int8_file_anew(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(miou: float) -> None:
        def compare(_reference: object, engines: Mapping[str, Engine], _frames: object) -> dict[str, Parity]:
            return {name: Parity(1.0, 100.0 if name == "eager" else miou, 1.0) for name in engines}

        monkeypatch.setattr(choose, "compare", compare)

    model = tmp_path / "late.safetensors"
    shutil.copy(quantized, model)
    judged(100.0)
    with pytest.raises(EngineError, match=r"late\.int8\.xml, which is not there; sernet quantize"):
        build("auto", source_of(model, "int8"), PLAN)
    for suffix in (".xml", ".bin"):
        shutil.copy(quantised_path(quantized).with_suffix(suffix), quantised_path(model).with_suffix(suffix))
    judged(50.0)
    with pytest.raises(EngineError, match=r"precision int8 cannot be had: openvino: has mIoU 50\.0"):
        build("auto", source_of(model, "int8"), PLAN)
    judged(100.0)
    with pytest.raises(EngineError, match=r"has mIoU 50\.0"):  # of the same file: from the cache
        build("auto", source_of(model, "int8"), PLAN)
    quantize(source_of(model), open_dataset("synthetic", "train"), frames=2, quiet=True)
    assert build("auto", source_of(model, "int8"), PLAN).precision == "int8"


def relabelled(model: Path, count: int) -> Frames:
    """Streets whose ground truth is what the network itself says in float32."""
    segmenter = Segmenter.load(model, device="cpu", engine="openvino", threads=1)
    frames = street_frames(64, 96, count)
    samples = [
        Sample(f"s{index}", frame, segmenter.segment(frame).mask) for index, frame in enumerate(frames)
    ]
    return Frames(samples, "streets/val")


def race(winner: str) -> dict:
    return {"winner": winner, "checks": {}, "faults": {}}


def test_scores_are_kept_and_decide_for_auto(
    quantized: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read_quantised(quantized).scores == {} and "not known" in read_quantised(quantized).doubt
    model = tmp_path / "scored.safetensors"
    shutil.copy(quantized, model)
    streets = relabelled(model, 3)
    quantize(source_of(model), open_dataset("synthetic", "train"), frames=2, score=streets, quiet=True)
    made = read_quantised(model)
    assert made.scores["split"] == "streets/val" and made.scores["fp32"] == 100.0
    segmenter = Segmenter.load(model, device="cpu", engine="openvino", precision="int8", threads=1)
    assert made.scores["int8"] == pytest.approx(evaluate(segmenter, streets, quiet=True).miou, abs=0.01)
    monkeypatch.setenv("SERNET_MODELS", str(tmp_path))
    assert main(["models"]) == 0
    assert f"int8      scored.int8.xml ({made.size_mb:.1f} MB), mIoU" in capsys.readouterr().out

    # Whether auto builds it is the figure's alone to say; whether it wins is the machine's.
    tried: list[str] = []
    warned: list[str] = []
    monkeypatch.setattr(choose, "int8_doubt", lambda: "")  # whatever processor this is
    monkeypatch.setattr(choose._log, "warning", lambda words, *values: warned.append(words % values))

    def outcome(found: Quantised, winner: str):
        tried.clear()
        monkeypatch.setattr(choose, "read_quantised", lambda _path: found)
        monkeypatch.setattr(choose, "_race", lambda names, *_: tried.extend(names) or race(winner))
        engine = build("auto", source_of(model), PLAN)
        return engine.name, engine.precision

    def found(weights: str, calibrated_on: str, lost: float) -> Quantised:
        scores = {"split": "a/val", "fp32": 60.0, "int8": 60.0 - lost}
        return Quantised(made.path, weights, calibrated_on, scores)

    assert outcome(found(made.weights, "a", 0.51), "openvino") == ("openvino", "fp32")
    assert tried and "openvino:int8" not in tried
    assert outcome(found(made.weights, "b", 0.5), "openvino:int8") == ("openvino", "int8")
    assert "openvino:int8" in tried
    assert outcome(found("other weights", "c", 0.0), "eager") == ("eager", "fp32")
    assert any("int8 is out" in words and "was made from other weights" in words for words in warned)
    assert tried and "openvino:int8" not in tried


def copied(quantized: Path, folder: Path) -> Path:
    """A copy of the quantised model and its checkpoint."""
    folder.mkdir()
    for file in quantized.parent.glob("small.*"):
        shutil.copy(file, folder / file.name)
    return folder / quantized.name


def test_two_files_that_do_not_belong_together_are_refused(quantized: Path, tmp_path: Path) -> None:
    model = copied(quantized, tmp_path / "model")
    assert read_quantised(model).sha256 and quantised(source_of(model, "int8")) == quantised_path(model)
    weights = quantised_path(model).with_suffix(".bin")
    code = bytearray(weights.read_bytes())
    code[len(code) // 2] ^= 1
    weights.write_bytes(code)
    assert "of two models" in read_quantised(model).doubt
    with pytest.raises(EngineError, match=r"of two models; sernet quantize .* anew"):
        build("openvino", source_of(model, "int8"), PLAN)
    # A file that does not name its weights, as older ones do not, is taken as it is.
    path = quantised_path(model)
    text = path.read_text()
    path.write_text("".join(line for line in text.splitlines(True) if "<bin_sha256" not in line))
    assert len(path.read_text()) < len(text) and quantised(source_of(model, "int8")) == path


def test_no_moment_has_files_of_two_models(quantized: Path, tmp_path: Path, monkeypatch) -> None:
    model = copied(quantized, tmp_path / "model")
    replace, seen = Path.replace, []

    def failing(self: Path, target: Path) -> Path:
        if target.suffix == ".xml":
            raise OSError("the lights went out")
        seen.append(quantised_path(model).exists())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(InputError, match="cannot be written"):
        quantize(source_of(model), open_dataset("synthetic", "train"), frames=2, quiet=True)
    assert seen == [False] and read_quantised(model) is None


def test_frames_are_not_both_calibrated_and_scored_on(quantized: Path) -> None:
    frames = [Sample(f"s{index}", frame, None) for index, frame in enumerate(street_frames(64, 96, 3))]
    with pytest.raises(ConfigError, match=r"score: 1 frames of b/val are calibrated on too, such as s0"):
        quantize(
            source_of(quantized), Frames(frames, "a/train"), score=Frames(frames[:1], "b/val"), quiet=True
        )


def test_doubt(tmp_path: Path) -> None:
    def made(**scores) -> Quantised:
        return Quantised(
            tmp_path / "a.int8.xml", "", "", {"split": "a/val", "fp32": 60.0, "int8": 60.0} | scores
        )

    assert made().doubt == made().doubt_at(64, 96) == ""
    assert made(int8=59.0).doubt_at(64, 96).startswith("costs 1.00 points")
    assert "not on real frames" in made(split="synthetic/val").doubt
    sized = made(input_size=[640, 480])
    assert (
        sized.doubt == sized.doubt_at(480, 640) == sized.doubt_at(416, 739) == ""
    )  # the same pixels at 16:9
    assert sized.doubt_at(720, 960) == "its accuracy is known at 640x480, not at 960x720"
    assert sized.doubt_at(240, 320)


@pytest.mark.parametrize("scores", ['{"fp32": 60.0}', '{"split": "a", "fp32": "60", "int8": 60.0}', "[1]"])
def test_scores_that_lack_a_figure_are_none(tmp_path: Path, scores: str) -> None:
    model = tmp_path / "odd.safetensors"
    root = ElementTree.Element("net")
    facts = ElementTree.SubElement(ElementTree.SubElement(root, "rt_info"), "sernet")
    for name, value in (("weights", "abc"), ("scores", scores)):
        ElementTree.SubElement(facts, name, value=value)
    ElementTree.ElementTree(root).write(quantised_path(model))
    quantised_path(model).with_suffix(".bin").write_bytes(b"")
    made = read_quantised(model)
    assert made is not None and made.words == "not scored" and "not known" in made.doubt


def test_the_shipped_int8_model_stays_in_use() -> None:
    source = Source.load("sernet-r29-camvid", EngineCache(Path("unused")))
    assert quantised(source).is_file()
    assert read_quantised(source.path).doubt_at(480, 640) == ""


def test_int8_wins_by_a_clear_lead_alone(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"split": "a/val", "fp32": 60.0, "int8": 60.0}
    facts = read_quantised(quantized)
    monkeypatch.setattr(choose, "read_quantised", lambda _: Quantised(facts.path, facts.weights, "", scores))
    monkeypatch.setattr(choose, "int8_doubt", lambda: "")  # whatever processor this is
    monkeypatch.setitem(choose.CONTENDERS, "cpu", ("openvino",))
    for int8, winner in ((0.9, "fp32"), (0.8, "int8")):
        speeds = {"openvino": 1.0, "openvino:int8": int8, "eager": 5.0}
        monkeypatch.setattr(
            choose, "compare", lambda _, engines, __, s=speeds: {n: Parity(1.0, 100.0, s[n]) for n in engines}
        )
        cache = EngineCache(tmp_path / winner)
        engine = build("auto", dataclasses.replace(source_of(quantized), cache=cache), PLAN)
        assert (engine.name, engine.precision) == ("openvino", winner)


def test_refusals(small_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if missing_packages(("openvino", "nncf")):
        with pytest.raises(ConfigError, match="not installed: "):
            quantize(source_of(small_model), open_dataset("synthetic", "train"))
        return
    assert main(["quantize", "--model", str(small_model), "--data", "synthetic", "--frames", "0"]) == 2
    assert "frames: needs at least 1" in capsys.readouterr().err
