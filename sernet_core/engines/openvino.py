"""OpenVINO on the CPU: float32, bfloat16, or int8 from a model that `sernet quantize` has made."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sernet_core.engines.base import Engine, Source
from sernet_core.engines.graph import INPUT, OUTPUT, export_graph, no_deprecations
from sernet_core.engines.plan import Plan
from sernet_core.engines.quantised import quantised
from sernet_core.engines.turn import alone
from sernet_core.errors import EngineError

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}

_core: Any = None
_core_lock = threading.Lock()
_reports_lock = threading.RLock()


class OpenVino(Engine):
    """One graph for all sizes, converted once and kept; shape and threads are fixed when it is compiled."""

    name = "openvino"
    summary = "OpenVINO, for CPUs; int8 with a quantised model"
    packages = ("openvino",)
    precisions = {"cpu": ("fp32", "bf16", "int8")}  # noqa: RUF012

    def __init__(self, source: Source, plan: Plan) -> None:
        super().__init__(source, plan)
        if self.precision == "int8" and plan.batch > 1:
            raise EngineError(f"an int8 model takes one frame at a time, not {plan.batch}")
        path = quantised(source) if self.precision == "int8" else self._converted(source)
        core = shared_core()
        model = core.read_model(path)
        model.reshape({INPUT: [plan.batch, *plan.padded, 3]})
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            # Left to itself, OpenVINO computes in bfloat16 where the CPU can.
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
        }
        if source.threads:
            properties["INFERENCE_NUM_THREADS"] = str(source.threads)
        self._request = core.compile_model(model, "CPU", properties).create_infer_request()
        self._tensor = import_openvino().Tensor

    def batch_logits(self, frames: np.ndarray) -> Tensor:
        """See `Engine.batch_logits`."""
        self._request.set_input_tensor(self._tensor(frames, shared_memory=True))
        self._request.infer()
        return torch.from_numpy(self._request.get_output_tensor().data)

    def _converted(self, source: Source) -> Path:
        batch = self.plan.batch
        shape = "any" if batch == 1 else f"{batch} of any"
        key = {**source.identity, "shape": shape, "versions": self.versions()}

        def build(folder: Path) -> None:
            convert(source, folder / "model.xml", batch)

        return source.cache.files(self.name, key, build) / "model.xml"


def convert(source: Source, path: Path, batch: int = 1) -> None:
    """Write the network as OpenVINO's model: an .xml and a .bin file; height and width stay free."""
    model = converted(export_graph(source.model.copied(), source.stride, batch=batch))
    name_ports(model)
    save(model, path)


def converted(graph: torch.export.ExportedProgram) -> Any:
    """A traced graph as OpenVINO's model."""
    with alone(), no_deprecations():
        return import_openvino().convert_model(graph)


def save(model: Any, path: Path) -> None:
    """Write a model as it is: an .xml file and a .bin file beside it.

    Raises:
        OSError: They cannot be written to their end, for which OpenVINO has no words.
    """
    try:
        import_openvino().save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        if "iostream error" not in str(error):
            raise
        words = "OpenVINO could not write its files to their end, most likely for lack of room"
        raise OSError(errno.ENOSPC, words) from error


def name_ports(model: Any) -> None:
    """Give a model's input and output the names that are ours."""
    model.input().set_names({INPUT})
    model.output().set_names({OUTPUT})


def import_openvino() -> Any:
    """The package, with its reports to the vendor switched off."""
    with no_reports():
        import openvino
        import openvino.tools.ovc  # loaded here, so that it is not loaded later with its reports
    return openvino


def shared_core() -> Any:
    """OpenVINO's `Core`, one for the life of the process: it must not be unloaded by another thread.

    The CPU plugin gives the thread that loads it a stack for signals, and unmaps it when it is unloaded. If
    another thread unloads it, the first keeps the unmapped stack, and the next signal that it handles is a
    segmentation fault.
    """
    global _core
    with _core_lock:
        if _core is None:
            _core = import_openvino().Core()
        return _core


@contextmanager
def no_reports() -> Iterator[None]:
    """Import OpenVINO's tools or NNCF in here: they then find no package to report their use with.

    Both otherwise tell their vendor of each conversion unless the user has declined, and a robot's software
    must not talk to strangers. Without that package they use a stand-in of their own. A thread waits here for
    another one that is in here.
    """
    name = "openvino_telemetry"
    with _reports_lock:
        loaded = sys.modules.get(name)
        sys.modules[name] = None  # type: ignore[assignment]
        try:
            yield
        finally:
            if loaded is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = loaded
