"""onnxruntime on the CPU."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType

import numpy as np
import torch
from torch import Tensor

from sernet_core.engines.base import Engine, Source
from sernet_core.engines.graph import INPUT, OUTPUT, export_graph, no_deprecations
from sernet_core.engines.plan import Plan
from sernet_core.engines.turn import alone


class Onnx(Engine):
    """One graph for all sizes, converted once and kept."""

    name = "onnx"
    summary = "onnxruntime, for CPUs"
    packages = ("onnxruntime", "onnx", "onnxscript")
    precisions = {"cpu": ("fp32",)}  # noqa: RUF012

    def __init__(self, source: Source, plan: Plan) -> None:
        super().__init__(source, plan)
        onnxruntime = import_onnxruntime()
        key = {**source.identity, "shape": "any", "versions": self.versions()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = source.threads
        options.log_severity_level = 3
        path = source.cache.files(self.name, key, lambda folder: convert(source, folder / "model.onnx"))
        self._session = onnxruntime.InferenceSession(
            path / "model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def batch_logits(self, frames: np.ndarray) -> Tensor:
        """See `Engine.batch_logits`: of one frame at a time, which the graph is traced with."""
        results = [self._session.run([OUTPUT], {INPUT: frame[None]})[0] for frame in frames]
        return torch.from_numpy(results[0] if len(results) == 1 else np.concatenate(results))


def import_onnxruntime() -> ModuleType:
    """onnxruntime, without its reports: its builds since 1.29 tell their vendor of each session.

    They keep a file and a thread for it. A robot's software must not talk to strangers; whoever wants the
    reports sets `ORT_DISABLE_TELEMETRY=0`.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def convert(source: Source, path: Path) -> None:
    """Write the network as an ONNX file; height and width stay free."""
    graph = export_graph(source.model.copied(), source.stride)
    write_onnx(graph, path, [OUTPUT])


def write_onnx(
    graph: torch.export.ExportedProgram,
    path: Path,
    outputs: list[str],
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write a graph as ONNX in one file, quietly.

    Args:
        graph: With one input.
        path: File to write.
        outputs: Names of the graph's outputs.
        metadata: Properties of the model.
    """
    with alone(), _without_warnings(logging.getLogger("torch.onnx")), no_deprecations():
        program = torch.onnx.export(
            graph, (), dynamo=True, verbose=False, input_names=[INPUT], output_names=outputs
        )
        assert program is not None
        program.model.metadata_props.update(metadata)
        program.save(path)


@contextmanager
def _without_warnings(log: logging.Logger) -> Iterator[None]:
    """Silence the exporter: it warns of operators of packages that are not installed."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
