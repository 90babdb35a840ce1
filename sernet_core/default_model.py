"""Which shipped model serves where none is named."""

from __future__ import annotations

from pathlib import Path

from sernet_core.devices import resolve_device

AUTO = "auto"
ACCURATE = "sernet-r50-camvid"
REAL_TIME = "sernet-r29-camvid"


def chosen_model(model: str | Path, device: str) -> str | Path:
    """The model that a setting means.

    Args:
        model: A path or name, returned as it is, or "auto": the accurate model on a GPU, which runs it in
            real time, and the small one on a CPU.
        device: Where it is going to run: as for `devices.resolve_device`.

    Raises:
        ConfigError: No such device.
    """
    if model != AUTO:
        return model
    return REAL_TIME if resolve_device(device) == "cpu" else ACCURATE
