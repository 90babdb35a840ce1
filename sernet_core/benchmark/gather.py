"""Builds what takes turns at one size: models and peers on engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from sernet_core.benchmark.cases import TUTORIAL, Case, Entry, levels_of, tutorial
from sernet_core.benchmark.floor import work_of
from sernet_core.benchmark.settings import AUTO, Settings
from sernet_core.engines.base import Engine, Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.engines.choose import build, reference
from sernet_core.errors import CheckpointError, EngineError
from sernet_core.input_size import InputSize
from sernet_core.labels import CAMVID


@dataclass
class Built:
    """An engine that is ready to be timed.

    Attributes:
        case: Its names and the frame's size.
        engine: Itself.
        grown_mb: By what building it has made this process grow, in 10^6 bytes.
    """

    case: Case
    engine: Engine
    grown_mb: float


class Missing:
    """Why something cannot be timed.

    Attributes:
        faults: Reasons by name, of what was asked for by name.
        left_out: Reasons by name, of defaults.
    """

    def __init__(self, named: Sequence[str]) -> None:
        self.faults: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self._named = named

    def note(self, name: str, asked: str, error: Exception) -> None:
        """Note why `name` is missing; `asked` is what it was asked for by, if at all."""
        into = self.faults if asked in self._named or asked == "eager" else self.left_out
        into[name] = str(error)


def gather(
    settings: Settings, width: int, height: int, frames: Sequence[np.ndarray], missing: Missing
) -> list[Entry]:
    """Everything that runs in this process at one size.

    Args:
        settings: What to time.
        width: Of the frames.
        height: Of the frames.
        frames: uint8 (height, width, 3) RGB.
        missing: Receives why something cannot be timed.

    Raises:
        ConfigError: A peer's name is not known.
    """
    entries: list[Entry] = []
    names = settings.names
    for name, is_peer in [*((n, False) for n in settings.models), *((p, True) for p in settings.peers)]:
        before = _resident_mb()
        try:
            source = (peer_source if is_peer else source_of)(settings, name)
        except (CheckpointError, MissingPackageError) as error:
            missing.note(name, name, error)
            continue
        loaded = _resident_mb() - before
        height_width = InputSize.parse(settings.input_size, source.info.input_size).of(height, width)
        for engine in settings.engines_of(is_peer=is_peer):
            try:
                built = build_one(names.get(name, name), engine, source, (height, width), height_width)
                # A model's weights are loaded once; they count with eager, which holds them.
                built.grown_mb += loaded if engine == "eager" else 0.0
                entries += _entries(built, source, frames, is_peer=is_peer)
            except EngineError as error:
                missing.note(f"{name} {engine}", engine, error)
    return entries


class MissingPackageError(Exception):
    """A peer's package is not installed."""


def build_one(
    name: str, engine: str, source: Source, frame: tuple[int, int], network: tuple[int, int]
) -> Built:
    """Build an engine as it was asked for, e.g. "openvino:int8" or "auto".

    Args:
        name: Of the model or peer.
        engine: What was asked for.
        source: What it is built from.
        frame: Height and width of the frames.
        network: Height and width at which the network sees them.

    Raises:
        EngineError: It cannot be built.
    """
    kind, _, precision = engine.partition(":")
    before = _resident_mb()
    source = dataclasses.replace(source, precision=precision or "auto")
    plan = source.plan(frame, network)
    built = reference(source, plan) if engine == "eager" else build(kind, source, plan)
    case = Case(name, built.name if kind == AUTO else kind, built.precision, frame[1], frame[0], engine)
    return Built(case, built, _resident_mb() - before)


def source_of(settings: Settings, model: str) -> Source:
    """A model's weights on the device of a run.

    Raises:
        CheckpointError: It cannot be loaded.
    """
    cache = EngineCache(default_folder())
    return Source.load(model, cache, device=settings.device, threads=settings.threads)


def peer_source(settings: Settings, name: str) -> Source:
    """A peer with random weights on the device of a run.

    Raises:
        MissingPackageError: One that it needs is not installed.
        ConfigError: There is no such peer.
    """
    from sernet_core.peers import registry

    if name in registry.PEERS and (fault := registry.PEERS[name].obstacle()):
        raise MissingPackageError(fault)
    cache = EngineCache(default_folder())
    return registry.peer_source(name, CAMVID, cache, device=settings.device, threads=settings.threads)


def _entries(built: Built, source: Source, frames: Sequence[np.ndarray], *, is_peer: bool) -> Iterator[Entry]:
    """Entries of one model or peer on one engine."""
    case, plan = built.case, built.engine.plan
    on_gpu = source.device != "cpu"
    work = work_of(source.info.network, plan.network[1], plan.network[0]) if on_gpu else None
    for level, task in levels_of(built.engine, source.info.classes, frames, source.device).items():
        # What upsampling takes depends on the mask, which of random weights is noise.
        if not is_peer or level == "network":
            yield Entry(case, level, task, built.grown_mb, work=work if level == "network" else None)
    if case.asked == "eager" and not is_peer:
        yield Entry(
            dataclasses.replace(case, engine=TUTORIAL, asked=""), "overlay", tutorial(source, plan, frames)
        )


def _resident_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6
