"""Builds what takes turns at one size: models and peers on engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from sernet_core.benchmark.cases import TUTORIAL, Case, Entry, levels_of, tutorial
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.engines.choose import build, reference
from sernet_core.engines.registry import engine_class
from sernet_core.errors import ConfigError, EngineError
from sernet_core.labels import CAMVID
from sernet_core.runtime import InputSize


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do.

    Attributes:
        models: Paths or names.
        engines: Names and precisions, e.g. "openvino" or "openvino:int8"; eager is always among them.
        sizes: Widths and heights of the frames.
        input_size: Rule for the size at which the network sees them, as for the Segmenter.
        device: "cpu" or "cuda:N".
        threads: CPU threads; 0 leaves the choice to the engine.
        repeats: Rounds; ten are enough where a frame takes over 0.3 s.
        peers: Networks by others, see `sernet_core.peers.registry.PEERS`; their weights are random.
        nodes: Whether each engine is also asked over ROS, by what `run` gets as `extra`.
    """

    models: tuple[str, ...]
    engines: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    input_size: str
    device: str
    threads: int
    repeats: int
    peers: tuple[str, ...] = ()
    nodes: bool = False

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.threads < 0:
            raise ConfigError(f"needs repeats >= 1 and threads >= 0, got {self.repeats} and {self.threads}")
        for engine in self.engines:
            engine_class(engine.partition(":")[0])


def gather(
    settings: Settings, width: int, height: int, frames: Sequence[np.ndarray], faults: dict[str, str]
) -> list[Entry]:
    """Everything that runs in this process at one size.

    Args:
        settings: What to time.
        width: Of the frames.
        height: Of the frames.
        frames: uint8 (height, width, 3) RGB.
        faults: Receives why something cannot be timed.

    Raises:
        CheckpointError: A model cannot be loaded.
        ConfigError: A peer's name is not known.
    """
    entries: list[Entry] = []
    for model, is_peer in [
        *((name, False) for name in settings.models),
        *((p, True) for p in settings.peers),
    ]:
        for engine in dict.fromkeys(("eager", *settings.engines)):
            try:
                entries += _entries(settings, model, engine, frames, (height, width), is_peer=is_peer)
            except EngineError as error:
                faults[f"{model} {engine}"] = str(error)
            except _MissingError as error:
                faults[model] = str(error)
                break
    return entries


class _MissingError(Exception):
    """A peer's package is not installed."""


def _entries(
    settings: Settings,
    model: str,
    engine: str,
    frames: Sequence[np.ndarray],
    size: tuple[int, int],
    *,
    is_peer: bool,
) -> Iterator[Entry]:
    """Entries of one model or peer on one engine."""
    name, _, precision = engine.partition(":")
    if is_peer and precision == "int8":
        raise EngineError("random weights are not quantised")
    before = psutil.Process().memory_info().rss
    source = (_peer if is_peer else _source)(settings, model, precision or "auto")
    sizing = InputSize.parse(settings.input_size, source.info.input_size)
    plan = source.plan(size, sizing.of(*size))
    built = reference(source, plan) if engine == "eager" else build(name, source, plan)
    memory = (psutil.Process().memory_info().rss - before) / 1e6
    case = Case(source.path.stem, name, built.precision, size[1], size[0])
    for level, task in levels_of(built, source.info.classes, frames).items():
        # What upsampling takes depends on the mask, which of random weights is noise.
        if not is_peer or level == "network":
            yield Entry(case, level, task, memory)
    if engine == "eager" and not is_peer:
        yield Entry(dataclasses.replace(case, engine=TUTORIAL), "overlay", tutorial(source, plan, frames))


def _source(settings: Settings, model: str, precision: str) -> Source:
    cache = EngineCache(default_folder())
    return Source.load(model, cache, device=settings.device, precision=precision, threads=settings.threads)


def _peer(settings: Settings, name: str, precision: str) -> Source:
    from sernet_core.peers.registry import PEERS, peer_source

    if name in PEERS and (fault := PEERS[name].obstacle()):
        raise _MissingError(fault)
    cache = EngineCache(default_folder())
    return peer_source(
        name, CAMVID, cache, device=settings.device, precision=precision, threads=settings.threads
    )
