"""What figures hold for: settings, machine, versions, the code that was timed and the files of the models."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sernet_core.benchmark.settings import Settings
from sernet_core.checkpoint import resolve_model
from sernet_core.digests import file_sha256, sources_sha256
from sernet_core.engines.cache import device_name
from sernet_core.engines.quantised import quantised_path
from sernet_core.engines.registry import ENGINES, engine_class
from sernet_core.report.facts import machine, versions

SHOWING = ("report/", "benchmark/page")
"""Beginnings of the paths of code that shows results: no figure depends on it."""


def identity(settings: Settings) -> dict[str, dict[str, Any]]:
    """All that must be alike for figures to stand in one result, by part; values that JSON knows.

    Raises:
        CheckpointError: A model cannot be found.
    """
    packages = ["sernet_core", *(["sernet_ros"] if settings.nodes else [])]
    found = {
        "settings": dataclasses.asdict(settings),
        "machine": {**machine(), "device": device_name(settings.device)},
        "versions": {
            **versions(),
            **{name: value for engine in ENGINES for name, value in _versions(engine).items()},
            **{f"code of {package}": code_digest(package) for package in packages},
        },
        "files": file_digests(settings),
    }
    return json.loads(json.dumps(found))


def differences(stored: Mapping[str, Any], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Parts in which a result is of something else, each with the names of what differs.

    Args:
        stored: A result, which holds the parts of `identity` among others.
        now: Of `identity`.
    """
    found = []
    for part, values in now.items():
        before = stored.get(part) or {}
        names = [name for name in {**before, **values} if before.get(name) != values.get(name)]
        if names:
            found.append(f"{part} ({', '.join(names)})")
    return found


def file_digests(settings: Settings) -> dict[str, str]:
    """SHA-256 of each model's checkpoint, and of its int8 model where there is one, by name and suffix.

    Raises:
        CheckpointError: A model cannot be found.
    """
    found = {}
    for model, name in settings.names.items():
        path = resolve_model(model)
        int8 = quantised_path(path)
        for file in (path, int8, int8.with_suffix(".bin")):
            if file.is_file():
                found[name + file.name.removeprefix(path.stem)] = file_sha256(file)
    return found


def code_digest(package: str) -> str:
    """Sixteen digits that stand for the source files of a package, but for those that only show results."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return ""  # not installed: nothing of it was timed
    folder = Path(spec.origin).parent
    sources = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
    timed = (path for name, path in sources.items() if not name.startswith(SHOWING))
    return sources_sha256(folder, timed)[:16]


def _versions(engine: str) -> dict[str, str]:
    kind = engine_class(engine)
    try:
        return kind.versions()
    except ModuleNotFoundError:  # a package that is not installed
        return {}
