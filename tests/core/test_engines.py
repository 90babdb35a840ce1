"""Every engine that can run here makes eager's masks; one that cannot says why."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_engines import Weak, contend_with
from torch import nn

from sernet_core.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from sernet_core.cli import main
from sernet_core.engines import base
from sernet_core.engines.base import Engine, Source
from sernet_core.engines.cache import EngineCache, default_folder, weights_hash
from sernet_core.engines.choose import build
from sernet_core.engines.eager import Eager
from sernet_core.engines.folding import fold_batch_norms
from sernet_core.engines.graph import FrameNetwork, export_graph
from sernet_core.engines.onnx import Onnx
from sernet_core.engines.openvino import no_reports
from sernet_core.engines.parity import street_frames
from sernet_core.engines.plan import Plan
from sernet_core.engines.registry import CHOICES, ENGINES, engine_class
from sernet_core.errors import ConfigError, EngineError, InputError
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_core.runtime import Segmenter

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)

OTHERS = [name for name in ENGINES if name != "eager"]


def runnable(name: str, precision: str = "auto") -> type[Engine]:
    """Class of an engine, or a skip with the engine's own reason."""
    kind = engine_class(name)
    if obstacle := kind.obstacle("cpu", precision):
        pytest.skip(f"engine {name}: {obstacle}")
    return kind


def source_of(model: Path, precision: str = "auto") -> Source:
    return Source.load(model, EngineCache(default_folder()), precision=precision, threads=1)


def likeness(name: str, model: Path, plan: Plan, precision: str) -> float:
    """Share of a street's pixels where an engine's class is eager's."""
    frame = street_frames(*plan.frame, count=1)[0]
    engine = build(name, source_of(model, precision), plan)
    assert engine.name == name and engine.precision == precision
    return float(
        (engine.segment(frame).mask == build("eager", source_of(model), plan).segment(frame).mask).mean()
    )


@pytest.mark.parametrize("name", OTHERS)
def test_masks_are_eagers(small_model: Path, name: str) -> None:
    runnable(name)
    # Padded, not a multiple of the stride, and resized to the frame: everything that a size can bring.
    assert likeness(name, small_model, Plan((130, 200), (70, 101), 16), "fp32") > 0.999


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_one_converted_model_serves_all_sizes(small_model: Path, name: str) -> None:
    runnable(name)
    for size in ((64, 96), (96, 64)):
        assert likeness(name, small_model, Plan(size, size, 16), "fp32") > 0.999


@pytest.mark.parametrize("name", ["eager", "openvino", "onnx"])  # compile takes long to build
def test_a_batch_gives_the_masks_of_single_frames(small_model: Path, name: str) -> None:
    runnable(name)
    plan = Plan((70, 101), (70, 101), 16)
    frames = street_frames(70, 101, 2)
    source = source_of(small_model)
    answers = build(name, source, replace(plan, batch=2)).segment_batch(frames, confidence=True)
    eager = build("eager", source, plan)
    for frame, answer in zip(frames, answers, strict=True):
        wanted = eager.segment(frame, confidence=True)
        assert (answer.mask == wanted.mask).mean() > 0.999
        assert np.abs(answer.confidence.astype(int) - wanted.confidence).max() <= 1


