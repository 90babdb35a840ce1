"""What stands in the picture of accuracy against latency: models at the sizes that their accuracy is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sernet_core.benchmark.cases import Entry
from sernet_core.benchmark.gather import Missing, build_one, source_of
from sernet_core.benchmark.settings import AUTO, Settings
from sernet_core.benchmark.timing import Task
from sernet_core.checkpoint import read_info, resolve_model
from sernet_core.engines.base import Engine
from sernet_core.engines.choose import INT8, contenders
from sernet_core.engines.parity import street_frames
from sernet_core.engines.quantised import read_quantised
from sernet_core.engines.registry import PRECISIONS, engine_class
from sernet_core.errors import CheckpointError, EngineError
from sernet_core.input_size import MIN_SIZE


@dataclass(frozen=True)
class Score:
    """What a model states of its accuracy on real frames, in one precision.

    Attributes:
        split: What it was scored on.
        miou: In percent.
        size: Width and height that the network had; None where it is not stated.
    """

    split: str
    miou: float
    size: tuple[int, int] | None


def scores_of(model: str) -> dict[str, Score]:
    """Scores on the validation part of real data, by precision; "int8" is of the model beside the checkpoint.

    Raises:
        CheckpointError: The model cannot be found or read.
    """
    found: dict[str, Score] = {}
    for split, figures in read_info(model).metrics.items():
        is_real = split.endswith("/val") and not split.startswith("synthetic")
        if is_real and isinstance(figures.get("miou"), int | float):
            found.setdefault(figures.get("precision", "fp32"), Score(split, figures["miou"], _size(figures)))
    made = read_quantised(resolve_model(model))
    if made is not None and made.scores and not made.scores["split"].startswith("synthetic"):
        found["int8"] = Score(made.scores["split"], made.scores["int8"], _size(made.scores))
    return found


def scores_from(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Score]:
    """Scores as a result holds them, of `dataclasses.asdict` or read from JSON."""
    return {
        precision: Score(
            score["split"], score["miou"], (size[0], size[1]) if (size := score["size"]) else None
        )
        for precision, score in stored.items()
    }


def _size(figures: Any) -> tuple[int, int] | None:
    size = figures.get("input_size")
    is_size = isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(n, int) for n in size)
    return (size[0], size[1]) if is_size and min(size) >= MIN_SIZE else None


def planned(settings: Settings, scores: Mapping[str, Score]) -> list[tuple[str, str, tuple[int, int]]]:
    """Precision, engine and size (width, height) of all that the picture builds of a model.

    Each score whose size is known, on every engine of the run that has its precision. An int8 model that
    states a score is there even where the run does not name int8.

    Args:
        settings: Of the run.
        scores: Of the model, by precision.
    """
    return [
        (precision, engine, score.size)
        for precision, score in scores.items()
        if score.size
        for engine in _engines(settings, precision)
    ]


def picture_entries(
    settings: Settings, scores: Mapping[str, Mapping[str, Score]], missing: Missing
) -> list[Entry]:
    """Frame to mask of all that is `planned`.

    Args:
        settings: Of the run.
        scores: By model as given, and by precision.
        missing: Receives why something cannot be timed.
    """
    entries: list[Entry] = []
    frames: dict[tuple[int, int], list[np.ndarray]] = {}
    for model, by_precision in scores.items():
        if not (ahead := planned(settings, by_precision)):
            continue
        try:
            source = source_of(settings, model)
        except CheckpointError as error:
            missing.note(model, model, error)
            continue
        for precision, engine, size in ahead:
            if size not in frames:
                frames[size] = street_frames(size[1], size[0])
            try:
                built = build_one(settings.names[model], engine, source, size[::-1], size[::-1])
            except EngineError as error:
                missing.note(f"{model} {engine}", engine, error)
                continue
            if built.case.precision == precision:  # auto may have chosen another one
                entries.append(Entry(built.case, "mask", _task(built.engine, frames[size]), built.grown_mb))
    return entries


def _engines(settings: Settings, precision: str) -> list[str]:
    """Engines of a run that have a precision, as they are asked for."""
    engines = list(settings.all_engines)
    if INT8 not in engines and INT8.partition(":")[0] in contenders(settings.device, "auto"):
        engines.append(INT8)
    return [engine for engine in engines if precision in _precisions(engine, settings.device)]


def _precisions(engine: str, device: str) -> tuple[str, ...]:
    """What an engine may run in."""
    name, _, asked = engine.partition(":")
    if asked:
        return (asked,)
    if name == AUTO:
        return PRECISIONS
    return engine_class(name).precisions.get(device.partition(":")[0], ())[:1]


def _task(engine: Engine, frames: Sequence[np.ndarray]) -> Task:
    return lambda number: engine.segment(frames[number])
