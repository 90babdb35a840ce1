"""The GPU engines: their parts on a CPU, their flow on stand-ins, the whole where there is a GPU."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cuda_standin import Graph, stand_in
from torch import nn

from sernet_core.benchmark.cases import levels_of
from sernet_core.benchmark.floor import measure
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.engines.choose import build
from sernet_core.engines.cudagraph import CudaGraph
from sernet_core.engines.device import DeviceEngine, DevicePath, lean_network
from sernet_core.engines.parity import street_frames
from sernet_core.engines.plan import Plan
from sernet_core.errors import EngineError
from sernet_core.runtime import Segmenter

PLAN = Plan((130, 200), (70, 101), 16)


def source_of(model: Path, device: str = "cpu", precision: str = "auto") -> Source:
    return Source.load(model, EngineCache(default_folder()), device=device, precision=precision)


def test_path_gives_eagers_masks(small_model: Path) -> None:
    source = source_of(small_model)
    frame = street_frames(*PLAN.frame, 1)[0]
    path = DevicePath(lean_network(source.model, torch.float32), PLAN)
    with torch.inference_mode():
        masks, sound, logits = path(torch.from_numpy(PLAN.prepare(frame))[None])
    assert masks.dtype == torch.uint8 and masks.shape == (1, *PLAN.frame) and sound.tolist() == [True]
    assert logits.shape == (1, 11, 20, 28) and logits.dtype == torch.float32
    wanted = build("eager", source, PLAN).segment(frame).mask
    assert (masks[0].numpy() == wanted).mean() > 0.999


def test_lean_network_computes_in_its_type(small_model: Path) -> None:
    source = source_of(small_model)
    lean = lean_network(source.model, torch.bfloat16)
    kinds = {parameter.dtype for parameter in lean.network.parameters()}
    assert kinds == {torch.bfloat16} and lean.mean.dtype == torch.float32
    assert not any(isinstance(module, nn.BatchNorm2d) for module in lean.modules())
    assert any(
        isinstance(module, nn.BatchNorm2d) for module in source.model.modules()
    )  # a copy was made lean
    frame = torch.from_numpy(street_frames(64, 96, 1)[0])[None]
    with torch.inference_mode():
        exact, coarse = source.model(frame).flatten(), lean(frame).flatten()
    assert coarse.dtype == torch.float32 and not torch.equal(exact, coarse)
    assert torch.corrcoef(torch.stack([exact, coarse]))[0, 1] > 0.99


@pytest.fixture
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    monkeypatch.setattr(CudaGraph, "precisions", {"cpu": ("fp32",)})


def test_flow_of_the_captured_graph(small_model: Path, on_a_cpu: None) -> None:
    source = source_of(small_model)
    engine, eager = build("cudagraph", source, PLAN), build("eager", source, PLAN)
    assert engine._graph.replays == 0 and len(engine._graph.calls) == 1  # captured once, after the warm-up
    frames = street_frames(*PLAN.frame, 2)
    results = [engine.segment(frame, confidence=True) for frame in frames]
    assert engine._graph.replays == 2
    for frame, result in zip(frames, results, strict=True):  # the first one is not overwritten by the second
        wanted = eager.segment(frame, confidence=True)
        assert (result.mask == wanted.mask).mean() > 0.999
        assert np.abs(result.confidence.astype(int) - wanted.confidence).max() <= 1
    prepared = PLAN.prepare(frames[0])
    torch.testing.assert_close(engine.logits(prepared), eager.logits(prepared), rtol=1e-3, atol=1e-2)


def test_a_batch_is_one_launch(small_model: Path, on_a_cpu: None) -> None:
    source = source_of(small_model)
    engine = build("cudagraph", source, replace(PLAN, batch=2))
    single = build("cudagraph", source, PLAN)
    for frames in (street_frames(*PLAN.frame, 2), street_frames(*PLAN.frame, 4)[2:]):
        replays = engine._graph.replays
        answers = engine.segment_batch(frames, confidence=True)
        assert engine._graph.replays == replays + 1
        for frame, answer in zip(frames, answers, strict=True):
            wanted = single.segment(frame, confidence=True)
            assert (answer.mask == wanted.mask).mean() > 0.999
            assert np.abs(answer.confidence.astype(int) - wanted.confidence).max() <= 1


def test_network_alone_is_a_graph_of_its_own(small_model: Path, on_a_cpu: None) -> None:
    source = source_of(small_model)
    engine = build("cudagraph", source, PLAN)
    frames, taken = street_frames(*PLAN.frame, 2), []
    engine._stream.synchronize = lambda: taken.append("waited")
    tasks = levels_of(engine, source.info.classes, frames)
    assert set(tasks) == {"network", "mask", "overlay"}
    whole, (alone,) = engine._graph, [graph for graph in Graph.all if graph is not engine._graph][-1:]
    before = whole.replays
    engine._launch = None  # no bytes are sent
    tasks["network"](1)
    assert (alone.replays, whole.replays, taken) == (1, before, ["waited"])
    assert [len(kind) for _, _, kind in whole.calls] == [3] and alone.calls == []  # the path is not in it


def test_network_alone_where_nothing_is_captured(small_model: Path, on_a_cpu: None) -> None:
    """As with TensorRT: the network of the path runs, and nothing else of it."""

    class Plain(DeviceEngine):
        name = "plain"
        precisions = {"cpu": ("fp32",)}  # noqa: RUF012

        def _network(self, source: Source) -> nn.Module:
            return lean_network(source.model, torch.float32)

    engine, ran = Plain(source_of(small_model), PLAN), []
    engine._path.network.register_forward_hook(lambda *_: ran.append("network"))
    engine._path.register_forward_hook(lambda *_: ran.append("path"))
    engine.network_alone()()
    assert ran == ["network"]


def test_one_frame_of_a_batch_that_is_not_finite_harms_no_other(small_model: Path, on_a_cpu: None) -> None:
    engine = build("cudagraph", source_of(small_model), replace(PLAN, batch=2))
    masks, _, logits = engine._results
    engine._run = lambda: (masks, torch.tensor([True, False]), logits)
    good, bad = engine.segment_batch(street_frames(*PLAN.frame, 2))
    assert good.mask.shape == PLAN.frame and isinstance(bad, EngineError)


def test_output_that_is_not_finite_is_no_mask(small_model: Path, on_a_cpu: None) -> None:
    source = source_of(small_model)
    with torch.no_grad():
        source.model.network.head.classify.bias[0] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        build("cudagraph", source, PLAN).segment(street_frames(*PLAN.frame, 1)[0])


def test_calls_fit_torchs_own_signatures() -> None:
    graph = torch.cuda.graph
    inspect.signature(graph).bind(object(), stream=object(), capture_error_mode="thread_local")
    modes = ("global", "thread_local", "relaxed")
    assert inspect.signature(graph).parameters["capture_error_mode"].default in modes
    inspect.signature(torch.cuda.CUDAGraph.replay).bind(object())
    inspect.signature(torch.cuda.Stream.wait_stream).bind(object(), object())


def test_a_cpu_is_no_gpu() -> None:
    assert CudaGraph.obstacle("cpu", "auto") == "runs on cuda, not on cpu"
    assert CudaGraph.obstacle("cuda:0", "int8") == "has no int8 on cuda:0, only fp16, bf16, fp32"
    assert CudaGraph.resolve("cuda:0", "auto") == "fp16"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the captured graph was not run")
def test_network_alone_gives_the_paths_logits(small_model: Path) -> None:
    engine = build("cudagraph", source_of(small_model, "cuda:0", "fp32"), PLAN)
    wanted = engine.logits(PLAN.prepare(street_frames(*PLAN.frame, 1)[0]))
    with torch.cuda.device("cuda:0"), torch.inference_mode():
        launch = engine._network_launch()
        with torch.cuda.stream(engine._stream):
            logits = launch()
        engine._stream.synchronize()
    torch.testing.assert_close(logits[0], wanted)
    assert measure("cuda:0").operations > 1e12


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the captured graph was not run")
def test_captured_batch_agrees_with_single_frames(small_model: Path) -> None:
    frames = street_frames(*PLAN.frame, 3)
    segmenter = Segmenter.load(small_model, device="cuda:0", engine="cudagraph", precision="fp32")
    for frame, answer in zip(frames, segmenter.segment_many(frames), strict=True):
        assert (answer.mask == segmenter.segment(frame).mask).mean() > 0.99


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the captured graph was not run")
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.99), ("fp16", 0.97), ("bf16", 0.9)])
def test_captured_graph_agrees_with_eager(small_model: Path, precision: str, least: float) -> None:
    source = source_of(small_model, "cuda:0", precision)
    engine, eager = build("cudagraph", source, PLAN), build("eager", source_of(small_model, "cuda:0"), PLAN)
    for frame in street_frames(*PLAN.frame, 3):
        result, wanted = engine.segment(frame, confidence=True), eager.segment(frame, confidence=True)
        assert (result.mask == wanted.mask).mean() > least
        assert np.abs(result.confidence.astype(int) - wanted.confidence).mean() < 10
