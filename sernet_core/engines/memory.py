"""How the engines' libraries say that the memory does not suffice: each in its own words."""

from __future__ import annotations

import torch

from sernet_core.errors import EngineError

WORDS = (
    "can't allocate memory",  # torch on a CPU
    "bad_alloc",  # OpenVINO and onnxruntime
    "Failed to allocate",  # onnxruntime's arena, OpenVINO's plugin, OpenCV
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is what an error is about; one that stopped an engine's build, too."""
    if isinstance(error, EngineError) and error.__cause__ is not None:
        error = error.__cause__
    # Only torch on a GPU and NumPy have a type for it.
    typed = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return typed or any(words in str(error) for words in WORDS)
