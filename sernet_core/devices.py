"""The device that a setting means."""

from __future__ import annotations

import torch

from sernet_core.errors import ConfigError


def resolve_device(name: str) -> str:
    """Device that a setting means: "cpu" or "cuda:N".

    Args:
        name: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ConfigError: Anything else, or a device that this machine does not have.
    """
    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if name == "cpu":
        return name
    if kind != "cuda" or not (index.isdecimal() or name == "cuda"):
        raise ConfigError(f"device: '{name}' is neither 'auto', 'cpu' nor 'cuda:N'")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        raise ConfigError(
            f"device: '{name}' is not here: torch sees {count} CUDA device(s); use 'auto' or 'cpu'"
        )
    return f"cuda:{int(index or 0)}"
