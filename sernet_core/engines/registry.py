"""The engines by name. Importing this imports none of them, nor torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sernet_core.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from sernet_core.engines.base import Engine

# Name: module and class.
ENGINES = {
    "eager": "sernet_core.engines.eager:Eager",
    "compile": "sernet_core.engines.compile:Compile",
    "openvino": "sernet_core.engines.openvino:OpenVino",
    "onnx": "sernet_core.engines.onnx:Onnx",
    "tensorrt": "sernet_core.engines.tensorrt:TensorRt",
    "cudagraph": "sernet_core.engines.cudagraph:CudaGraph",
}
CHOICES = ("auto", *ENGINES)
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


def engine_class(name: str) -> type[Engine]:
    """Class of an engine.

    Raises:
        ConfigError: There is no such engine.
    """
    if name not in ENGINES:
        raise ConfigError(unknown_name("engine", name, ENGINES))
    module, _, attribute = ENGINES[name].partition(":")
    found: type[Engine] = getattr(importlib.import_module(module), attribute)
    return found


def obstacles(device: str, precision: str = "auto") -> dict[str, str]:
    """Every engine, and why it cannot run on this machine; empty where it can."""
    return {name: engine_class(name).obstacle(device, precision) for name in ENGINES}