def test_segmenter_takes_frames_of_one_size_at_once_where_that_pays(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = Segmenter.load(small_model, device="cpu", engine="eager", input_size="source", threads=1)
    small, large, broken = street_frames(64, 96, 3), street_frames(96, 128, 1), np.zeros((64, 96), np.uint8)
    wanted = [segmenter.segment(frame).mask for frame in (*small, *large)]
    sizes: list[int] = []
    compute = Eager.batch_logits

    def watched(engine: Eager, frames: np.ndarray) -> torch.Tensor:
        sizes.append(len(frames))
        return compute(engine, frames)

    monkeypatch.setattr(Eager, "batch_logits", watched)
    for kinds, expected in (((), [1, 1, 1, 1]), (("cpu",), [4, 1])):  # three are filled up to four
        monkeypatch.setattr(Eager, "batches", kinds)
        sizes.clear()
        *answers, fault = segmenter.segment_many([*small, *large, broken])
        assert sizes == expected and isinstance(fault, InputError)
        for answer, mask in zip(answers, wanted, strict=True):
            assert (answer.mask == mask).mean() > 0.999
    assert [type(answer) for answer in segmenter.segment_many([broken, broken])] == [InputError] * 2
    assert segmenter.segment_many([]) == []


def test_networks_that_share_weights_share_no_cached_engine(tmp_path: Path) -> None:
    runnable("openvino")
    torch.manual_seed(0)
    cache = EngineCache(tmp_path / "cache")
    plan, found = Plan((64, 96), (64, 96), 16), []
    weights = None
    for rates in ((1, 2, 3), (2, 4, 6)):
        config = NetworkConfig(depth=18, dbn_rates=rates)
        network = build_network(config)
        weights = weights or network.state_dict()
        network.load_state_dict(weights)
        path = tmp_path / f"{rates[0]}.safetensors"
        save_checkpoint(path, network, CheckpointInfo(config, CAMVID, (96, 64), notice="test"))
        source = Source.load(path, cache, threads=1)
        found.append(weights_hash(source.model))
        frame = plan.prepare(street_frames(64, 96, 1)[0])
        eager, openvino = (build(name, source, plan).logits(frame) for name in ("eager", "openvino"))
        assert (openvino - eager).abs().max() / eager.abs().max() < 1e-4
    assert found[0] == found[1]


def test_logits_are_computed_without_a_record_for_gradients(small_model: Path) -> None:
    plan = Plan((64, 96), (64, 96), 16)
    logits = build("eager", source_of(small_model), plan).logits(street_frames(64, 96, 1)[0])
    assert logits.is_inference(), "the record costs more than the network, and the benchmark times this call"


def test_openvino_computes_in_the_precision_it_says(small_model: Path) -> None:
    runnable("openvino", "bf16")
    plan = Plan((64, 96), (64, 96), 16)
    frame = plan.prepare(street_frames(64, 96, 1)[0])
    eager, full, half = (
        build(name, source_of(small_model, precision), plan).logits(frame)
        for name, precision in (("eager", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
    )
    scale = eager.abs().max()
    assert (full - eager).abs().max() / scale < 1e-5
    if "avx512_bf16" in Path("/proc/cpuinfo").read_text():
        assert 1e-5 < (half - eager).abs().max() / scale < 0.1


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "compile"])  # that takes long to build
def test_segmenter_takes_the_engine(small_model: Path, name: str) -> None:
    kind = engine_class(name)
    if reason := kind.obstacle("cpu", "auto"):
        with pytest.raises(ConfigError, match=f"engine {name}: ") as caught:
            Segmenter.load(small_model, device="cpu", engine=name)
        assert reason in str(caught.value)
        return
    segmenter = Segmenter.load(small_model, device="cpu", engine=name, threads=1)
    frame = street_frames(64, 96, 1)[0]
    result = segmenter.segment(frame, confidence=True)
    assert (segmenter.engine, segmenter.precision) == (name, "fp32")
    wanted = Segmenter.load(small_model, device="cpu").segment(frame, confidence=True)
    assert (result.mask == wanted.mask).mean() > 0.999
    assert np.abs(result.confidence.astype(int) - wanted.confidence).max() <= 1


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_output_that_is_not_finite_is_no_mask(small_model: Path, name: str, tmp_path: Path) -> None:
    runnable(name)
    source = source_of(small_model)
    with torch.no_grad():
        source.model.network.head.classify.bias[0] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        build(name, source, Plan((64, 96), (64, 96), 16)).segment(np.zeros((64, 96, 3), np.uint8))


def test_folding_changes_nothing_but_the_norms() -> None:
    torch.manual_seed(0)
    for depth, fusion in ((18, "gated"), (50, "concat")):
        network = build_network(NetworkConfig(depth=depth, fusion=fusion, dbn_rates=(1, 2))).eval()
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
        model = FrameNetwork(network, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
        frame = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
        with torch.no_grad():
            wanted = model(frame)
            assert fold_batch_norms(model) == len(norms)
            assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
            torch.testing.assert_close(model(frame), wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(depth=18, output_stride=8, fusion="gated", gate="fixed", lateral="skip"),
        NetworkConfig(depth=18, output_stride=32, fusion="add", dbn_separable=False, lateral="context"),
        NetworkConfig(depth=18, abm=False, dbn=False, afn1=False, afn2=False),
    ],
)
def test_every_kind_of_network_can_be_traced_for_all_sizes(config: NetworkConfig) -> None:
    model = FrameNetwork(build_network(config).eval(), (0.5,) * 3, (0.2,) * 3)
    graph = export_graph(model.copied(), config.output_stride).module()
    with torch.no_grad():
        for size in ((64, 64), (96, 160)):
            frame = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8)
            torch.testing.assert_close(graph(frame), model(frame))


