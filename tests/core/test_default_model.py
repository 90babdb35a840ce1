"""Which model serves where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sernet_core.checkpoint import resolve_model
from sernet_core.default_model import ACCURATE, AUTO, REAL_TIME, chosen_model
from sernet_core.errors import ConfigError
from sernet_core.runtime import Segmenter


@pytest.mark.parametrize(
    ("device", "gpu", "name"),
    [
        ("auto", False, REAL_TIME),
        ("auto", True, ACCURATE),
        ("cpu", True, REAL_TIME),
        ("cuda:0", True, ACCURATE),
    ],
)
def test_auto_goes_by_the_device(device: str, gpu: bool, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(gpu))
    assert chosen_model(AUTO, device) == name
    assert resolve_model(name).is_file()


def test_a_named_model_is_left_alone() -> None:
    assert chosen_model("mine", "auto") == "mine"
    assert chosen_model(Path("auto.safetensors"), "cpu") == Path("auto.safetensors")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="device: 'gpu' is neither"):
        chosen_model(AUTO, "gpu")


def test_the_segmenter_says_which_model_it_took() -> None:
    assert Segmenter.load(AUTO, device="cpu").model == REAL_TIME
