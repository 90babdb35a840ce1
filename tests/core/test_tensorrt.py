"""The engine tensorrt without TensorRT: its flow on a stand-in, its calls against the package.

The stand-in keeps a graph as it is, so these tests say nothing about TensorRT itself.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from cuda_standin import stand_in

from sernet_core.engines import base, tensorrt
from sernet_core.engines.base import Engine, Source
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.choose import build
from sernet_core.engines.parity import street_frames
from sernet_core.engines.plan import Plan
from sernet_core.engines.tensorrt import TensorRt
from sernet_core.errors import ConfigError
from sernet_core.export import FORMATS, export

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)

PLAN = Plan((64, 96), (64, 96), 16)
CALLS = {
    "compile": ("dynamo/_compiler.py", "compile"),
    "save": ("_compile.py", "save"),
    "load": ("_compile.py", "load"),
}
Call = tuple[str, tuple, dict]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Puts a stand-in in the package's place, and gives the calls that it gets."""
    made: list[Call] = []

    def record(name: str, answer):
        def call(*args, **kwargs):
            made.append((name, args, kwargs))
            return answer(*args, **kwargs)

        return call

    package = ModuleType("torch_tensorrt")
    package.dynamo = SimpleNamespace(compile=record("compile", lambda program, **_: program))
    package.save = record(
        "save",
        lambda module, path, extra_files=None, **_: torch.export.save(module, path, extra_files=extra_files),
    )
    package.load = record("load", torch.export.load)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", package)
    stand_in(monkeypatch)
    monkeypatch.setattr(TensorRt, "precisions", {"cpu": ("fp32",)})
    monkeypatch.setattr(TensorRt, "obstacle", classmethod(lambda *_: ""))
    monkeypatch.setattr(TensorRt, "versions", classmethod(lambda _: {"torch": "2", "tensorrt": "11"}))
    return made


def source_of(model: Path, folder: Path) -> Source:
    return Source.load(model, EngineCache(folder))


def test_an_engine_is_built_once_saved_and_loaded(
    small_model: Path, tmp_path: Path, calls: list[Call]
) -> None:
    source = source_of(small_model, tmp_path)
    wanted = build("eager", source, PLAN)
    for _ in range(2):
        engine = build("tensorrt", source, PLAN)
        for frame in street_frames(64, 96, 2):
            assert (engine.segment(frame).mask == wanted.segment(frame).mask).mean() > 0.999
    assert [name for name, _, _ in calls] == ["compile", "save", "load", "load"]
    (entry,) = tmp_path.glob("tensorrt-*")
    assert calls[3][1] == (str(entry / "engine.ep"),)
    assert (entry / "engine.ep").stat().st_size > 0

    build("tensorrt", source, Plan((64, 64), (64, 64), 16))
    assert len(list(tmp_path.glob("tensorrt-*"))) == 2  # an engine fits one size


def test_export_writes_one_file_for_one_size(
    small_model: Path, tmp_path: Path, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(small_model, tmp_path)
    path = tmp_path / "street.ep"
    with pytest.raises(ConfigError, match="is for one size, not for any"):
        export(source, "tensorrt", path, None)
    form = replace(FORMATS["tensorrt"], precision="bf16")  # a CPU has no fp16
    monkeypatch.setitem(FORMATS, "tensorrt", form)
    assert export(source, "tensorrt", path, (101, 70)) == [path]
    assert [name for name, _, _ in calls] == ["compile", "save", "load"]
    metadata, run = form.read(path)
    assert metadata["size"] == "101x70" and metadata["precision"] == "bf16" and metadata["device"]
    frame = street_frames(70, 101, 1)[0]
    wanted = build("eager", source, source.plan((70, 101), (70, 101))).segment(frame).mask
    assert (run(frame) == wanted).mean() > 0.9


@pytest.mark.parametrize("use", ["engine", "export"])
def test_calls_fit_the_packages_signatures(
    small_model: Path, tmp_path: Path, calls: list[Call], monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    found = _package_folder()
    if found is None:
        pytest.skip("torch-tensorrt is not installed: pip install --no-deps -r requirements/tensorrt.txt")
    source = source_of(small_model, tmp_path)
    if use == "engine":
        build("tensorrt", source, PLAN)
    else:
        monkeypatch.setitem(FORMATS, "tensorrt", replace(FORMATS["tensorrt"], precision="bf16"))
        export(source, "tensorrt", tmp_path / "street.ep", (96, 64))
    assert {name for name, _, _ in calls} == set(CALLS)
    for name, args, kwargs in calls:
        file, function = CALLS[name]
        _signature(found / file, function).bind(*args, **kwargs)
    with pytest.raises(TypeError, match="enabled_precisions"):  # this check can fail
        _signature(found / "dynamo/_compiler.py", "compile").bind(None, enabled_precisions=set())


def test_obstacles_name_what_is_missing_and_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TensorRt.obstacle("cpu", "auto") == "runs on cuda, not on cpu"
    monkeypatch.setattr(base, "_installed", lambda name: name != "tensorrt")
    assert TensorRt.obstacle("cuda:0", "auto") == (
        "not installed: tensorrt; pip install -r requirements/tensorrt.txt"
    )
    monkeypatch.setattr(base, "_installed", lambda name: True)
    versions = {"torch": "2.13.0+cu130", "torch-tensorrt": "2.14.0"}
    monkeypatch.setattr(tensorrt.metadata, "version", versions.__getitem__)
    assert "torch-tensorrt 2.14 does not fit torch 2.13" in TensorRt.obstacle("cuda:0", "fp16")
    versions["torch-tensorrt"] = "2.13.0"
    assert TensorRt.obstacle("cuda:0", "fp16") == ""


def test_the_pins_are_of_one_minor_version() -> None:
    folder = Path(__file__).parents[2] / "requirements"
    pins = [
        line.partition("==")[2].split(".")[:2]
        for file, name in (("torch.txt", "torch=="), ("tensorrt.txt", "torch-tensorrt=="))
        for line in (folder / file).read_text().splitlines()
        if line.startswith(name)
    ]
    assert len(pins) == 2 and pins[0] == pins[1]


def test_it_is_an_engine_like_the_others() -> None:
    assert issubclass(TensorRt, Engine) and TensorRt.resolve("cuda:0", "auto") == "fp16"


def _package_folder() -> Path | None:
    """Where the real package's files lie; it is not imported, for that needs TensorRT."""
    stand_in_module = sys.modules.pop("torch_tensorrt", None)
    try:
        spec = importlib.util.find_spec("torch_tensorrt")
    finally:
        if stand_in_module is not None:
            sys.modules["torch_tensorrt"] = stand_in_module
    return Path(spec.origin).parent if spec and spec.origin else None


def _signature(file: Path, function: str) -> inspect.Signature:
    """Signature of a function as its source states it, without **kwargs: these take any name."""
    tree = ast.parse(file.read_text())
    (node,) = (item for item in tree.body if isinstance(item, ast.FunctionDef) and item.name == function)
    arguments = node.args
    first = len(arguments.args) - len(arguments.defaults)
    positional = [
        inspect.Parameter(
            argument.arg,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if index < first else None,
        )
        for index, argument in enumerate(arguments.args)
    ]
    named = [
        inspect.Parameter(
            argument.arg,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is None else None,
        )
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return inspect.Signature([*positional, *named])