def test_registry_does_not_import_torch() -> None:
    script = "import sys; import sernet_core.engines.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_names_are_the_classes_own() -> None:
    assert {name: engine_class(name).name for name in ENGINES} == {name: name for name in ENGINES}
    assert CHOICES[0] == "auto"
    with pytest.raises(ConfigError, match="Did you mean 'openvino'"):
        engine_class("openvine")
    with pytest.raises(ConfigError, match="unknown engine 'auto'") as caught:
        engine_class("auto")
    assert str(caught.value).count("auto") == 1  # it is no name of an engine, hence not offered


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_installed", lambda name: name != "onnxruntime")
    assert engine_class("onnx").obstacle("cpu", "auto") == (
        "not installed: onnxruntime; pip install -r requirements/engines.txt"
    )
    assert engine_class("eager").obstacle("cpu", "auto") == ""


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("eager", "int8", "has no int8 on cpu, only fp32, bf16"),
        ("onnx", "bf16", "has no bf16 on cpu, only fp32"),
    ],
)
def test_a_precision_that_an_engine_lacks(
    small_model: Path, engine: str, precision: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Segmenter.load(small_model, device="cpu", engine=engine, precision=precision)


def test_compile_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "needs a C++ compiler" in engine_class("compile").obstacle("cpu", "auto")


def test_openvino_is_imported_without_its_reports() -> None:
    if base.missing_packages(("openvino",)):
        pytest.skip("openvino is not installed")
    script = (
        "import sys\nfrom sernet_core.engines.openvino import import_openvino\nimport_openvino()\n"
        "from openvino.tools.ovc import convert_impl\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "assert convert_impl.tm.__name__.endswith('telemetry_stub'), convert_impl.tm\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_onnxruntime_is_imported_without_its_reports(tmp_path: Path) -> None:
    if base.missing_packages(Onnx.packages):
        pytest.skip("onnxruntime is not installed")
    script = "from sernet_core.engines.onnx import import_onnxruntime\nimport_onnxruntime()"
    # CI switches the reports off by itself.
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    places = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", script], check=True, env={**kept, **places})
    assert not list(tmp_path.rglob("*onnxruntime*"))


def test_reports_stay_off_where_two_threads_import_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "openvino_telemetry"
    monkeypatch.delitem(sys.modules, name, raising=False)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with no_reports():
            inside.set()
            assert leave.wait(60)

    with ThreadPoolExecutor(1) as executor:
        with no_reports():
            future = executor.submit(other)
            inside.wait(0.3)  # it does not come in while this thread is there
        assert inside.wait(60)
        assert sys.modules[name] is None  # type: ignore[comparison-overlap]
        leave.set()
        future.result()
    assert name not in sys.modules


def test_an_engine_dropped_by_another_thread_leaves_signals_working(small_model: Path) -> None:
    if base.missing_packages(("openvino",)):
        pytest.skip("openvino is not installed")
    script = (
        "import signal, subprocess, sys, threading\n"
        "from sernet_core.runtime import Segmenter\n"
        "handled = []\n"
        "signal.signal(signal.SIGCHLD, lambda *_: handled.append(1))\n"
        "held = [Segmenter.load(sys.argv[1], device='cpu', engine='openvino')]\n"
        "held[0].warm_up(64, 96)\n"
        "thread = threading.Thread(target=held.clear)\n"
        "thread.start(); thread.join()\n"
        "subprocess.run(['true'], check=True)\n"
        "assert handled\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(small_model)], capture_output=True, text=True)
    assert ended.returncode == 0, f"{ended.returncode}: {ended.stderr}"


def test_command_lists_and_checks(small_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "--device", "cpu", "--check", "--model", str(small_model), "--threads", "1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    listed = {line[0]: line[1] for line in lines if line and line[0] in ENGINES and line[1] in ("yes", "no")}
    assert set(listed) == set(ENGINES) and listed["eager"] == "yes"
    checked = {line[0]: line[1:] for line in lines if line and line[-1].endswith("x") and len(line) == 5}
    assert set(checked) == {name for name, word in listed.items() if word == "yes"}
    assert checked["eager"] == ["fp32", "100.00%", "100.00", "1.00x"]
    assert all(float(row[1].rstrip("%")) > 99.9 for row in checked.values())


def test_command_tells_of_an_engine_that_fails_when_it_runs(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contend_with(monkeypatch, Weak)
    for name in set(OTHERS):
        monkeypatch.delitem(ENGINES, name)
    assert main(["engines", "--device", "cpu", "--check", "--model", str(small_model), "--threads", "1"]) == 0
    table, _, fault = capsys.readouterr().out.rstrip().rpartition("\n")
    assert fault == "engine weak could not be run: no steam"
    assert table.splitlines()[-1].split() == ["eager", "fp32", "100.00%", "100.00", "1.00x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--precision fp61", "Did you mean 'fp16'"),
        ("--check --model nowhere", "unknown model"),
        ("--check --size 32x32", "at least 64x64"),
        ("--check --threads -1", "threads"),
    ],
)
def test_command_refuses(small_model: Path, arguments: str, message: str, capsys) -> None:
    given = arguments.split()
    if "--check" in given and "--model" not in given:
        given += ["--model", str(small_model)]
    assert main(["engines", *given]) == 2
    assert message in capsys.readouterr().err


def test_the_networks_own_forward_is_what_the_graph_computes(small_model: Path) -> None:
    checkpoint = load_checkpoint(small_model)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    mean, std = torch.tensor(checkpoint.info.mean), torch.tensor(checkpoint.info.std)
    x = (torch.from_numpy(image).float() / 255 - mean) / std
    plan = Plan((64, 96), (64, 96), 16)
    eager = build("eager", source_of(small_model), plan)
    with torch.no_grad():
        wanted = checkpoint.network(x.permute(2, 0, 1)[None])[0]
        found = eager.upsampler.full(eager.logits(image))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
