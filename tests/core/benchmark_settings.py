"""Settings of a benchmark that takes a second."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sernet_core.benchmark.settings import Settings


def settings_of(model: Path, **changes) -> Settings:
    settings = Settings((str(model),), (), ((96, 64), (64, 64)), "source", "cpu", 1, 2)
    return dataclasses.replace(settings, **changes)
